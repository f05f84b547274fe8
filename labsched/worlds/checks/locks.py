"""`one-holder`: a lock is granted to one owner at a time, and tokens grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...model import Event, Kind
from .facts import Facts
from .nouns import Hold, id_key, ms
from .result import RESET, CheckResult, Finder

if TYPE_CHECKING:
    from ..recording import Recording


def one_holder(rec: Recording) -> CheckResult:
    """No grant while an earlier grant of the same lock lasts; every new token is above all earlier ones.

    A grant lasts until its `until`, as extended, or as its release says (the rest of `at_least_for`). A
    handover within one millisecond is fine, and so is a further try of the execution that has let go: `at_least_for`
    holds other runs back. Tested: grants that followed another grant of the same lock.
    After a history reset only the token rule is judged, and only where the clock did not go back.
    """
    find = Finder("one-holder")
    if rec.history_reset:
        find.note = f"{RESET}: {rec.history_reset}; only the growth of tokens was judged"
    else:
        _grants(find, rec.facts)
    _tokens(find, rec)
    return find.result()


def _grants(find: Finder, facts: Facts) -> None:
    last: dict[str, Hold] = {}
    for hold in facts.holds:
        before = last.get(hold.lock)
        last[hold.lock] = hold
        if before is None:
            continue
        find.tested += 1
        again = before.released is not None and hold.execution and hold.execution == before.execution
        # Whatever its release says: the run of a task cannot give `at_least_for` back, only a grant nobody used can.
        free = max(before.free, before.least) if before.execution else before.free
        if hold.granted < free and not again:
            find.found(
                hold.granted,
                f"lock {hold.lock!r} was granted to {hold.owner} ({facts.rank(hold.token)}) at "
                f"{facts.clock(hold.granted)} while {before.owner} ({facts.rank(before.token)}) held it until "
                f"{facts.clock(free)}",
                before.event,
                hold.event,
            )


def _tokens(find: Finder, rec: Recording) -> None:
    highest, previous = _first_token(rec), (0, 0)
    owner_of: dict[int, str] = {}
    for e in rec.history:
        if id_key(e.id) <= previous:
            highest = 0  # the new server's clock is behind: the rule makes no promise across this point
        previous = id_key(e.id)
        token = _new_token(e)
        if token is None:
            continue
        # An attempt and the lock it runs under share one token.
        if e.execution and owner_of.get(token) == e.execution:
            continue
        if token <= highest:
            find.found(
                ms(e),
                f"{e.kind} by {e.instance} at {rec.facts.clock(ms(e))} got token {token}, though {highest} had "
                f"been given before",
                e.id,
            )
        highest = max(highest, token)
        if e.execution:
            owner_of[token] = e.execution


def _new_token(e: Event) -> int | None:
    if e.kind == Kind.LEADER_ELECTED:
        return e.epoch
    return e.token if e.kind in (Kind.RUNNING, Kind.LOCK_ACQUIRED, Kind.INSTANCE_JOINED) else None


def _first_token(rec: Recording) -> int:
    snap = rec.snapshot
    tokens = [x.get("token") for x in (snap.get("executions") or {}).values()]
    tokens += [held.get("token") for held in (snap.get("locks") or {}).values()]
    tokens += [inst.get("incarnation") for inst in (snap.get("instances") or {}).values()]
    tokens.append((snap.get("leader") or {}).get("epoch"))
    return max((token for token in tokens if token), default=0)
