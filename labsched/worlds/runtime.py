"""How other commands find a running embedded server: a file that its owner writes, readable by one user alone."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from labsched.errors import ConfigError

from .ports import ping


class RuntimeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of a running server tells other commands of the same user. `started` is Unix seconds."""

    url: str
    pid: int  # of the owner
    started: float
    cwd: str
    data_dir: str | None = None
    namespace: str = "labsched"
    instances: int = 0


def runtime_dir() -> Path:
    """A folder that only this user can read: under XDG_RUNTIME_DIR, else in the temporary folder."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    at_home = base is not None and Path(base).is_dir()
    path = (
        Path(base or "") / "labsched" if at_home else Path(tempfile.gettempdir()) / f"labsched-{os.getuid()}"
    )
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        about = path.lstat()
    except OSError as error:
        raise ConfigError(f"the runtime folder {path} cannot be used: {error.strerror}") from None
    # In a temporary folder that all share somebody else may have been there first.
    if path.is_symlink() or not path.is_dir() or about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise ConfigError(
            f"the runtime folder {path} is not private to you: remove it, or set XDG_RUNTIME_DIR"
        )
    return path


def publish_runtime(
    url: str, *, data_dir: str | Path | None = None, namespace: str = "labsched", instances: int = 0
) -> Path:
    """Tell this user's other commands of a server that this process owns; `withdraw_runtime` ends it."""
    info = RuntimeInfo(
        url=url,
        pid=os.getpid(),
        started=time.time(),
        cwd=os.getcwd(),
        data_dir=None if data_dir is None else str(Path(data_dir).expanduser().absolute()),
        namespace=namespace,
        instances=instances,
    )
    path = runtime_dir() / f"server-{os.getpid()}-{urlsplit(url).port}.json"
    fresh = path.with_suffix(".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(info))
    fresh.replace(path)
    return path


def withdraw_runtime(path: Path) -> None:
    """The server is gone, or no longer to be found."""
    path.unlink(missing_ok=True)


def find_runtime(data_dir: str | Path | None = None) -> RuntimeInfo | None:
    """The embedded server that a command started here means; None if none answers.

    With `data_dir` the one on that folder. Else the newest one whose owner was started in the current
    folder, else the only one there is. ConfigError if several run elsewhere.
    """
    found = [info for info in _published() if ping(info.url) == "PONG"]
    if data_dir is not None:
        folder = str(Path(data_dir).expanduser().absolute())
        return next((info for info in found if info.data_dir == folder), None)
    here = [info for info in found if info.cwd == os.getcwd()]
    if here or len(found) <= 1:
        return next(iter(here or found), None)
    folders = ", ".join(sorted({info.cwd for info in found}))
    raise ConfigError(
        f"several embedded servers run, in {folders}: go to one of these, or name it with --url"
    )


def _published() -> list[RuntimeInfo]:
    """The newest first; files of owners that are gone are removed on the way."""
    infos = []
    for path in runtime_dir().glob("server-*.json"):
        try:
            info = msgspec.json.decode(path.read_bytes(), type=RuntimeInfo)
        except (OSError, msgspec.DecodeError):
            continue
        if _alive(info.pid):
            infos.append(info)
        else:
            path.unlink(missing_ok=True)
    return sorted(infos, key=lambda info: info.started, reverse=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def attach_url(data_dir: str | Path | None = None) -> str:
    """The URL of the running embedded server, for a command that must not start one of its own."""
    info = find_runtime(data_dir)
    if info is None:
        where = "here" if data_dir is None else f"on {data_dir}"
        raise ConfigError(
            f"no embedded server runs {where}: start one with `labsched up`, "
            "or name a server with --url or LABSCHED_REDIS_URL"
        )
    return info.url
