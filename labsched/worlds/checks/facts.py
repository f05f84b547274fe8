"""What a history says, read once and kept with the recording: runs, tries, lives, holds and reigns.

Nothing here judges: an illegal history gives facts too. nouns.py explains the words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...model import Event, Kind, State
from .nouns import CREATES, Hold, Life, Reign, Run, Try, ms
from .nouns import id_key as id_key  # for those who record

if TYPE_CHECKING:
    from ..recording import Recording


class Facts:
    """The facts of one recording, in the order in which they began."""

    def __init__(self, rec: Recording) -> None:
        self.start, self.end = round(rec.started * 1000), round(rec.ended * 1000)
        self.runs: dict[str, Run] = {}
        self.tries: list[Try] = []
        self.lives: list[Life] = []
        self.holds: list[Hold] = []
        self.reigns: list[Reign] = []
        self._trying: dict[str, Try] = {}
        self._living: dict[str, Life] = {}
        self._held: dict[str, Hold] = {}
        self._read_snapshot(rec.snapshot)
        takers = self._takers()
        for event in rec.history:
            taker = takers.get(event.kind)
            if taker is not None:
                taker(event, ms(event))
        self.ranks = _ranks(rec.history)

    def rank(self, token: int | None) -> str:
        """A token or epoch as people read it: `#3` is the third that this history shows."""
        return f"#{self.ranks[token]}" if token in self.ranks else "#?"

    def clock(self, at_ms: float | None) -> str:
        """A time as people read it: seconds since the recording began."""
        return "?" if at_ms is None else f"{(at_ms - self.start) / 1000:.3f} s"

    def leader_at(self, at_ms: int) -> Reign | None:
        """Who was last elected by then."""
        reigns = [reign for reign in self.reigns if reign.elected <= at_ms]
        return reigns[-1] if reigns else None

    def _takers(self) -> dict[Kind, Callable[[Event, int], None]]:
        takers: dict[Kind, Callable[[Event, int], None]] = {Kind(state): self._state for state in State}
        return takers | {
            Kind.LOST: self._lost,
            Kind.LOCK_ACQUIRED: self._granted,
            Kind.LOCK_EXTENDED: self._extended,
            Kind.LOCK_RELEASED: self._released,
            Kind.INSTANCE_JOINED: self._joined,
            Kind.INSTANCE_DRAINING: self._draining,
            Kind.INSTANCE_LEFT: self._gone,
            Kind.INSTANCE_LOST: self._gone,
            Kind.LEADER_ELECTED: self._elected,
            Kind.LEADER_RESIGNED: self._resigned,
        }

    def _read_snapshot(self, snap: dict[str, Any]) -> None:
        at = min(self.start, snap.get("at") or self.start)
        for name, inst in (snap.get("instances") or {}).items():
            life = Life(name, inst["incarnation"], at, inst)
            self.lives.append(life)
            self._living[name] = life
        for key, x in (snap.get("executions") or {}).items():
            run = Run(key, x.get("task") or "", x.get("slot"), "", at, state=x["state"], since=at)
            self.runs[key] = run
            if run.state == State.RUNNING and x.get("token"):
                self._begin(run, x.get("attempt") or 0, x["token"], x.get("instance") or "", at, None, None)
        for name, held in (snap.get("locks") or {}).items():
            hold = Hold(name, held["owner"], held["token"], at, held["until"], held["until"])
            self.holds.append(hold)
            self._held[name] = hold
        leader = snap.get("leader")
        if leader:
            self.reigns.append(
                Reign(leader["instance"], leader.get("incarnation"), leader["epoch"], at, leader["until"])
            )

    def _begin(
        self, run: Run, number: int, token: int, instance: str, at: int, until: int | None, event: str | None
    ) -> None:
        life = self._living.get(instance)
        tried = Try(
            run.id, run.task, number, token, instance, at, until, event, life.incarnation if life else None
        )
        self.tries.append(tried)
        self._trying[run.id] = tried

    def _end(self, execution: str, at: int, outcome: str, event: str) -> None:
        tried = self._trying.pop(execution, None)
        if tried is not None:
            tried.ended, tried.outcome, tried.end_event = at, outcome, event

    def _state(self, e: Event, at: int) -> None:
        if not e.execution:
            return
        source = str(e.data.get("source") or ("schedule" if e.data.get("reason") == "overlap" else ""))
        new = e.kind == Kind.BUFFERED or (e.kind == Kind.READY and source in CREATES)
        run = self.runs.get(e.execution)
        if run is None or new:
            slot = e.data.get("slot")
            run = Run(e.execution, e.task or "", slot, source if new else "", at, e.data.get("due"))
            self.runs[e.execution] = run
        if e.kind == Kind.RUNNING:
            run.tries += 1
            run.started = at if run.started is None else run.started
            run.late_ms = e.data.get("late_ms") if run.late_ms is None else run.late_ms
            self._begin(run, e.attempt or 0, e.token or 0, e.instance or "", at, e.data.get("until"), e.id)
        else:
            returned = "RETURNED" if source == "returned" else str(e.kind)
            self._end(e.execution, at, str(e.data.get("outcome") or returned), e.id)
        run.state, run.since, run.last = str(e.kind), at, e.id
        run.reason = str(e.data.get("reason") or source)
        run.wakes = e.data.get("retry_at") if e.kind == Kind.RETRYING else e.data.get("due")

    def _lost(self, e: Event, at: int) -> None:
        if e.execution in self.runs:
            self.runs[e.execution].losses += 1
            self._end(e.execution, at, "LOST", e.id)

    def _granted(self, e: Event, at: int) -> None:
        name, until = str(e.data.get("lock")), e.data.get("until") or at
        least = e.data.get("least_until") or 0
        hold = Hold(
            name, e.instance or "", e.token or 0, at, max(until, least), until, e.task, e.execution, least
        )
        hold.event = e.id
        self.holds.append(hold)
        self._held[name] = hold

    def _extended(self, e: Event, at: int) -> None:
        hold = self._held.get(str(e.data.get("lock")))
        if hold is not None and hold.token == e.token:
            hold.until = e.data.get("until") or hold.until
            hold.free = max(hold.until, hold.least)

    def _released(self, e: Event, at: int) -> None:
        hold = self._held.get(str(e.data.get("lock")))
        if hold is not None and hold.token == e.token and hold.released is None:
            hold.released = at
            hold.until = hold.free = e.data.get("until") or at

    def _joined(self, e: Event, at: int) -> None:
        name = e.instance or ""
        old = self._living.get(name)
        if old is not None and old.ended is None:
            old.ended, old.how, old.end_event = at, "superseded", e.id
        life = Life(name, e.token or 0, at, e.data, e.id)
        self.lives.append(life)
        self._living[name] = life

    def _draining(self, e: Event, at: int) -> None:
        life = self._living.get(e.instance or "")
        if life is not None and life.incarnation == e.token and life.draining is None:
            life.draining, life.drain_event = at, e.id

    def _gone(self, e: Event, at: int) -> None:
        for life in reversed(self.lives):
            if life.name == e.instance and life.incarnation == e.token:
                if life.ended is None:
                    superseded = e.data.get("reason") == "superseded"
                    how = "superseded" if superseded else "left" if e.kind == Kind.INSTANCE_LEFT else "lost"
                    life.ended, life.how, life.end_event = at, how, e.id
                life.until = e.data.get("until", life.until)
                return

    def _elected(self, e: Event, at: int) -> None:
        if self.reigns and self.reigns[-1].ended is None:
            self.reigns[-1].ended, self.reigns[-1].how = at, "succeeded"
        until = e.data.get("until") or at
        self.reigns.append(Reign(e.instance or "", e.token, e.epoch or 0, at, until, event=e.id))

    def _resigned(self, e: Event, at: int) -> None:
        for reign in reversed(self.reigns):
            if reign.epoch == e.epoch and reign.ended is None:
                reign.ended, reign.how = at, "resigned"
                return


def _ranks(history: list[Event]) -> dict[int | None, int]:
    numbers = {n for e in history for n in (e.token, e.epoch) if n is not None}
    return {number: rank for rank, number in enumerate(sorted(numbers), 1)}
