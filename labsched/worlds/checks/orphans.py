"""Attempts that the server counts as RUNNING at a live instance which knows nothing of them, by the journals."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from .nouns import Life, Try

if TYPE_CHECKING:
    from ..recording import Recording


class Proof(msgspec.Struct, frozen=True):
    """A heartbeat that was answered at `at` (ms, by the server), and the tokens that the instance then knew."""

    at: int
    knows: frozenset[int]


class Orphan(msgspec.Struct, frozen=True):
    """An attempt of which its instance knew nothing from one proof to another, further apart than it may be."""

    tried: Try
    life: Life
    since: int
    until: int


def orphans(rec: Recording) -> tuple[int, list[Orphan]]:
    """How many attempts outlasted the time in which a granted claim or an end gets through, and the orphans of them.

    That time (`Timing.start`) counts only while the server and the instance were well. A journal that does not say
    what its instance runs accuses nobody.
    """
    tested, found, most = 0, list[Orphan](), rec.health.timing.start
    proofs = _proofs(rec)
    lives = {(life.name, life.incarnation): life for life in rec.facts.lives}
    for tried in rec.facts.tries:
        key = (tried.instance, tried.incarnation)
        end = rec.facts.end if tried.ended is None else tried.ended
        if key not in lives or end - tried.started <= most:
            continue
        during = [proof for proof in proofs.get(key, ()) if tried.started <= proof.at <= end]
        if during and during[-1].at - during[0].at > most:
            tested += 1
            found += _unknown(rec, lives[key], tried, during)
    return tested, found


def _unknown(rec: Recording, life: Life, tried: Try, during: list[Proof]) -> list[Orphan]:
    """The first stretch of proofs without its token that is too long, if any."""
    since: int | None = None
    for proof in during:
        if tried.token in proof.knows:
            since = None
        elif since is None or not _well(rec, life, since, proof.at):
            since = proof.at
        elif proof.at - since > rec.health.timing.start:
            return [Orphan(tried, life, since, proof.at)]
    return []


def _well(rec: Recording, life: Life, start: int, end: int) -> bool:
    return rec.health.server_ok(start, end) and rec.health.fit(life, start, end)


def _proofs(rec: Recording) -> dict[tuple[str, int | None], list[Proof]]:
    """By instance and incarnation, in order. Where the server's clock was set back, time stands still until it has
    caught up, as it does in the ids of events: that is how starts and ends of attempts are known."""
    found: dict[tuple[str, int | None], list[Proof]] = defaultdict(list)
    for entry in rec.journals:
        if entry["kind"] == "proved" and entry.get("server") is not None and "runs" in entry:
            known = found[str(entry.get("instance")), entry.get("incarnation")]
            at = max(entry["server"], known[-1].at) if known else entry["server"]
            known.append(Proof(at, frozenset(entry["runs"])))
    return found
