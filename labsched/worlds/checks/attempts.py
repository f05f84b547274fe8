"""What the events of one execution must say of its attempts: their numbers, their retries, who asked them to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ...model import Event, Kind, State
from .definitions import Retries
from .nouns import CREATES, ms

if TYPE_CHECKING:
    from ..recording import Recording

_ENDS = frozenset({Kind.SUCCEEDED, Kind.FAILED, Kind.RETRYING, Kind.DEAD, Kind.CANCELLED, Kind.LOST})
_OF_AN_ATTEMPT = _ENDS | {Kind.CANCEL_REQUESTED, Kind.FENCE_WRITTEN}
_GOES_ON = frozenset({Kind.READY, Kind.RETRYING, Kind.DEAD})


class _Known(msgspec.Struct):
    """One execution so far. None means that it began before the recording, so that it cannot be known."""

    task: str | None
    attempt: int | None = None
    again: bool = False  # handed back: unstarted it was no try, and its number is given again
    failed: int | None = None  # retries since it was created or requeued
    retries: tuple[int, int] | None = None  # fewest and most that its attempt allows
    asked: bool | None = None  # whether its attempt was asked to stop
    wakes: int | None = None  # when a timer moves it on


class Attempts:
    """All executions of a recording, event by event."""

    def __init__(self, rec: Recording) -> None:
        self._clocks, self._retries = rec.health.clocks, Retries(rec)
        self._known = {
            key: _Known(x.get("task"), x.get("attempt"))
            for key, x in (rec.snapshot.get("executions") or {}).items()
        }

    def take(self, e: Event, before: str | None) -> str:
        """What is wrong with this event, or an empty text; `before`: the state of its execution (None: unknown)."""
        key = e.execution or ""
        if e.kind == Kind.BUFFERED or (e.kind == Kind.READY and e.data.get("source") in CREATES):
            self._known[key] = _Known(e.task, 0, failed=0, wakes=e.data.get("due"))
            return ""
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known(e.task)
        wrong = self._wrong(e, known, before)
        self._learn(e, known)
        return wrong

    def _wrong(self, e: Event, known: _Known, before: str | None) -> str:
        if e.task and known.task and e.task != known.task:
            return f"had {e.kind} of task {e.task}, though it is one of {known.task}"
        if known.attempt is not None and e.attempt is not None:
            if e.kind == Kind.RUNNING:
                if e.attempt != known.attempt + 1 and not (known.again and e.attempt == known.attempt):
                    return f"became RUNNING as attempt {e.attempt} after attempt {known.attempt}"
            elif e.kind in _OF_AN_ATTEMPT and e.attempt != known.attempt:
                return f"had {e.kind} of attempt {e.attempt}, though attempt {known.attempt} was the last"
        if e.kind == Kind.READY and e.data.get("source") in ("retry", "delayed"):
            early = known.wakes is not None and ms(e) < known.wakes - self._clocks
            return f"became READY {known.wakes - ms(e)} ms early" if early and known.wakes is not None else ""
        return self._stopped(e, known, before) or self._failed(e, known)

    def _stopped(self, e: Event, known: _Known, before: str | None) -> str:
        if e.kind == Kind.CANCELLED and before is not None:
            was = e.data.get("was", before)
            if was != before:
                return f"was cancelled as {was}, though it was {before}"
            if was == State.RUNNING and known.asked is False and not e.data.get("force"):
                return "was CANCELLED, though nobody had asked it to stop"
        if e.kind in _GOES_ON and known.asked and before == State.RUNNING:
            return f"became {e.kind}, though it had been asked to stop"
        return ""

    def _failed(self, e: Event, known: _Known) -> str:
        if known.retries is None or known.failed is None:
            return ""
        least, most = known.retries
        if e.kind == Kind.RETRYING and known.failed >= most:
            return f"became RETRYING for the {known.failed + 1}. time, and its task allows {most}"
        if e.kind == Kind.FAILED and known.failed < least:
            return f"became FAILED after {known.failed} of {least} retries"
        return ""

    def _learn(self, e: Event, known: _Known) -> None:
        if e.kind == Kind.RUNNING:
            known.attempt, known.again, known.asked = e.attempt, False, False
            known.retries = self._retries.of(e)
        elif e.kind == Kind.CANCEL_REQUESTED:
            known.asked = True
        elif e.kind == Kind.RETRYING:
            known.failed = None if known.failed is None else known.failed + 1
            known.wakes = e.data.get("retry_at")
        elif e.kind == Kind.READY:
            known.again, known.asked, known.wakes = e.data.get("source") == "returned", False, None
            if e.data.get("source") == "requeue":
                known.failed = 0
