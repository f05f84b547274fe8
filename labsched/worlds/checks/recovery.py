"""`bounded-recovery`: what a dead, paused or cut-off instance held is soon somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from .health import Span
from .nouns import Life, Try
from .premature import premature
from .result import CheckResult, Finder

if TYPE_CHECKING:
    from ..recording import Recording


class Silence(msgspec.Struct, frozen=True):
    """A life whose lease can last have been renewed at `since`. `at_once`: what it held was lost in that very step."""

    life: Life
    since: int
    why: str
    at_once: bool = False


def bounded_recovery(rec: Recording) -> CheckResult:
    """What an instance held when it fell silent is READY, DEAD, CANCELLED or finished by `deadline`, and what was
    lost is RUNNING soon after a live instance has handler and slot.

    `deadline` is max(lease, leader_lease) + sweep_every + an allowance for requests, counted from the last possible
    renewal, or from when the server, one other instance and the leader's link were well again, if they stayed so; a
    leader that is hit or steps down meanwhile begins a takeover of its own. What ended sooner than that healthy
    spell began, or had none before the recording ended, is not counted. What a superseded incarnation held must be
    lost in the same step. And nothing is LOST, nor its instance, while the lease or the attempt lasts. Tested:
    attempts held by silent or superseded instances.
    """
    find, skipped = Finder("bounded-recovery"), 0
    held_by: dict[tuple[str, int | None], list[Try]] = {}
    for tried in rec.facts.tries:
        held_by.setdefault((tried.instance, tried.incarnation), []).append(tried)
    for silence in silences(rec):
        held = [
            t for t in held_by.get((silence.life.name, silence.life.incarnation), ()) if _held(t, silence)
        ]
        judged = _judge(find, rec, silence, held)
        skipped += len(held) - judged
    _restarts(find, rec)
    premature(find, rec)
    if skipped:
        find.note = (
            f"{skipped} more not counted: no healthy server and instance, or the recording ended first"
        )
    return find.result()


def _judge(find: Finder, rec: Recording, silence: Silence, held: list[Try]) -> int:
    """How many of the attempts `held` could be demanded back; the late ones are violations."""
    since, facts = silence.since, rec.facts
    length = rec.health.timing.recovery
    window = (since, since) if silence.at_once else rec.health.window(silence.life, since, length)
    if window is None:
        return 0
    begin, deadline = window
    # What began after the deadline is not what was held in the silence: whoever began it was back.
    owed = [
        t for t in held if t.started <= deadline and (t.ended is None or t.ended > begin or silence.at_once)
    ]
    healthy = f", the cluster was healthy from {facts.clock(begin)} on" if begin > since else ""
    for tried in owed:
        if tried.ended is None or tried.ended > deadline:
            until = "at the end" if tried.ended is None else f"until {facts.clock(tried.ended)}"
            find.found(
                deadline,
                f"{silence.life.name} {silence.why} at {facts.clock(since)}{healthy}; {tried.execution} had to be "
                f"recovered by {facts.clock(deadline)} and was still its attempt {until}",
                tried.event,
                silence.life.end_event,
                tried.end_event,
            )
    find.tested += len(owed)
    return len(owed)


def silences(rec: Recording) -> Iterator[Silence]:
    """Every life that stopped renewing. One that was superseded may have been silent for long before: then twice."""
    health = rec.health
    for life in rec.facts.lives:
        faults = [s for s in health.down if s.target == life.name and s.kind != "lost" and _within(s, life)]
        if life.how == "lost":
            since = min(
                [
                    health.renewed(life),
                    *(
                        s.start
                        for s in faults
                        if _silences(s) and (s.end is None or s.end >= (life.ended or 0))
                    ),
                ]
            )
            yield Silence(life, since, "last renewed its lease")
            continue
        if life.how == "superseded" and life.ended is not None:
            yield Silence(life, life.ended, "was superseded", at_once=True)
        if life.how != "left":
            for span in faults:
                # A pause or cut shorter than the lease need not end it.
                ends = [end for end in (span.end, life.ended) if end is not None]
                least = span.start + health.lease(life) + health.timing.allowance
                if _silences(span) and min(ends, default=least + 1) > least:
                    yield Silence(life, span.start, f"was hit by a {span.kind}")
                    break


def _within(span: Span, life: Life) -> bool:
    return life.joined <= span.start and (life.ended is None or span.start <= life.ended)


def _silences(span: Span) -> bool:
    """No renewal gets through. A slow or lossy link lets some pass, and a few lost requests end by themselves."""
    cuts_requests = span.fault.get("direction") in (None, "both", "requests")
    return span.kind in ("kill", "pause", "partition") and cuts_requests


def _held(tried: Try, silence: Silence) -> bool:
    if silence.at_once and tried.ended == silence.since:
        return tried.outcome == "LOST"  # superseded: given up in the very step
    return tried.ended is None or tried.ended > silence.since


def _restarts(find: Finder, rec: Recording) -> None:
    for wait in rec.capacity.overdue.values():
        if wait.source == "lost":
            ready, free, at = (rec.facts.clock(moment) for moment in (wait.ready, wait.free, wait.at))
            sentence = (
                f"{wait.execution} was READY at {ready}, could start from {free} on, but had not at {at}"
            )
            find.found(wait.at, sentence, wait.event)
