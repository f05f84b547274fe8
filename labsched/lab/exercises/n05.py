"""The exercises of notebook 05: where it goes wrong, a store that compares tokens, a lock that raises the fence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labsched.errors import ConfigError
from labsched.worlds.explorer import Outcome, play

from .grading import Grader
from .locking import (
    AFTER,
    Case,
    Each,
    after,
    check_taking,
    every_order,
    every_pause,
    in_order,
    judged,
    refuse,
)
from .reports import FENCED, Report, story

# Tokens with gaps; as texts they would sort the other way round; as large as a server's microseconds.
TOKENS = (
    (9, 10, 33),
    (998, 1_021, 1_022),
    (1_790_000_000_999_999, 1_790_000_001_000_007, 1_790_000_002_000_000),
)
STORES = "report", "book:{3}/über", "x"
PAUSE, LENGTH = 3.2, 12.0


@judged
def an_event(answer: Any) -> str:
    """The number of the line of `story` at which something goes wrong for the first time."""
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise ConfigError("the answer is the number of a line, such as 1")
    lines = dict(enumerate(story(Report().run(PAUSE, LENGTH)).splitlines(), 1))
    wrong = next(number for number, line in lines.items() if "a writes the report" in line)
    if answer not in lines:
        refuse("", f"there are lines 1 to {len(lines)}")
    what = " ".join(lines[answer].split()[3:])
    if answer > wrong:
        refuse("", f"line {answer} ({what}) comes after the first wrong one")
    if answer < wrong:
        refuse("", f"line {answer} ({what}) {_excuse(what)}")
    return f"{what}: a believes in a lock that ended at 11.0 s, and the store has no reason to doubt it"


def _excuse(what: str) -> str:
    if "takes" in what:
        return "is right: nobody held the lock then"
    if "paused" in what or "wakes" in what:
        return "is no mistake of anybody: machines pause, and nothing here promised that they do not"
    return "is right: it held the lock when it did that"


@judged
def write(answer: Any) -> str:
    """`write(redis, name, token, value)`: newest and equal accepted, older refused, in one step."""
    for name, tokens in zip(STORES, TOKENS, strict=True):
        _compares(answer, name, tokens)
    explored = every_order(Each(answer, _one_write), told="write", invariant=_order_kept)
    in_order(explored, _of_a_store)
    crashes = every_order(Each(answer, _one_write), told="write", crashes=True, invariant=_order_kept)
    in_order(crashes, _of_a_store)
    return f"{explored.total} orders of two writers, with gaps and large tokens: what is older never wins"


def _compares(answer: Any, name: str, tokens: tuple[int, int, int]) -> None:
    """One client, one write after the other, and what can be read after each."""
    old, new, newest = tokens
    plan = ((new, "first", True), (new, "again", True), (old, "late", False), (newest, "next", True),
            (newest + 5, "gap", True), (new, "late too", False))  # fmt: skip

    async def use(copy: Callable[..., Any], client: Any, redis: Any) -> list[tuple[bool, str | None]]:
        return [
            (bool(await copy(redis, name, token, value)), await redis.get(name)) for token, value, _ in plan
        ]

    results = play(Each(answer, use), "", clients=1, invariant=lambda outcome: None).results["A"]
    stands: str | None = None
    for (token, value, due), (said, found) in zip(plan, results, strict=True):
        _judge(name, token, value, due, said, found, stands)
        stands = value if due else stands
    _forgets_nothing(answer, name, tokens)


def _judge(
    name: str, token: int, value: str, due: bool, said: bool, found: str | None, stands: str | None
) -> None:
    if due and (not said or found != value):
        first = "nobody has written before" if stands is None else "no newer token has written"
        what = f"returned {said}" if not said else f"left {found!r} under {name!r}"
        refuse("newest-accepted", f"{first}, so write with token {token} has to be accepted, but it {what}")
    if not due and (said or found == value):
        refuse(
            "no-stale-write",
            f"a newer token had written, and write with the older token {token} was accepted",
        )
    if not due and found != stands:
        refuse(
            "no-stale-write", f"write with token {token} was refused, and yet {name!r} changed to {found!r}"
        )


def _forgets_nothing(answer: Any, name: str, tokens: tuple[int, int, int]) -> None:
    """Hours later, and for one name whatever the other has seen."""

    async def use(copy: Callable[..., Any], client: Any, redis: Any) -> bool:
        return bool(await copy(redis, name, tokens[1 - client.number], "value"))

    async def elsewhere(copy: Callable[..., Any], client: Any, redis: Any) -> bool:
        return bool(await copy(redis, f"{name}/{client.number}", tokens[1 - client.number], "value"))

    if after(Each(answer, use), 36_000, lambda outcome: None).results["B"]:
        refuse(
            "no-stale-write", f"ten hours after token {tokens[1]} had written, token {tokens[0]} was accepted"
        )
    if not all(after(Each(answer, elsewhere), 1, lambda outcome: None).results.values()):
        refuse("newest-accepted", "two names have nothing to do with each other: the second was refused")


async def _one_write(copy: Callable[..., Any], client: Any, redis: Any) -> bool:
    """A has the older token, B the newer one; who comes later, C, the newest."""
    return bool(await copy(redis, "report", 33 + client.number, f"by {client}"))


def _order_kept(outcome: Outcome) -> str:
    """B's write, once accepted, stays; and a death in the middle of a write keeps no newer token out."""
    accepted = outcome.results.get("B")
    if accepted and outcome.ask("GET", "report") != "by B":
        return "B's write (token 34) was accepted, and A's older one (33) replaced it"
    if accepted is False:
        return "B's write was refused, though its token (34) is the newer one"
    if outcome.crashed and not outcome.newcomer:
        return f"{outcome.crashed[0]} died in the middle, and a newer token (35) was refused for good"
    return ""


def _of_a_store(outcome: Outcome) -> str:
    return "no-stale-write" if "replaced" in outcome.why else "newest-accepted"


@judged
def acquire(answer: Any) -> str:
    """`acquire(redis, name, owner, ms)`: a token that grows, and the store's fence raised in the same step."""
    _is_number(answer)
    check_taking(answer)
    _grows(answer)
    lease = GUARDED.ms / 1000 * AFTER
    program = Each(answer, _guarded)
    in_order(every_order(program, told="acquire", invariant=_fenced), _of_a_holder)
    explored = every_pause(program, lease, _fenced)
    in_order(explored, _of_a_holder)
    return f"a pause in each place, {explored.total} orders: from the grant on no older token gets a write in"


GUARDED = Case("report", 5_000, ("i1", "i2", "i3"))


async def _guarded(copy: Callable[..., Any], client: Any, redis: Any) -> tuple[int, bool] | None:
    """Take the lock, then write to a store that compares; what the answer is for."""
    token = await copy(redis, GUARDED.name, GUARDED.owner(client), GUARDED.ms)
    if not token:
        return None
    client.holds()
    written = await redis.eval(f"-- the store{FENCED}", 1, GUARDED.name, token, f"by {client}")
    return token, bool(written)


def _is_number(answer: Any) -> None:
    async def use(copy: Callable[..., Any], client: Any, redis: Any) -> Any:
        return await copy(redis, "report", "i1", 5_000)

    token = play(Each(answer, use), "", clients=1, invariant=lambda outcome: None).results["A"]
    if token is None or token is False:
        refuse("", "nobody ever gets it: alone, on an empty server, acquire gave no token")
    if isinstance(token, bool) or not isinstance(token, int) or token < 1:
        refuse("", f"whoever gets the lock is due a token, a whole number from 1; acquire returned {token!r}")


def _grows(answer: Any) -> None:
    """Also when hours lie between two grants, and every key with an end has ended."""
    for seconds in (GUARDED.ms / 1000 * AFTER, 36_000):
        results = after(Each(answer, _guarded), seconds, lambda outcome: None).results
        if not results["A"][1]:
            refuse("newest-accepted", "alone, with a lock just taken, the holder's own write was refused")
        if not results["B"] or results["B"][0] <= results["A"][0]:
            got = results["B"] and results["B"][0]
            refuse(
                "tokens-grow", f"A got token {results['A'][0]}; {seconds:g} s later B got the lock with {got}"
            )


def _fenced(outcome: Outcome) -> str:
    """Nothing older is written once somebody newer holds the lock; the newest holder's write is accepted."""
    had = {name: result for name, result in outcome.results.items() if result}
    if not had:
        return "nobody got it"
    if len({token for token, _ in had.values()}) < len(had):
        return "A and B got the same token"
    newest = max(had, key=lambda name: had[name][0])
    if not had[newest][1]:
        return f"{newest} held the lock with the newest token, and its write was refused"
    belief = _place(outcome, newest, "believes")
    for name in had:
        if name != newest and had[name][1] and _place(outcome, name, "-- the store") > belief:
            return f"{newest} held the lock, and then the write of {name}, with its older token, was accepted"
    return ""


def _place(outcome: Outcome, who: str, what: str) -> int:
    return next(n for n, step in enumerate(outcome.steps) if step.who == who and what in step.what)


def _of_a_holder(outcome: Outcome) -> str:
    if "same token" in outcome.why:
        return "tokens-grow"
    return "newest-accepted" if "refused" in outcome.why else "no-stale-write"


GRADERS: dict[str, Grader] = {"05-event": an_event, "05-write": write, "05-acquire": acquire}
