"""Events folded into what the panel shows: who runs what, who led when; and the same made small for the browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from labsched.model import Event, Kind, State

from .servers import lost_since
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
        self.running: dict[str, tuple[str, str, float]] = {}  # execution -> instance, task, since when
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
        """The same for faults: seconds without the server in place of a number, and behind it from when on history
        was lost, or None."""
        drawn, spoken = [], []
        for fault in faults:
            at = round(fault["at"] - self.started, 3)
            down = fault.get("down", 0.0) if fault["kind"] in ("restart_server", "failover") else 0.0
            since = lost_since(fault)
            drawn.append(
                [at, "FAULT", fault["target"], "", fault["kind"], down, self._forget(fault["at"], since)]
            )
            spoken.append(f"{at:.1f} s: {fault_said(fault)}")
        return drawn, spoken

    def running_on(self, instance: str) -> list[str]:
        """The tasks of its attempts, as far as the history knows."""
        return sorted(task for where, task, _ in self.running.values() if where == instance)

    def _forget(self, at: float, since: float | None) -> float | None:
        """The server no longer knows what began from `since` on, so no event will say that it ended. Seconds since the
        start; None when nothing was lost."""
        if since is None:
            return None
        self.running = {name: one for name, one in self.running.items() if not since <= one[2] <= at}
        return round(max(since - self.started, 0.0), 3)

    def _fold(self, event: Event) -> None:
        if event.kind is Kind.RUNNING and event.execution:
            self.running[event.execution] = (event.instance or "", event.task or "", event.at)
        elif event.kind in _ENDS and event.execution:
            self.running.pop(event.execution, None)
        elif event.kind is Kind.LEADER_ELECTED and event.epoch is not None:
            self.elections.setdefault(event.epoch, len(self.elections) + 1)

    def _compact(self, event: Event) -> list[Any]:
        """time, kind, instance, execution, task, number (of the attempt, or of the election)."""
        number = self.elections.get(event.epoch or 0, 0) if event.epoch else event.attempt or 0
        at = round(event.at - self.started, 3)
        return [at, str(event.kind), event.instance or "", event.execution or "", event.task or "", number]
