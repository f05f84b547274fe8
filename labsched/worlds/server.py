"""An embedded Valkey: started, stopped, restarted, and never left behind.

It listens on 127.0.0.1 only and wants a random password, since on a shared machine every user can reach a
port; the password travels in `Server.url` and in files of mode 0600, never on a command line. Whoever calls
`start()` owns the server, and a `Guard` ends it when its owner ends.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from labsched.connect import Opened, open_url
from labsched.errors import ConfigError, Unreachable

from . import valkey
from .guard import Guard, tail
from .ports import HOST, bindable, free_port, ping
from .runtime import publish_runtime, withdraw_runtime
from .valkey import Fsync

_START_WITHIN = 60.0  # seconds; reading a large append-only file takes some
_STOP_WITHIN = 10.0


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
        self._binary = valkey.binary()
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
                valkey.remove_data(self.data_dir)
            self.start()

    def close(self) -> None:
        """Stop it and remove what is private. Safe to call twice."""
        with self._turn:
            self.stop()
            if self._guard is not None:
                self._guard.close()
            if self._claim is not None:
                valkey.release(self._claim)
            self._guard = self._claim = self._work = None

    def log_tail(self, lines: int = 10) -> str:
        """The last lines of the server's log."""
        return "" if self._work is None else tail(self._log, lines)

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
            self._claim = valkey.claim(valkey.writable(self._wanted_dir))
        self._work = Path(tempfile.mkdtemp(prefix="labsched-server-"))
        self._guard = Guard(self._work)

    def _launch(self) -> bool:
        """Start it and wait; False if its port is taken."""
        assert self._guard is not None
        self.port = self.port or self._fixed_port or free_port()
        if not bindable(self.port):
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
                if b"Address already in use" in self._log.read_bytes()[logged:]:
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
        lines = valkey.configuration(self.port, self._password, self.data_dir, self.appendonly)
        return valkey.write_configuration(self._log.with_name("server.conf"), lines | self._extra)

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
