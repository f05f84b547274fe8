"""A real cluster: OS processes on a real server, and verbs that hurt them.

Each instance is `python -m labsched instance …` in a session of its own, and reaches the server through
a relay of its own, so that its link can be cut. The guard (`server.Guard`) ends them all by SIGKILL when
this process ends without saying goodbye, paused ones included; an instance need not watch anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import redis

import labsched
from labsched.app import Scheduler
from labsched.clock import Host
from labsched.config import Settings
from labsched.connect import SCHEMES, check_url, hide_password, open_url
from labsched.errors import ConfigError, LabschedError
from labsched.model import Event
from labsched.preflight import preflight

from .checks.facts import id_key
from .recording import Recording
from .relay import Direction, Links, sides
from .server import Fsync, Guard, Server, publish_runtime, withdraw_runtime

_START_WITHIN = 30.0  # seconds until all instances must have joined


@dataclass
class Member:
    """One name of the cluster, and the process that bears it now."""

    name: str
    url: str = field(repr=False)  # through its relay, where it has one
    process: subprocess.Popen[bytes] | None = None
    lives: int = 0  # processes started under this name
    wanted: bool = False  # it should be running: nobody has killed or ended it
    paused: bool = False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class ProcessCluster:
    """Instances as processes, on an embedded server (default) or on the server at `url`.

    `tasks` is a tasks.yml, `app` the code that registers handlers ("module:attribute" or
    "file.py:attribute"). Entering waits until all have joined and, with election on, one leads; leaving
    sends SIGTERM, waits at most the drain timeout, and kills what is left. `names` replaces i1, i2, ….
    `data_dir` keeps the embedded server's data, the journals and the logs; without it all of that is gone
    at the end. Environment variables LABSCHED_* of this process do not reach the instances: the settings
    are those given here.

    Every verb takes a name or "leader", whoever leads then, and is noted in `faults`. ConfigError, in one
    line, for a name that does not exist or a process that is not there.
    """

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
        self.names = _names(instances, names)
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

    async def __aenter__(self) -> ProcessCluster:
        try:
            await self._set_up()
            for member in self._members.values():
                self._spawn(member)
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
        self._folder = Path(tempfile.mkdtemp(prefix="labsched-cluster-"))
        self._guard = Guard(self._folder)
        leave.callback(self._guard.close)
        self._logs = self._folder if self._data_dir is None else self._data_dir / "instances"
        if self.server is not None:
            leave.callback(self.server.close)
            await asyncio.to_thread(self.server.start)
            self.url = self.server.url
            entry = publish_runtime(
                self.url, data_dir=self._data_dir, namespace=self.namespace, instances=len(self.names)
            )
            leave.callback(withdraw_runtime, entry)
        self._logs.mkdir(mode=0o700, exist_ok=True)
        self._write_settings()
        self._links = Links()
        leave.callback(self._links.close)
        self._members = {name: Member(name, self._link(name)) for name in self.names}
        leave.callback(self._kill_rest)
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
                self._links_heal(member.name)
                self._signal(member, signal.SIGCONT, group=True)
                self._signal(member, signal.SIGTERM)
        await self._gone(list(self._members.values()), self.settings.drain_timeout + 2)

    def _kill_rest(self) -> None:
        for member in self._members.values():
            self._signal(member, signal.SIGKILL, group=True)
            if member.process is not None:
                member.process.wait()
                self._guard.forget(member.process)

    def _write_settings(self) -> None:
        path = self._folder / "settings.yml"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(self.settings.replace(redis_url="embedded", tasks="").to_yaml())

    def _link(self, name: str) -> str:
        """The URL by which that instance reaches the server: its own relay, if the server is on plain TCP."""
        parts = check_url(self.url)
        if parts.scheme != "redis":
            return self.url
        port = self._links.add(name, parts.hostname or "", parts.port or 6379)
        login, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{login}{at}127.0.0.1:{port}").geturl()

    def _command(self, name: str, journal: Path) -> list[str]:
        """The command line of an instance. The URL, with its password, goes by the environment."""
        command = [sys.executable, "-m", "labsched", "instance", "--name", name]
        command += ["--namespace", self.namespace, "--config", str(self._folder / "settings.yml")]
        command += [] if self.tasks is None else ["--tasks", str(self.tasks)]
        command += [] if self._handlers is None else ["--app", self._handlers]
        return [*command, "--journal", str(journal), "--no-web"]

    def _spawn(self, member: Member) -> None:
        member.lives += 1
        command = self._command(member.name, self._logs / f"{member.name}-{member.lives}.jsonl")
        with open(self._logs / f"{member.name}.log", "ab") as log:
            member.process = self._guard.spawn(command, output=log, env=_environment(member.url))
        member.paused, member.wanted = False, True

    # --- waiting ----------------------------------------------------------------------------------

    async def ready(self, timeout: float = _START_WITHIN) -> None:
        """Wait until every living instance has joined and, with election on, one of them leads.

        TimeoutError says what is missing; LabschedError with the end of its log when one ended on its own.
        """
        missing = "nothing"
        try:
            async with asyncio.timeout(timeout), contextlib.aclosing(self._changes()) as changes:
                async for _ in changes:
                    self._refuse_dead()
                    if not (missing := await self._missing()):
                        return
        except TimeoutError:
            raise TimeoutError(f"the cluster is not ready after {timeout:g} s: {missing}") from None

    def _refuse_dead(self) -> None:
        for member in self._members.values():
            if member.wanted and not member.alive and member.process is not None:
                code, log = member.process.returncode, self.log(member.name)
                raise LabschedError(
                    f"instance {member.name} ended by itself (code {code}), its log says:\n{log}"
                )

    async def _missing(self) -> str:
        """What `ready` still waits for, or an empty text."""
        found = {info.pid: info for info in await self.app.instances()}
        # A paused member can neither join nor act as the leader that it may still be on paper.
        pids = {name: pid for name, pid in self.pids.items() if not self._members[name].paused}
        absent = [name for name, pid in pids.items() if pid not in found]
        if absent:
            return f"{', '.join(absent)} did not join"
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

    async def _gone(self, members: Sequence[Member], within: float) -> bool:
        """Wait until their processes have ended; False if they have not after so many seconds."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + within
        while any(member.alive for member in members):
            if clock() > deadline:
                return False
            await asyncio.sleep(0.01)
        for member in members:
            if member.process is not None:
                self._guard.forget(member.process)
        return True

    # --- verbs ------------------------------------------------------------------------------------

    async def kill(self, name: str) -> None:
        """SIGKILL to the instance's process. Its runner's children end when their pipe closes."""
        member = await self._find(name)
        self._note("kill", member.name)
        member.wanted = False
        self._signal(member, signal.SIGKILL)
        # Children of a paused instance sleep too, and must wake to see that their pipe is closed.
        self._signal(member, signal.SIGCONT, group=True)
        await self._gone([member], within=10)

    async def pause(self, name: str) -> None:
        """SIGSTOP to the instance and its children: a process that the machine forgot for a while."""
        member = await self._find(name)
        self._note("pause", member.name)
        self._signal(member, signal.SIGSTOP, group=True)
        member.paused = True

    async def resume(self, name: str) -> None:
        """SIGCONT: it goes on where it was, not knowing."""
        member = await self._find(name)
        self._note("resume", member.name)
        self._signal(member, signal.SIGCONT, group=True)
        member.paused = False

    async def terminate(self, name: str) -> None:
        """SIGTERM, and wait for the drain; noted as "drain". TimeoutError when it outlives its drain timeout."""
        member = await self._find(name)
        if member.paused:
            raise ConfigError(f"instance {member.name} is paused and cannot hear SIGTERM: resume it first")
        self._note("drain", member.name)
        member.wanted = False
        self._signal(member, signal.SIGTERM)
        within = self.settings.drain_timeout + 5
        if not await self._gone([member], within):
            raise TimeoutError(f"instance {member.name} still runs {within:g} s after SIGTERM")

    async def partition(self, name: str, direction: Direction = "both") -> None:
        """Cut its link: nothing is closed, nothing arrives. "requests" and "replies" cut one way only."""
        sides(direction)
        member = await self._find(name, alive=False)
        self._need_link(member)
        self._note("partition", member.name, direction=direction)
        self._links.cut(member.name, direction)

    async def heal(self, name: str) -> None:
        """Mend its link; what was on its way arrives now."""
        member = await self._find(name, alive=False)
        self._need_link(member)
        self._note("heal", member.name)
        self._links.heal(member.name)

    async def restart(self, name: str) -> None:
        """A new process under that name, a new incarnation; a living one is killed first. Does not wait."""
        member = await self._find(name, alive=False)
        if member.alive:
            await self.kill(member.name)
        self._note("restart", member.name)
        self._spawn(member)

    async def restart_server(self, *, keep: bool = True) -> None:
        """Stop the server in order and start it on the same port; `keep=False` without its data."""
        server = self._own_server()
        fault = self._note("restart_server", "server", keep=keep)
        await asyncio.to_thread(server.restart, keep=keep)
        fault["down"] = round(self._host.clock.now() - fault["at"], 3)

    async def kill_server(self) -> None:
        """SIGKILL to the server; `restart_server` brings it back with what its disk holds."""
        server = self._own_server()
        self._note("kill", "server")
        await asyncio.to_thread(server.kill)

    def _note(self, kind: str, target: str, **more: Any) -> dict[str, Any]:
        fault = {"at": self._host.clock.now(), "kind": kind, "target": target, "by": "call", **more}
        self.faults.append(fault)
        return fault

    async def _find(self, name: str, *, alive: bool = True) -> Member:
        if name == "leader":
            name = await self._leader()
        member = self._members.get(name)
        if member is None:
            raise ConfigError(f"no instance is named {name!r}, there are {', '.join(self.names)} and leader")
        if alive and not member.alive:
            raise ConfigError(f"instance {name} has no process: it was killed or has ended, restart it first")
        return member

    async def _leader(self) -> str:
        names = {pid: name for name, pid in self.pids.items()}
        for info in await self.app.instances():
            if info.leader and info.pid in names:
                return names[info.pid]
        raise ConfigError("nobody leads just now: name an instance, or wait with ready()")

    def _own_server(self) -> Server:
        if self.server is None:
            raise ConfigError(f"the server at {hide_password(self.url)} is not ours to stop")
        return self.server

    def _need_link(self, member: Member) -> None:
        if member.url == self.url:
            raise ConfigError(f"only a link over redis:// can be cut, not {hide_password(self.url)}")

    def _links_heal(self, name: str) -> None:
        if self._members[name].url != self.url:
            self._links.heal(name)

    def _signal(self, member: Member, what: signal.Signals, *, group: bool = False) -> None:
        """To the process, or to its whole group. A process that is not reaped yet keeps its number."""
        process = member.process
        if process is None or process.returncode is not None:
            return
        send: Callable[[int, int], None] = os.killpg if group else os.kill
        with contextlib.suppress(ProcessLookupError, PermissionError):
            send(process.pid, what)

    # --- what it leaves ---------------------------------------------------------------------------

    def log(self, name: str, lines: int = 20) -> str:
        """The end of what that instance has printed, over all its lives."""
        with contextlib.suppress(OSError):
            text = (self._logs / f"{name}.log").read_text(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""

    async def recording(self) -> Recording:
        """Everything since the cluster was entered, as one value: what checks and plots read."""
        final = await self.app.snapshot()
        return Recording(
            world="real",
            namespace=self.namespace,
            started=self._snapshot["at"] / 1000,
            ended=final["at"] / 1000,
            options=self._options(),
            versions=await self._versions(),
            snapshot=self._snapshot,
            final=final,
            history=await self._history(final),
            journals=[line for m in self._members.values() for line in _lines(self._logs, m.name, m.lives)],
            fault_log=[dict(fault) for fault in self.faults],
        )

    async def _history(self, final: dict[str, Any]) -> list[Event]:
        """The events between the two snapshots; all there are if the server forgot the first one's."""
        since, until = self._snapshot["last_event"] or "0-0", final["last_event"] or "0-0"
        if id_key(until) < id_key(since):
            since = "-"
        return await self.app.history(since, until)

    def _options(self) -> dict[str, Any]:
        settings = msgspec.structs.asdict(self.settings.replace(redis_url=hide_password(self.url)))
        return {
            "instances": list(self.names),
            "settings": settings,
            "tasks": None if self.tasks is None else str(self.tasks),
            "app": self._handlers,
            "server": "its own" if self.server is None else f"embedded, appendonly {self.server.appendonly}",
        }

    async def _versions(self) -> dict[str, str]:
        found = {
            "python": platform.python_version(),
            "labsched": labsched.__version__,
            "redis-py": redis.__version__,
        }
        with contextlib.suppress(LabschedError, redis.RedisError, OSError):
            opened = open_url(self.url)
            try:
                server = await preflight(opened.redis)
                found[server.server] = server.version
            finally:
                await opened.close()
        return found


def _names(instances: int, names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        if not 1 <= instances <= 100:
            raise ConfigError(f"instances is {instances!r}: allowed are 1 to 100")
        return tuple(f"i{n + 1}" for n in range(instances))
    for name in names:
        # They become file names, and two of the words have a meaning of their own.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name) or name in ("leader", "server"):
            raise ConfigError(f"an instance cannot be named {name!r}: letters, digits and . _ - are allowed")
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"names are {list(names)!r}: at least one is needed, and each only once")
    return tuple(names)


def _file(path: str | Path) -> Path:
    found = Path(path).expanduser().absolute()
    if not found.is_file():
        raise ConfigError(f"tasks file {str(path)!r} does not exist")
    return found


def _environment(url: str) -> dict[str, str]:
    """What an instance inherits: everything but settings, which come from its file and from here."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LABSCHED_") and name != "REDIS_URL"
    }
    root = Path(__file__).resolve().parents[2]
    if root.name not in ("site-packages", "dist-packages"):
        # Run from a checkout that is not installed, and from another folder: they must find the same code.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), kept.get("PYTHONPATH")]))
    return {**kept, "LABSCHED_REDIS_URL": url, "PYTHONUNBUFFERED": "1"}


def _lines(folder: Path, name: str, lives: int) -> Iterator[dict[str, Any]]:
    for life in range(1, lives + 1):
        with contextlib.suppress(OSError):
            for line in (folder / f"{name}-{life}.jsonl").read_bytes().splitlines():
                # A process that was killed while writing leaves half a line.
                with contextlib.suppress(msgspec.DecodeError):
                    yield msgspec.json.decode(line, type=dict[str, Any])
