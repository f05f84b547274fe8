"""The other half of `bounded-recovery`: nothing is taken from an instance before its lease is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...model import Event, Kind
from .nouns import Life, Try, ms
from .result import Finder

if TYPE_CHECKING:
    from ..recording import Recording


def premature(find: Finder, rec: Recording) -> None:
    """Finds instances that were declared lost, and attempts that were, before the server's clock allowed it."""
    proofs = {} if rec.health.server else _proofs(rec)
    for life in rec.facts.lives:
        if life.how == "lost" and life.ended is not None and life.until is not None:
            _instance(find, rec, life, life.until, proofs.get((life.name, life.incarnation), life.joined))
    _attempts(find, rec)


def _instance(find: Finder, rec: Recording, life: Life, until: int, renewed: int) -> None:
    facts, ended = rec.facts, life.ended or 0
    lost = f"{life.name} was declared lost at {facts.clock(ended)}"
    if ended < until - rec.health.clocks:
        find.found(ended, f"{lost}, though its lease lasted until {facts.clock(until)}", life.end_event)
        return
    # The lease as its own event tells it may be wrong; the journal has the renewals that were confirmed.
    lasted = renewed + rec.health.lease(life)
    if not rec.health.server and until < lasted - rec.health.clocks - 1:
        sentence = (
            f"{lost}, though what it renewed at {facts.clock(renewed)} lasted until {facts.clock(lasted)}"
        )
        find.found(ended, sentence, life.end_event)


def _proofs(rec: Recording) -> dict[tuple[str, int | None], int]:
    """When the last renewal that an incarnation heard of was made, by the server's clock."""
    found: dict[tuple[str, int | None], int] = {}
    for entry in rec.journals:
        if entry["kind"] == "proved" and entry.get("server") is not None:
            found[str(entry.get("instance")), entry.get("incarnation")] = entry["server"]
    return found


def _attempts(find: Finder, rec: Recording) -> None:
    """LOST says why: the instance is gone by then, or the attempt's hard end has come."""
    live = {name: inst["incarnation"] for name, inst in (rec.snapshot.get("instances") or {}).items()}
    # An attempt that names no incarnation lives on a lease of its own: so other schedulers do, as the zoo has them.
    lives_on: dict[str | None, int | None] = {}
    ended = {tried.end_event: tried for tried in rec.facts.tries}
    for e in rec.history:
        name = e.instance or ""
        if e.kind == Kind.RUNNING:
            lives_on[e.execution] = e.data.get("inc")
        elif e.kind == Kind.INSTANCE_JOINED:
            live[name] = e.token
        elif e.kind in (Kind.INSTANCE_LOST, Kind.INSTANCE_LEFT):
            if live.get(name) == e.token:
                del live[name]
        elif e.kind == Kind.LOST:
            inc = lives_on.get(e.execution)
            why = _early(rec, e, ended.get(e.id), member=inc is not None and live.get(name) == inc)
            if why:
                find.found(ms(e), f"{e.execution} was LOST at {rec.facts.clock(ms(e))}, though {why}", e.id)


def _early(rec: Recording, e: Event, tried: Try | None, member: bool) -> str:
    reason = e.data.get("reason")
    if reason in ("lease", "superseded") and member:
        return f"{e.instance} was a member"
    until = None if tried is None else tried.until
    if reason == "hard-end" and until is not None and ms(e) < until - rec.health.clocks:
        return f"its hard end was only at {rec.facts.clock(until)}"
    return ""
