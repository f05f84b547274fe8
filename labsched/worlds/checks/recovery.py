"""`bounded-recovery`: what a dead, paused or cut-off instance held is soon somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from .health import Span
from .nouns import Life, Try
from .result import CheckResult, Finder

if TYPE_CHECKING:
    from ..recording import Recording


class Silence(msgspec.Struct, frozen=True):
    """A life whose lease can last have been renewed at `since`; by `deadline` it must hold nothing."""

    life: Life
    since: int
    deadline: int
    why: str


def bounded_recovery(rec: Recording) -> CheckResult:
    """What an instance held when it fell silent is READY, DEAD, CANCELLED or finished by `deadline`, and what was
    lost is RUNNING soon after a live instance has handler and slot.

    `deadline` is the last possible renewal + max(lease, leader_lease) + sweep_every + an allowance for requests;
    a leader that is hit or steps down meanwhile begins a takeover of its own. Counted only while the server and
    another instance were healthy throughout, and the recording reaches beyond the deadline. What a superseded
    incarnation held must be lost in the same step. Tested: attempts held by silent or superseded instances.
    """
    find, facts, skipped = Finder("bounded-recovery"), rec.facts, 0
    held_by: dict[tuple[str, int | None], list[Try]] = {}
    for tried in facts.tries:
        held_by.setdefault((tried.instance, tried.incarnation), []).append(tried)
    for silence in silences(rec):
        life = silence.life
        held = [t for t in held_by.get((life.name, life.incarnation), ()) if _held(t, silence)]
        instant = life.how == "superseded" and silence.deadline == life.ended
        if not instant and not _counts(rec, silence):
            skipped += len(held)
            continue
        find.tested += len(held)
        for tried in held:
            if tried.ended is None or tried.ended > silence.deadline:
                until = "at the end" if tried.ended is None else f"until {facts.clock(tried.ended)}"
                find.found(
                    silence.deadline,
                    f"{life.name} {silence.why} at {facts.clock(silence.since)}; {tried.execution} had to be recovered "
                    f"by {facts.clock(silence.deadline)} and was still its attempt {until}",
                    tried.event,
                    life.end_event,
                    tried.end_event,
                )
    _restarts(find, rec)
    if skipped:
        find.note = (
            f"{skipped} more not counted: no healthy server and instance, or the recording ended first"
        )
    return find.result()


def silences(rec: Recording) -> Iterator[Silence]:
    """Every life that stopped renewing, once each."""
    health = rec.health
    for life in rec.facts.lives:
        faults = [s for s in health.down if s.target == life.name and s.kind != "lost" and _within(s, life)]
        if life.how == "lost":
            since = min(
                [
                    health.renewed(life),
                    *(s.start for s in faults if s.end is None or s.end >= (life.ended or 0)),
                ]
            )
            yield Silence(life, since, _deadline(rec, since), "last renewed its lease")
        elif life.how == "superseded" and life.ended is not None:
            yield Silence(life, life.ended, life.ended, "was superseded")
        elif life.how == "":
            for span in faults:
                # A pause or cut shorter than the lease, or one that only loses replies, need not end it.
                lasted = (
                    span.end is None or span.end - span.start > health.lease(life) + health.timing.allowance
                )
                if lasted and span.kind in ("kill", "pause", "partition") and _cuts_requests(span):
                    yield Silence(life, span.start, _deadline(rec, span.start), f"was hit by a {span.kind}")
                    break


def _within(span: Span, life: Life) -> bool:
    return life.joined <= span.start and (life.ended is None or span.start <= life.ended)


def _cuts_requests(span: Span) -> bool:
    return span.fault.get("direction") in (None, "both", "requests")


def _deadline(rec: Recording, since: int) -> int:
    return rec.health.takeovers(since, since + rec.health.timing.recovery)


def _held(tried: Try, silence: Silence) -> bool:
    if silence.deadline == silence.since and tried.ended == silence.since:
        return tried.outcome == "LOST"  # superseded: given up in the very step
    return tried.ended is None or tried.ended > silence.since


def _counts(rec: Recording, silence: Silence) -> bool:
    if silence.deadline > rec.facts.end:
        return False
    return rec.health.healthy(silence.since, silence.deadline)  # the silent one is not fit, so it is another


def _restarts(find: Finder, rec: Recording) -> None:
    for wait in rec.capacity.overdue.values():
        if wait.source == "lost":
            ready, free, at = (rec.facts.clock(moment) for moment in (wait.ready, wait.free, wait.at))
            sentence = (
                f"{wait.execution} was READY at {ready}, could start from {free} on, but had not at {at}"
            )
            find.found(wait.at, sentence, wait.event)
