"""A session over a `ProcessCluster`: entered, watched, hurt and left on a thread and an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labsched.errors import ConfigError, EventsGap, LabschedError, Unreachable
from labsched.model import Event, InstanceInfo
from labsched.worlds.processes import ProcessCluster

from .script import Step, real_code
from .servers import never_real, real_servers
from .session import TELL_EVERY, Command, Session, stepped
from .words import condition

_TIME_IS_REAL = "real processes: their time cannot be stepped, stretched or turned back"
_ANSWER_WITHIN = 1.0  # seconds for a look at the server


class RealSession(Session):
    """Owns the cluster, which must not have been entered: the end of the session ends its processes."""

    world = "real"
    off: Mapping[str, str] = dict.fromkeys(("play", "pause", "step", "run_to", "pace", "seek"), _TIME_IS_REAL)

    def __init__(self, cluster: ProcessCluster, *, clock: Callable[[], float] = time.monotonic) -> None:
        if cluster.pids:
            raise ConfigError(
                "this cluster has been entered already: pass one that has not, the panel enters it"
            )
        super().__init__(0.0, clock)
        self.cluster, self.steps = cluster, list[Step]()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self._entered = 0.0
        self._events: list[Event] = []
        self._faults = 0
        self._infos: dict[str, InstanceInfo] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    # --- the thread

    def _live(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:  # it never came up, or its guard is gone
            self.notice = _one_line(error)
            self._emit("state", {**self.state, "notice": self.notice, "closed": True})
        finally:
            self._refuse_rest()

    def _wake(self) -> None:
        loop, news = self._loop, self._news
        if loop is not None and news is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(news.set)

    async def _main(self) -> None:
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        self.notice = "the processes are starting"
        self._tell(self._facts(), at_once=True)
        async with self.cluster:
            self._entered, self.notice = self._real(), ""
            self._tally.started = await self.cluster.app.now() / 1000
            try:
                while not self._closing:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), TELL_EVERY)
                    self._news.clear()
                    obeyed = self._obey_all()
                    await self._look(at_once=obeyed)
            finally:
                for task in self._under_way:
                    task.cancel()
                self.notice = "the processes are ending"
                self._tell(self._facts(), at_once=True)
        self.notice = "closed: every process has ended"
        self._tell(self._facts(), at_once=True)

    def _obey_all(self) -> bool:
        obeyed = not self._inbox.empty()
        while not self._inbox.empty():
            command = self._inbox.get()
            if command.do in self.off:
                command.outcome.set_exception(ConfigError(self.off[command.do]))
                self.notice = self.off[command.do]
                continue
            task = asyncio.ensure_future(self._obey(command))  # a drain takes its time, others need not wait
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return obeyed

    async def _obey(self, command: Command) -> None:
        try:
            outcome = await getattr(self, f"_do_{command.do}")(**command.args)
        except asyncio.CancelledError:
            command.outcome.set_exception(ConfigError("the panel was closed before this was done"))
            raise
        except Exception as error:
            self._failed(command, error)
        else:
            command.outcome.set_result(outcome)
        assert self._news is not None
        self._news.set()

    # --- commands

    async def _do_hello(self) -> None:
        self._reset, self._events_told = True, -1e9

    async def _do_say(self, text: str) -> None:
        self.notice = text

    async def _do_close(self) -> None:
        self._closing = True

    async def _do_press(self, step: Step, at: float | None = None) -> None:
        if step.target == "server" and (why := never_real(self.cluster, step.verb)):
            raise ConfigError(why)
        if not hasattr(self.cluster, step.verb):
            raise ConfigError(f"{step.verb} cannot be done to real processes")
        if at is not None:
            if at < self._time():
                raise ConfigError(f"at={at!r} lies in the past: it is {self._time():.3f} s")
            task = asyncio.ensure_future(self._later(stepped(step, at)))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            return
        self.notice = ""
        await self._perform(step)

    async def _later(self, step: Step) -> None:
        await asyncio.sleep(step.t - self._time())
        try:
            await self._perform(step)
        except LabschedError as error:
            self.notice = _one_line(error)

    async def _perform(self, step: Step) -> None:
        at, known = round(self._time(), 3), len(self.cluster.faults)
        target, keyword = step.named()
        try:
            await getattr(self.cluster, step.verb)(*target, **keyword, **step.unusual())
        except TypeError:
            raise ConfigError(f"{step.call()} cannot be done to real processes") from None
        name = str(self.cluster.faults[known]["target"])  # whoever "leader" was
        self.steps.append(Step(t=at, kind=step.kind, target=name, args=step.args))

    async def _do_finish(self, until: float | None) -> Any:
        await asyncio.sleep(max((until or 0.0) - self._time(), 0.0))
        return await self.cluster.recording()

    async def _do_picture(self, guarantee: str) -> None:
        self._draw(await self.cluster.recording(), guarantee)

    def code(self) -> str:
        """The script that does what was pressed, when it was."""
        return real_code(self.cluster, self.steps, self._time())

    # --- telling

    def _time(self) -> float:
        return self._real() - self._entered if self._entered else 0.0

    async def _look(self, *, at_once: bool) -> None:
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                self._infos = {info.name: info for info in await self.cluster.app.instances()}
                new = await self._read()
        except (TimeoutError, Unreachable):
            new, self.notice = [], "the server does not answer"
        else:
            self.notice = self.notice.replace("the server does not answer", "")
        self._take(new, self.cluster.faults[self._faults :])
        self._faults = len(self.cluster.faults)
        if new and self._judgement_due(float(len(self._events))):
            began, told = self._real(), float(len(self._events))
            with contextlib.suppress(LabschedError):
                rec = await self.cluster.recording()
                await asyncio.to_thread(self._judge, rec, told, began)
        self._tell(self._facts(), at_once=at_once)

    async def _read(self) -> list[Event]:
        since = self._events[-1].id if self._events else "-"
        try:
            new = await self.cluster.app.history(since)
        except EventsGap:  # the server lost its data
            self._events.clear()
            new = await self.cluster.app.history()
        self._events += new
        return new

    def _facts(self) -> dict[str, Any]:
        now = self._time()
        return {
            "time": now, "clock": now, "end": now, "branch": 0, "pace": 1.0, "playing": not self._closing,
            "rows": [self._row(name, self._infos.get(name)) for name in self.cluster.names],
            "servers": real_servers(self.cluster, self._tally.started),
        }  # fmt: skip

    def _row(self, name: str, info: InstanceInfo | None) -> dict[str, Any]:
        alive = name in self.cluster.alive
        process, cut = standing(self.cluster.faults, name, alive)
        return {
            "name": name, "process": process, "cut": cut, "alive": alive, "state": condition(process, cut, info),
            "leader": bool(info and info.leader),
            "epoch": self._tally.elections.get(info.epoch or 0, 0) if info else 0,
            "running": self._tally.running_on(name),
            "pool": self.cluster.settings.pool_size,
            "lease": None if info is None else max(info.lease_left, 0.0),
            "lease_of": self.cluster.settings.instance_lease,
            "offset": None,
        }  # fmt: skip


def standing(faults: Sequence[Mapping[str, Any]], name: str, alive: bool) -> tuple[str, str]:
    """What was done to that instance and not undone: its process's state, and how its link is cut."""
    process, cut = "running", ""
    for fault in faults:
        if fault["target"] != name:
            continue
        kind = fault["kind"]
        if kind in ("kill", "pause", "drain"):
            process = {"kill": "killed", "pause": "paused", "drain": "ended"}[kind]
        elif kind in ("restart", "resume"):
            process = "running"
        elif kind in ("partition", "heal"):
            cut = fault.get("direction", "both") if kind == "partition" else ""
    if alive:
        return ("paused" if process == "paused" else "running"), cut
    return ("ended" if process in ("running", "ended") else "killed"), cut


def _one_line(error: BaseException) -> str:
    return (str(error) or repr(error)).splitlines()[0]
