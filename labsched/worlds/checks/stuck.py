"""Executions that will not get any further by themselves, as far as a recording can tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...model import TERMINAL, State
from .nouns import Run, Try

if TYPE_CHECKING:
    from ..recording import Recording


def stuck(rec: Recording, horizon: int, quiet: bool) -> Iterator[tuple[Run, str]]:
    """Executions that were in their last state by `horizon` and had no reason to stay there until the end.

    Unless all was `quiet` since then, only READY is judged: its waits know about faults by themselves.
    """
    judge = _Judge(rec, horizon)
    for run in rec.facts.runs.values():
        if run.state in TERMINAL or run.since > horizon or not (quiet or run.state == State.READY):
            continue
        why = judge.why(run)
        if why:
            yield run, why


class _Judge:
    def __init__(self, rec: Recording, horizon: int) -> None:
        self.rec, self.horizon = rec, horizon
        self.active = {run.task for run in rec.facts.runs.values() if run.active}
        self.trying: dict[str, Try] = {t.execution: t for t in rec.facts.tries if t.ended is None}
        self.last_end: dict[str, int] = {}
        for run in rec.facts.runs.values():
            if run.ended is not None:
                self.last_end[run.task] = max(run.ended, self.last_end.get(run.task, 0))

    def why(self, run: Run) -> str:
        """Why it should have moved on, or an empty text."""
        if run.state == State.READY:
            wait = self.rec.capacity.overdue.get(run.id)
            free = "" if wait is None else self.rec.facts.clock(wait.free)
            return f"could have started from {free} on" if wait and wait.ready == run.since else ""
        if run.state == State.RUNNING:
            return self._running(run)
        if run.state == State.BUFFERED and run.reason == "overlap":
            turn = run.task not in self.active and self.last_end.get(run.task, 0) <= self.horizon
            return "nothing of its task was in front of it" if turn else ""
        overdue = run.wakes is not None and run.wakes <= self.horizon
        return f"was to go on at {self.rec.facts.clock(run.wakes)}" if overdue else ""

    def _running(self, run: Run) -> str:
        tried = self.trying.get(run.id)
        if tried is None:
            return "no attempt of it runs"
        if tried.until is not None and tried.until <= self.horizon:
            return f"its attempt's hard end was at {self.rec.facts.clock(tried.until)}"
        for life in self.rec.facts.lives:
            own = (life.name, life.incarnation) == (tried.instance, tried.incarnation)
            if own and life.ended is not None and life.ended <= self.horizon:
                return f"{life.name} was gone ({life.how}) at {self.rec.facts.clock(life.ended)}"
        for span in self.rec.health.down:
            still = span.target == tried.instance and span.end is None
            if still and tried.started <= span.start <= self.horizon:
                return f"{span.target} has been hit by a {span.kind} at {self.rec.facts.clock(span.start)}"
        return ""
