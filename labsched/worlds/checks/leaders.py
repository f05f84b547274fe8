"""`one-leader-per-epoch`: several may believe that they lead, one can act."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...model import Event, Kind
from .facts import Facts
from .nouns import Reign, ms
from .result import CheckResult, Finder

if TYPE_CHECKING:
    from ..recording import Recording

_DISPATCHED = frozenset({Kind.READY, Kind.BUFFERED, Kind.SKIPPED})
_LED = _DISPATCHED | {Kind.FORGOTTEN, Kind.LEADER_RESIGNED}


def one_leader_per_epoch(rec: Recording) -> CheckResult:
    """An epoch is given once; the next is given after the last lease ended or its leader stepped down; only the
    leader of an epoch dispatches, forgets and steps down with it.

    Leases count as they were granted: renewals have no event. Tested: elections that followed another one, and
    dispatches once there had been two.
    """
    find, facts = Finder("one-leader-per-epoch"), rec.facts
    leader_of: dict[int, Reign] = {}
    for before, reign in zip([None, *facts.reigns], facts.reigns, strict=False):
        if before is not None:
            find.tested += 1
            _judge(find, facts, before, reign, leader_of)
        leader_of.setdefault(reign.epoch, reign)
    for e in rec.history:
        if e.kind in _LED and e.epoch is not None:
            _dispatch(find, facts, e, leader_of)
    return find.result()


def _judge(find: Finder, facts: Facts, before: Reign, reign: Reign, leader_of: dict[int, Reign]) -> None:
    first = leader_of.get(reign.epoch)
    if first is not None:
        found = f"epoch {facts.rank(reign.epoch)} was given to {first.instance} and again to {reign.instance}"
        find.found(reign.elected, f"{found} at {facts.clock(reign.elected)}", first.event, reign.event)
    elif reign.epoch < before.epoch:
        found = f"{reign.instance} was elected with epoch {facts.rank(reign.epoch)} at {facts.clock(reign.elected)}"
        find.found(
            reign.elected, f"{found}, after epoch {facts.rank(before.epoch)}", before.event, reign.event
        )
    if before.how != "resigned" and reign.elected < before.until:
        found = f"{reign.instance} was elected at {facts.clock(reign.elected)} while {before.instance} led"
        find.found(reign.elected, f"{found} until {facts.clock(before.until)}", before.event, reign.event)


def _dispatch(find: Finder, facts: Facts, e: Event, leader_of: dict[int, Reign]) -> None:
    find.tested += len(leader_of) > 1 and e.kind in _DISPATCHED
    reign, by = leader_of.get(e.epoch or 0), e.instance or e.data.get("by")
    if reign is not None and by is not None and by != reign.instance:
        did = "dispatched" if e.kind in _DISPATCHED else f"wrote {e.kind}"
        found = f"{by} {did} at {facts.clock(ms(e))} with epoch {facts.rank(e.epoch)} of {reign.instance}"
        find.found(ms(e), found, reign.event, e.id)
