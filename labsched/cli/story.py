"""What happens in a cluster, gathered event by event, so that one can wait for it and tell it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ..app import Scheduler
from ..model import Event, Kind
from .output import clean, span

ENDS = frozenset({Kind.SUCCEEDED, Kind.FAILED, Kind.DEAD, Kind.CANCELLED})
STOPS = ENDS | {Kind.RETRYING, Kind.LOST, Kind.READY}
QUIET = frozenset({"cleanup-temp-files"})  # once a second: counted, not told


@dataclass
class Tally:
    """One instance, as far as the events tell."""

    state: str = "..."
    started: int = 0
    finished: int = 0
    running: dict[str, str] = field(default_factory=dict)  # execution -> task


@dataclass
class Run:
    """One attempt that was seen to start."""

    execution: str
    instance: str
    attempt: int
    at: float


class Story:
    """Everything seen so far. `tell` is called with each line worth telling."""

    def __init__(self, names: tuple[str, ...], began: float, tell: Callable[[float, str], None]) -> None:
        self.tallies = {name: Tally() for name in names}
        self.began, self._tell = began, tell
        self.leader: str | None = None
        self.reigns: list[Event] = []
        self.runs: list[Run] = []
        self.over: set[str] = set()
        self.last = deque[str](maxlen=8)
        self._news = asyncio.Event()

    # Watching.

    async def follow(self, app: Scheduler, since: str) -> None:
        async for event in app.events(since):
            self.see(event)
            news, self._news = self._news, asyncio.Event()
            news.set()

    async def until(self, true: Callable[[], bool], within: float) -> bool:
        """Wait until `true()`; False when that takes longer than `within` seconds."""
        try:
            async with asyncio.timeout(within):
                while not true():
                    await self._news.wait()
        except TimeoutError:
            return bool(true())
        return True

    def say(self, at: float, text: str) -> None:
        line = f"{max(at - self.began, 0):5.1f}s  {clean(text)}"
        self.last.append(line)
        self._tell(at, line)

    # Understanding.

    def see(self, event: Event) -> None:
        name = event.instance or ""
        if event.kind in (
            Kind.INSTANCE_JOINED,
            Kind.INSTANCE_LOST,
            Kind.INSTANCE_DRAINING,
            Kind.INSTANCE_LEFT,
        ):
            self._member(event, name)
        elif event.kind in (Kind.LEADER_ELECTED, Kind.LEADER_RESIGNED):
            self._leadership(event, name)
        elif event.kind is Kind.RUNNING:
            self._starts(event, name)
        elif event.execution is not None and event.kind in STOPS:
            self._stops(event, name)

    def _member(self, event: Event, name: str) -> None:
        words = {
            Kind.INSTANCE_JOINED: ("alive", "has joined"),
            Kind.INSTANCE_LOST: (
                "lost",
                f"is lost: its lease is over, it held {event.data.get('held', 0)} runs",
            ),
            Kind.INSTANCE_DRAINING: ("draining", "drains"),
            Kind.INSTANCE_LEFT: ("left", "has left"),
        }
        tally = self.tallies.setdefault(name, Tally())
        tally.state, said = words[event.kind]
        if tally.state != "alive" and name == self.leader and event.kind is not Kind.INSTANCE_DRAINING:
            self.leader = None
        self.say(event.at, f"{name} {said}")

    def _leadership(self, event: Event, name: str) -> None:
        if event.kind is Kind.LEADER_RESIGNED:
            self.leader = None if self.leader == name else self.leader
            self.say(event.at, f"{name} steps down")
            return
        self.leader = name
        self.reigns.append(event)
        before = event.data.get("previous")
        self.say(
            event.at, f"{name} leads, epoch #{len(self.reigns)}" + (f"; before it {before}" if before else "")
        )

    def _starts(self, event: Event, name: str) -> None:
        execution, attempt = event.execution or "", event.attempt or 1
        tally = self.tallies.setdefault(name, Tally())
        tally.started += 1
        tally.running[execution] = event.task or ""
        self.runs.append(Run(execution, name, attempt, event.at))
        if event.task not in QUIET or attempt > 1:
            again = f" again, try {attempt}" if attempt > 1 else ""
            self.say(event.at, f"{name} runs {execution}{again}")

    def _stops(self, event: Event, name: str) -> None:
        execution = event.execution or ""
        for tally in self.tallies.values():
            if tally.running.pop(execution, None) is not None and event.kind in ENDS:
                tally.finished += 1
        if event.kind in ENDS:
            self.over.add(execution)
        if event.kind is Kind.LOST:
            self.say(event.at, f"{execution} was lost with {name} ({event.data.get('reason')})")
        elif event.kind in ENDS and (event.task not in QUIET or event.kind is not Kind.SUCCEEDED):
            took = event.data.get("duration_ms")
            lasted = f" after {span(took / 1000)}" if took is not None else ""
            self.say(event.at, f"{execution} {event.kind}" + (f" on {name}{lasted}" if name else ""))

    # Asking.

    def runs_on(self, name: str, task: str | None = None) -> list[str]:
        """Executions that run there now."""
        tally = self.tallies.get(name, Tally())
        return [x for x, of in tally.running.items() if task in (None, of)]

    def again(self, execution: str, killed: str, after: float) -> Run | None:
        """Its first attempt anywhere but on `killed`, after that moment."""
        return next(
            (r for r in self.runs if r.execution == execution and r.instance != killed and r.at >= after),
            None,
        )
