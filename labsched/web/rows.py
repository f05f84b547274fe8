"""The table of tasks: read from the registry a few at a time, and kept up with the events in between.

Counts follow from events alone; means and quantiles are as old as the last reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from labsched.metrics import TaskMetrics, task_metrics
from labsched.model import TERMINAL, Event, Kind, State, TaskInfo
from labsched.schedule import describe

_LAST = frozenset(map(str, TERMINAL))
_COUNTS = {
    Kind.SUCCEEDED: "succeeded", Kind.FAILED: "failed", Kind.DEAD: "failed", Kind.RETRYING: "retried",
    Kind.LOST: "lost", Kind.SKIPPED: "skipped",
}  # fmt: skip
# READY from these waited before.
_WAITED = ("buffer", "retry", "delayed")


class Row(msgspec.Struct):
    """A task as the table shows it. `last`: how its last run ended."""

    metrics: TaskMetrics
    schedule: str
    last: str = ""


class Rows:
    """All of them, by name; `changed` are those that dashboards were not told of."""

    def __init__(self) -> None:
        self.all: dict[str, Row] = {}
        self.changed: set[str] = set()
        self._read: dict[str, int] = {}  # when each was read, by the server's clock (ms)

    def load(self, at: int, found: Iterable[tuple[TaskInfo, Mapping[str, int]]]) -> None:
        """What the registry said at `at` (ms)."""
        for info, stats in found:
            last = self.all[info.name].last if info.name in self.all else ""
            self.all[info.name] = Row(task_metrics(info, stats), describe(info.task.schedule), last)
            self._read[info.name] = at
            self.changed.add(info.name)

    def ended(self, states: Mapping[str, State]) -> None:
        """How the last runs ended, as the registry says."""
        for name in states.keys() & self.all.keys():
            self.all[name].last = str(states[name])

    def outcomes(self, events: Iterable[Event]) -> None:
        """How the last runs ended, of tasks that are here."""
        for event in events:
            if event.kind in _LAST and event.task in self.all:
                self.all[event.task].last = str(event.kind)
                self.changed.add(event.task)

    def fold(self, events: Iterable[Event]) -> None:
        """Count what happened after each row was read."""
        more: dict[str, Counter[str]] = {}
        for event in events:
            name = event.task or ""
            if name in self.all and round(event.at * 1000) > self._read[name]:
                self._status(name, event)
                counted = more.setdefault(name, Counter())
                counted["backlog"] += _waits(event)
                if event.kind in _COUNTS:
                    counted[_COUNTS[event.kind]] += event.data.get("count") or 1
        for name, counted in more.items():
            self._change(
                name, **{field: getattr(self.all[name].metrics, field) + n for field, n in counted.items()}
            )

    def running(self, by_task: Mapping[str, int]) -> None:
        """How many run of each, 0 of those that are not named."""
        for name, row in self.all.items():
            if row.metrics.running != by_task.get(name, 0):
                self._change(name, running=by_task.get(name, 0))

    def _status(self, name: str, event: Event) -> None:
        status = "ACTIVE" if event.kind is Kind.TASK_RESUMED else event.data.get("status")
        if event.kind in (Kind.TASK_PAUSED, Kind.TASK_RESUMED) and status:
            self._change(name, status=status)

    def _change(self, name: str, **fields: Any) -> None:
        row = self.all[name]
        made = msgspec.structs.replace(row.metrics, **fields)
        ended = made.succeeded + made.failed
        row.metrics = msgspec.structs.replace(made, success_rate=made.succeeded / ended if ended else None)
        self.changed.add(name)


def _waits(event: Event) -> int:
    """By how much an event changes the number of executions that wait: ready, retrying or buffered."""
    if event.kind is Kind.READY:
        return 0 if event.data.get("source") in _WAITED else 1
    if event.kind in (Kind.BUFFERED, Kind.RETRYING):
        return 1
    taken = event.kind is Kind.RUNNING
    cancelled = event.kind is Kind.CANCELLED and event.data.get("was") != "RUNNING"
    replaced = event.kind is Kind.SKIPPED and event.data.get("reason") == "replaced"
    return -1 if taken or cancelled or replaced else 0
