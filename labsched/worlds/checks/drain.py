"""`clean-drain`: a draining instance claims nothing and leaves nothing running behind."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from .nouns import Life, Try, id_key
from .result import CheckResult, Finder

if TYPE_CHECKING:
    from ..recording import Recording


def clean_drain(rec: Recording) -> CheckResult:
    """After INSTANCE_DRAINING no RUNNING of that incarnation, INSTANCE_LEFT within `drain_timeout` and
    `cancel_grace`, and at INSTANCE_LEFT (or at the timeout) none of its attempts is RUNNING. The journal's `left` is
    not late either.

    A drain that a kill, a pause, a cut or trouble with the server ended is recovery, not drain, and is not
    counted, nor is one that the recording does not see the end of. Tested: drains, and departures without one.
    """
    find = Finder("clean-drain")
    tries: dict[tuple[str, int | None], list[Try]] = defaultdict(list)
    for tried in rec.facts.tries:
        tries[tried.instance, tried.incarnation].append(tried)
    for life in rec.facts.lives:
        if life.draining is not None or life.how == "left":
            _drain(find, rec, life, tries[life.name, life.incarnation])
    _journals(find, rec)
    return find.result()


def _drain(find: Finder, rec: Recording, life: Life, tries: list[Try]) -> None:
    facts, health = rec.facts, rec.health
    if life.draining is not None:
        for tried in tries:
            if tried.started >= life.draining and _after(tried.event, life.drain_event):
                sentence = (
                    f"{life.name} claimed {tried.execution} at {facts.clock(tried.started)}, while draining"
                )
                find.found(tried.started, sentence, life.drain_event, tried.event)
    timeout = _allowed(life)
    begun = life.draining if life.draining is not None else life.ended or 0
    limit = None if timeout is None else begun + round(timeout * 1000) + health.timing.allowance
    left = life.ended if life.how == "left" else None
    if left is None:
        hit = any(span.target == life.name and span.meets(begun, limit or facts.end) for span in health.down)
        hit = hit or not health.server_ok(begun, limit or facts.end) or life.how != ""
        if limit is None or limit > facts.end or hit:
            return
    find.tested += 1
    disturbed = not health.server_ok(begun, left or begun) or any(
        span.target == life.name and span.meets(begun, left or begun) for span in health.down
    )
    if limit is not None and not disturbed and (left is None or left > limit):
        gone = "had not left" if left is None else f"left only at {facts.clock(left)}"
        sentence = f"{life.name} began to drain at {facts.clock(begun)} and {gone}; allowed are {timeout:g} s"
        find.found(limit, sentence, life.drain_event, life.end_event)
    for tried in tries:
        by = left if left is not None else limit
        if by is not None and (tried.ended is None or tried.ended > by):
            sentence = f"{life.name} left {tried.execution} RUNNING behind at {facts.clock(by)}"
            find.found(by, sentence, tried.event, life.end_event, tried.end_event)


def _allowed(life: Life) -> float | None:
    """Seconds that a drain may take: bodies that did not end in their time are cancelled, and get some more to obey."""
    timeout = life.data.get("drain_timeout")
    return None if timeout is None else timeout + (life.data.get("cancel_grace") or 0.0)


def _after(event: str | None, other: str | None) -> bool:
    return event is not None and other is not None and id_key(event) > id_key(other)


def _journals(find: Finder, rec: Recording) -> None:
    slack = rec.health.timing.allowance / 1000
    timeouts = {(life.name, life.incarnation): _allowed(life) for life in rec.facts.lives}
    for entry in rec.journals:
        if entry.get("kind") != "drain" or entry.get("stage") != "left":
            continue
        key = (str(entry.get("instance")), int(entry.get("incarnation") or 0))
        timeout, took = timeouts.get(key), entry.get("took")
        hit = any(span.target == key[0] for span in rec.health.down) or rec.health.server
        if timeout is not None and took is not None and not hit and took > timeout + slack:
            sentence = f"{key[0]} says that it took {took:g} s to leave; allowed are {timeout:g} s"
            find.found(rec.facts.end, sentence)
