"""`legal-transitions` and `effect-once`: what one execution may go through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...model import TERMINAL, TRANSITIONS, Event, Kind, State
from .attempts import Attempts
from .facts import Facts
from .nouns import CREATES, ENDED, STATES, ms
from .result import CheckResult, Finder

if TYPE_CHECKING:
    from ..recording import Recording

# Where a READY of that `source` comes from.
_FROM = {
    **dict.fromkeys(CREATES, frozenset({""})),
    **dict.fromkeys(("lost", "returned"), frozenset({"RUNNING"})),
    **dict.fromkeys(("buffer", "delayed"), frozenset({"BUFFERED"})),
    "retry": frozenset({"RETRYING"}),
    "requeue": frozenset({"FAILED", "DEAD"}),
}
_WHILE_RUNNING = frozenset({Kind.LOST, Kind.CANCEL_REQUESTED, Kind.FENCE_WRITTEN})
_AFTER_LOST = frozenset({Kind.READY, Kind.DEAD, Kind.CANCELLED})


def legal_transitions(rec: Recording) -> CheckResult:
    """Every execution walks `model.TRANSITIONS`, READY comes from where its `source` says, LOST, CANCEL_REQUESTED
    and FENCE_WRITTEN come while RUNNING, and after LOST comes READY, DEAD or CANCELLED. Attempts are numbered one by
    one, a retry was left and its time has come, and what was cancelled while it ran had been asked to stop.

    Tested: the steps that were walked.
    """
    find = Finder("legal-transitions")
    walk = _Walk(rec)
    for e in rec.history:
        if e.kind == Kind.FORGOTTEN:
            walk.forget(e)
        elif e.execution and (e.kind in STATES or e.kind in _WHILE_RUNNING):
            find.tested += 1
            wrong = walk.step(e)
            if wrong:
                find.found(
                    ms(e),
                    f"{e.execution} {wrong} at {rec.facts.clock(ms(e))}",
                    walk.last.get(e.execution),
                    e.id,
                )
            walk.last[e.execution] = e.id
    return find.result()


class _Walk:
    """Where each execution stands; its state afterwards is what the event says, legal or not."""

    def __init__(self, rec: Recording) -> None:
        known = rec.snapshot.get("executions") or {}
        self.state: dict[str, str] = {key: x["state"] for key, x in known.items()}
        self.middle = "executions" not in rec.snapshot
        self.lost: set[str] = set()
        self.last: dict[str, str] = {}
        self.ended: dict[str, int] = {}
        self.forgotten = 0
        self.attempts = Attempts(rec)

    def forget(self, e: Event) -> None:
        self.forgotten = max(self.forgotten, e.data.get("before") or 0)

    def step(self, e: Event) -> str:
        """What is wrong with this step, or an empty text."""
        before = self._before(e)
        said = self.attempts.take(e, before)
        return self._step(e, before) or said

    def _step(self, e: Event, before: str | None) -> str:
        key = e.execution or ""
        if e.kind in _WHILE_RUNNING:
            wrong = "" if before in (None, State.RUNNING) and key not in self.lost else self._odd(e, before)
            if e.kind == Kind.LOST:
                self.lost.add(key)
            return wrong
        wrong = self._move(e, before)
        self.lost.discard(key)
        self.state[key] = e.kind
        if e.kind in ENDED:
            self.ended[key] = ms(e)
        return wrong

    def _before(self, e: Event) -> str | None:
        """The state so far, "" for none, None when it cannot be known."""
        key, source = e.execution or "", e.data.get("source")
        state = self.state.get(key)
        if state is None:
            # Terminal executions may be left out of a snapshot, so the first word may be a requeue.
            return None if self.middle or (e.kind == Kind.READY and source == "requeue") else ""
        creates = e.kind == Kind.BUFFERED or (e.kind == Kind.READY and source in CREATES)
        if creates and state in TERMINAL and self.ended.get(key, 0) < self.forgotten:
            return ""  # retention removed the earlier one; a trigger's id may then be used again
        return state

    def _odd(self, e: Event, before: str | None) -> str:
        return f"had {e.kind} while {'LOST' if e.execution in self.lost else before or 'it did not exist'}"

    def _move(self, e: Event, before: str | None) -> str:
        if before is None:
            return ""
        if State(e.kind) not in TRANSITIONS[before]:
            return f"went from {before or 'nothing'} to {e.kind}"
        lost, source = e.execution in self.lost, e.data.get("source")
        if lost and e.kind not in _AFTER_LOST:
            return f"became {e.kind} after its attempt was LOST"
        if e.kind == Kind.READY:
            if source in _FROM and before not in _FROM[source]:
                return f"became READY from {before or 'nothing'} with source {source}"
            if before == State.RUNNING and (source == "lost") != lost:
                return f"became READY with source {source} {'after' if lost else 'without'} LOST"
        return ""


def effect_once(rec: Recording) -> CheckResult:
    """One attempt commits (SUCCEEDED or FAILED) per execution, until an operator requeues it; a fence key of an
    execution is written once.

    Tested: commits and fence writes of executions that had more than one attempt.
    """
    find = Finder("effect-once")
    tries, done, keys = _Once(), _Once(), _Once()
    for e in rec.history:
        key, source = e.execution or "", e.data.get("source")
        if e.kind == Kind.RUNNING:
            tries.add(key, e.id)
        elif e.kind == Kind.READY and source in CREATES | {"requeue"}:
            done.ids.pop(key, None)
            if source in CREATES:
                keys.ids.pop(key, None)
        elif e.kind in (Kind.SUCCEEDED, Kind.FAILED):
            _once(
                find,
                rec.facts,
                e,
                done.add(key, e.id),
                f"{key} committed a second result",
                len(tries.ids.get(key, ())),
            )
        elif e.kind == Kind.FENCE_WRITTEN:
            name = str(e.data.get("key"))
            earlier = keys.add(key, e.id, name)
            _once(
                find,
                rec.facts,
                e,
                earlier,
                f"{key} wrote fence key {name!r} again",
                len(tries.ids.get(key, ())),
            )
    return find.result()


class _Once:
    """Event ids by execution, each with a label."""

    def __init__(self) -> None:
        self.ids: dict[str, list[tuple[str, str]]] = {}

    def add(self, execution: str, event: str, label: str = "") -> list[str]:
        """Adds one; the ids of the earlier ones with the same label."""
        known = self.ids.setdefault(execution, [])
        same = [event_id for event_id, other in known if other == label]
        known.append((event, label))
        return same


def _once(find: Finder, facts: Facts, e: Event, earlier: list[str], what: str, tries: int) -> None:
    find.tested += tries > 1 or bool(earlier)
    if earlier:
        who = f"{e.instance} ({facts.rank(e.token)})"
        find.found(ms(e), f"{what} at {facts.clock(ms(e))}, by {who}", *earlier, e.id)
