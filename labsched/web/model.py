"""What a dashboard knows: events folded into running attempts, locks, recent runs and a second-by-second history.

Pure: no I/O, no clock. Times are Unix seconds by the server's clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from labsched.model import Event, Execution, Kind, LockInfo, State

RECENT = 50  # ended runs that are shown
SECONDS = 300  # of history in the charts
MOST_ATTEMPTS = 1500  # drawn in the timeline
FEED = 30  # events that are listed
LONGEST = 80  # characters of what such a line says
# Events that a busy cluster's own would wash away within a second.
_NOTABLE = (
    Kind.LEADER_ELECTED, Kind.LEADER_RESIGNED, Kind.INSTANCE_JOINED, Kind.INSTANCE_DRAINING, Kind.INSTANCE_LEFT,
    Kind.INSTANCE_LOST, Kind.TASK_DEFINED, Kind.TASK_PAUSED, Kind.TASK_RESUMED, Kind.FAILED, Kind.DEAD, Kind.LOST,
    Kind.REFUSED,
)  # fmt: skip
_ENDS = frozenset({str(state) for state in State} | {str(Kind.LOST)}) - {"RUNNING", "BUFFERED", "READY"}


class Attempt(msgspec.Struct, omit_defaults=True):
    """One bar of the timeline. `end` is None while it runs."""

    execution: str
    task: str
    instance: str
    number: int
    start: float
    end: float | None = None
    outcome: str = ""


class Second(msgspec.Struct):
    """What one second of the server's clock saw. `late`: the worst start minus due, in seconds."""

    at: int
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    lost: int = 0
    late: float = 0.0


class Held(msgspec.Struct):
    """A lock that is taken, until `until` (Unix seconds)."""

    name: str
    owner: str
    token: int
    until: float


class Line(msgspec.Struct, omit_defaults=True):
    """An event as the feed lists it; `about`: the execution, task or lock, `said`: what else a person wants to know."""

    id: str
    at: float
    kind: str
    about: str
    instance: str
    said: str = ""


def _line(event: Event) -> Line:
    data = event.data
    about = (
        event.execution or event.task or (str(data.get("lock", "")) if event.kind.startswith("LOCK_") else "")
    )
    if event.kind.startswith("LEADER_"):
        said = f"epoch {event.epoch}"
    elif event.kind is Kind.REFUSED:
        said = f"{data.get('what')}: {data.get('why')}"
    else:
        said = str(data.get("error") or data.get("reason") or "")
    return Line(event.id, event.at, str(event.kind), about, event.instance or "", said[:LONGEST])


class Model:
    """Everything that one feed keeps; `apply` changes it, `dirty` names the tasks whose numbers changed."""

    def __init__(self) -> None:
        self.running: dict[str, Attempt] = {}
        self.attempts: deque[Attempt] = deque(maxlen=MOST_ATTEMPTS)
        self.recent: deque[Attempt] = deque(maxlen=RECENT)
        self.locks: dict[str, Held] = {}
        self.seconds: deque[Second] = deque(maxlen=SECONDS)
        self.leaders: deque[dict[str, Any]] = deque(maxlen=50)
        self.events: deque[Line] = deque(maxlen=FEED)
        self.notable: deque[Line] = deque(maxlen=FEED)
        self.dirty: dict[str, None] = {}  # in the order in which they became so

    def load(self, running: Iterable[Execution], locks: Iterable[LockInfo]) -> None:
        """Some of what runs and is held now, as the registry says, where events did not tell."""
        for x in running:
            self.running[x.id] = Attempt(
                x.id, x.task, x.instance or "", x.attempt, (x.started or x.created) / 1000
            )
        for lock in locks:
            self.locks[lock.name] = Held(lock.name, lock.owner, lock.token, lock.lock_until / 1000)

    def apply(self, events: Iterable[Event]) -> None:
        for event in events:
            self.events.append(line := _line(event))
            if event.kind in _NOTABLE:
                self.notable.append(line)
            if event.task:
                self.dirty[event.task] = None
            if event.kind is Kind.RUNNING:
                self._starts(event)
            elif event.kind in _ENDS and event.execution:
                self._ends(event)
            elif event.kind is Kind.READY:
                self._returns(event)
            elif event.kind in (Kind.LOCK_ACQUIRED, Kind.LOCK_EXTENDED, Kind.LOCK_RELEASED):
                self._lock(event)
            elif event.kind in (Kind.LEADER_ELECTED, Kind.LEADER_RESIGNED):
                self.leaders.append(
                    {"at": event.at, "kind": event.kind, "name": event.instance, "epoch": event.epoch}
                )

    def _starts(self, event: Event) -> None:
        attempt = Attempt(
            event.execution or "", event.task or "", event.instance or "", event.attempt or 1, event.at
        )
        self.running[attempt.execution] = attempt
        self.attempts.append(attempt)
        second = self._second(event.at)
        second.started += 1
        second.late = max(second.late, (event.data.get("late_ms") or 0) / 1000)

    def _ends(self, event: Event) -> None:
        attempt = self.running.pop(event.execution or "", None)
        second = self._second(event.at)
        second.succeeded += event.kind is Kind.SUCCEEDED
        second.failed += event.kind in (Kind.FAILED, Kind.DEAD)
        second.lost += event.kind is Kind.LOST
        if attempt is not None:
            attempt.end, attempt.outcome = event.at, str(event.kind)
            self.recent.append(attempt)

    def _returns(self, event: Event) -> None:
        """Handed back unstarted, by an instance that leaves."""
        attempt = self.running.pop(event.execution or "", None)
        if attempt is not None:
            attempt.end, attempt.outcome = event.at, "RETURNED"

    def _lock(self, event: Event) -> None:
        name, until = str(event.data.get("lock", "")), (event.data.get("until") or 0) / 1000
        if until <= event.at:
            self.locks.pop(name, None)
        else:
            self.locks[name] = Held(name, event.instance or "", event.token or 0, until)

    def _second(self, at: float) -> Second:
        """The bucket of a moment; events come in order, so it is the last one or a new one."""
        if not self.seconds or self.seconds[-1].at < int(at):
            self.seconds.append(Second(int(at)))
        return self.seconds[-1]

    def prune(self, running: Iterable[str], locks: Iterable[str]) -> None:
        """Forget what is not among these; for when the events that ended it may have been passed over."""
        running, locks = frozenset(running), frozenset(locks)
        self.running = {id: attempt for id, attempt in self.running.items() if id in running}
        self.locks = {name: held for name, held in self.locks.items() if name in locks}

    def expire(self, now: float) -> None:
        """Forget locks that ended by themselves: that is no event."""
        self.locks = {name: held for name, held in self.locks.items() if held.until > now}
