"""A real cluster comes up and goes down: a server, a relay to it for each instance, and the instances."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Self

from labsched.app import Scheduler
from labsched.clock import Host
from labsched.config import Settings
from labsched.connect import SCHEMES, check_url, hide_password
from labsched.errors import ConfigError

from .guard import Guard
from .relay import Links
from .runtime import publish_runtime, withdraw_runtime
from .server import Server
from .supervisor import Member, Supervisor, names_of
from .valkey import Fsync

_START_WITHIN = 30.0  # seconds until all instances must have joined


class Cluster:
    """Instances as processes, entered and left; what can be done to them in between is a subclass's matter."""

    def __init__(
        self,
        instances: int = 3,
        *,
        tasks: str | Path | None = None,
        app: str | None = None,
        settings: Settings | None = None,
        url: str = "embedded",
        namespace: str | None = None,
        appendonly: Fsync = "everysec",
        data_dir: str | Path | None = None,
        names: Sequence[str] | None = None,
        host: Host | None = None,
    ) -> None:
        self.settings = settings or Settings()
        if namespace is not None:
            self.settings = self.settings.replace(namespace=namespace)
        self.namespace = self.settings.namespace
        self.names = names_of(instances, names)
        self.url = url
        self.faults: list[dict[str, Any]] = []
        self.server: Server | None = None
        if url == "embedded":
            self.server = Server(data_dir=data_dir, appendonly=appendonly)
        elif url.partition(":")[0] not in SCHEMES:
            raise ConfigError(f"redis url {hide_password(url)!r} cannot be shared by processes")
        elif data_dir is not None:
            raise ConfigError(
                f"data_dir belongs to the embedded server, {hide_password(url)} keeps its own data"
            )
        else:
            check_url(url)
        tasks = tasks or self.settings.tasks or None
        self.tasks = None if tasks is None else _file(tasks)
        self._handlers = app
        self._data_dir = None if data_dir is None else Path(data_dir).expanduser().absolute()
        self._host = host or Host()
        self._members: dict[str, Member] = {}
        self._cut: set[str] = set()  # names whose link is cut
        self._leave = contextlib.AsyncExitStack()
        self._snapshot: dict[str, Any] = {}

    @property
    def alive(self) -> tuple[str, ...]:
        """Names whose process exists, paused ones included."""
        return tuple(member.name for member in self._members.values() if member.alive)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of those alive."""
        return {m.name: m.process.pid for m in self._members.values() if m.process is not None and m.alive}

    # --- entering and leaving ---------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._set_up()
            for member in self._members.values():
                self._supervisor.spawn(member)
            await self.ready(_START_WITHIN)
        except BaseException:
            await self._tear_down()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tear_down()

    async def _set_up(self) -> None:
        # What is entered first is left last: the instances go before their links, these before the server.
        leave = self._leave
        folder = Path(tempfile.mkdtemp(prefix="labsched-cluster-"))
        guard = Guard(folder)
        leave.callback(guard.close)
        if self.server is not None:
            leave.callback(self.server.close)
            await asyncio.to_thread(self.server.start)
            self.url = self.server.url
            entry = publish_runtime(
                self.url, data_dir=self._data_dir, namespace=self.namespace, instances=len(self.names)
            )
            leave.callback(withdraw_runtime, entry)
        logs = folder if self._data_dir is None else self._data_dir / "instances"
        self._supervisor = Supervisor(guard, folder, logs, self.settings, self.tasks, self._handlers)
        self._links = Links()
        leave.callback(self._links.close)
        self._members = {name: Member(name, self._link(name)) for name in self.names}
        leave.callback(self._supervisor.kill_all, self._members.values())
        await self._open_client()

    async def _open_client(self) -> None:
        """The client that looks at the cluster from outside, past the relays."""
        self.app = Scheduler(self.url, namespace=self.namespace, settings=self.settings, host=self._host)
        await self._leave.enter_async_context(self.app)
        self._snapshot = await self.app.snapshot()

    async def _tear_down(self) -> None:
        # Cancelled or not, what was started ends: the callbacks of `_leave` do not wait for anybody.
        try:
            await self._drain()
        finally:
            await self._leave.aclose()

    async def _drain(self) -> None:
        """SIGTERM to all, healed and awake, and the drain timeout to act on it."""
        for member in self._members.values():
            if member.alive:
                if member.url != self.url:
                    self._links.heal(member.name)
                member.signal(signal.SIGCONT, group=True)
                member.signal(signal.SIGTERM)
        if self._members:  # else it failed before anything could be started
            await self._supervisor.gone(list(self._members.values()), self.settings.drain_timeout + 2)

    def _link(self, name: str) -> str:
        """The URL by which that instance reaches the server: its own relay, if the server is on plain TCP."""
        parts = check_url(self.url)
        if parts.scheme != "redis":
            return self.url
        port = self._links.add(name, parts.hostname or "", parts.port or 6379)
        login, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{login}{at}127.0.0.1:{port}").geturl()

    # --- waiting ----------------------------------------------------------------------------------

    async def ready(self, timeout: float = _START_WITHIN) -> None:
        """Wait until every living instance has joined and, with election on, one of them leads.

        TimeoutError says what is missing; LabschedError with the end of its log when one ended on its own.
        """
        missing = "nothing"
        try:
            async with asyncio.timeout(timeout), contextlib.aclosing(self._changes()) as changes:
                async for _ in changes:
                    self._supervisor.refuse_dead(self._members.values())
                    if not (missing := await self._missing()):
                        return
        except TimeoutError:
            raise TimeoutError(f"the cluster is not ready after {timeout:g} s: {missing}") from None

    async def _missing(self) -> str:
        """What `ready` still waits for, or an empty text."""
        # One whose lease is over is listed until somebody recovers it, but does nothing for the cluster.
        found = {info.pid: info for info in await self.app.instances() if info.state != "EXPIRED"}
        # A paused member can neither join nor act as the leader that it may still be on paper.
        pids = {name: pid for name, pid in self.pids.items() if not self._members[name].paused}
        absent = [name for name, pid in pids.items() if pid not in found]
        if absent:
            return f"{', '.join(absent)} did not join or has lost its lease"
        leads = any(found[pid].leader for pid in pids.values() if pid in found)
        return "" if leads or not self.settings.leader_election or not pids else "nobody leads"

    async def _changes(self) -> AsyncGenerator[None, None]:
        """Once at once, then at every event; and now and then, for a process that dies writes none."""
        news = asyncio.Event()

        async def follow() -> None:
            async for _ in self.app.events("$"):
                news.set()

        task = asyncio.create_task(follow())
        try:
            while True:
                yield
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await news.wait()
                news.clear()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _file(path: str | Path) -> Path:
    found = Path(path).expanduser().absolute()
    if not found.is_file():
        raise ConfigError(f"tasks file {str(path)!r} does not exist")
    return found
