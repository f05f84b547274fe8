"""Events folded into what the panel shows: who runs what, who led when; and the same made small for the browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from labsched.model import Event, Kind, State

from .words import fault_said, said

_ENDS = frozenset({*State, Kind.LOST}) - {State.RUNNING, State.BUFFERED}
_SHOWN = _ENDS | {
    Kind.RUNNING, Kind.LEADER_ELECTED, Kind.LEADER_RESIGNED, Kind.INSTANCE_JOINED, Kind.INSTANCE_LEFT,
    Kind.INSTANCE_LOST,
}  # fmt: skip


class Tally:
    """What the events so far add up to. `started`: the Unix seconds that count as 0."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.running: dict[str, tuple[str, str]] = {}  # execution -> instance, task
        self.elections: dict[int, int] = {}  # epoch -> its number, from 1
        self.epoch: int | None = None

    def take(self, events: Iterable[Event]) -> tuple[list[list[Any]], list[str]]:
        """What the browser draws of them, and what a voice says."""
        drawn, spoken = [], []
        for event in events:
            self._fold(event)
            spoken += said(event, self)
            if event.kind in _SHOWN:
                drawn.append(self._compact(event))
        return drawn, spoken

    def take_faults(self, faults: Iterable[Mapping[str, Any]]) -> tuple[list[list[Any]], list[str]]:
        """The same for faults."""
        drawn, spoken = [], []
        for fault in faults:
            at = round(fault["at"] - self.started, 3)
            drawn.append([at, "FAULT", fault["target"], "", fault["kind"], 0])
            spoken.append(f"{at:.1f} s: {fault_said(fault)}")
        return drawn, spoken

    def running_on(self, instance: str) -> list[str]:
        """The tasks of its attempts, as far as the history knows."""
        return sorted(task for where, task in self.running.values() if where == instance)

    def _fold(self, event: Event) -> None:
        if event.kind is Kind.RUNNING and event.execution:
            self.running[event.execution] = (event.instance or "", event.task or "")
        elif event.kind in _ENDS and event.execution:
            self.running.pop(event.execution, None)
        elif event.kind is Kind.LEADER_ELECTED and event.epoch is not None:
            self.elections.setdefault(event.epoch, len(self.elections) + 1)

    def _compact(self, event: Event) -> list[Any]:
        """time, kind, instance, execution, task, number (of the attempt, or of the election)."""
        number = self.elections.get(event.epoch or 0, 0) if event.epoch else event.attempt or 0
        at = round(event.at - self.started, 3)
        return [at, str(event.kind), event.instance or "", event.execution or "", event.task or "", number]
