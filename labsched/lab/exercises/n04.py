"""The exercises of notebook 04: let go of what is yours, keep what is yours, and let go, but not too early.

The lock is that of notebook 03: `SET name owner NX PX ms`. Graders take it so, and hold the answer up in every place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labsched.worlds.explorer import Outcome, play

from .grading import Grader
from .locking import AFTER, ALL, BEFORE, CASES, Case, Each, Use, every_pause, in_order, judged, refuse

Act = Callable[
    [Callable[..., Any], Any, Case, str], Any
]  # what the answer is called with: copy, redis, case, owner


def _of_two(act: Act, case: Case) -> Use:
    """A takes the lock and calls the answer; B takes it when it can, and keeps it."""

    async def use(copy: Callable[..., Any], client: Any, redis: Any) -> Any:
        owner = case.owner(client)
        got = await redis.set(case.name, owner, nx=True, px=case.ms)
        if client.number == 0:
            return bool(await act(copy, redis, case, owner))
        return "got it" if got else "refused"

    return use


def _alone(
    answer: Any, act: Act, case: Case, seconds: float, owner: str | None = None
) -> tuple[bool, str | None, int]:
    """A takes the lock, `seconds` pass, the answer is called by A, or `owner`. What it said, who has the lock, PTTL."""

    async def use(copy: Callable[..., Any], client: Any, redis: Any) -> bool:
        await redis.set(case.name, case.owners[0], nx=True, px=case.ms)
        return bool(await act(copy, redis, case, owner or case.owners[0]))

    outcome = play(
        Each(answer, use), "A~" + "A" * ALL, clients=1, expire=seconds, invariant=lambda outcome: None
    )
    return outcome.results["A"], outcome.ask("GET", case.name), outcome.ask("PTTL", case.name)


def _held_up(answer: Any, act: Act, what: str, guarantee: str) -> int:
    """Held up for longer than its lock lasts, A leaves B's lock alone; how many orders that took."""
    case = CASES[2]

    def untouched(outcome: Outcome) -> str:
        if outcome.results.get("B") != "got it":
            return ""
        if outcome.ask("GET", case.name) != case.owners[1]:
            return f"B held the lock, and A {what} it"
        if outcome.ask("PTTL", case.name) != case.ms:
            return "B held the lock, and A changed its end"
        return ""

    explored = every_pause(Each(answer, _of_two(act, case)), case.ms / 1000 * AFTER, untouched)
    in_order(explored, lambda outcome: guarantee)
    return explored.total


def _strangers(answer: Any, act: Act, guarantee: str) -> None:
    """Who does not hold it changes nothing, whatever its name; nor does who held it once."""
    for case in CASES:
        lease = case.ms / 1000
        for stranger in (case.owners[1], case.owners[0][:-1], case.owners[0] + "0"):
            said, holder, left = _alone(answer, act, case, lease * BEFORE, stranger or "?")
            if said or holder != case.owners[0] or left != round(case.ms * (1 - BEFORE)):
                told = f"{case.owners[0]!r} held the lock, and {stranger!r} asked"
                refuse(guarantee, f"{told}: {'it was told yes' if said else 'the lock changed'}")
        said, holder, _ = _alone(answer, act, case, lease * AFTER)
        if said or holder is not None:
            told = "it came to life again" if holder is not None else "yes was the answer"
            refuse(
                guarantee,
                f"the lock ended after {lease:g} s, and {lease * AFTER:g} s after it was taken {told}",
            )


async def _release(copy: Callable[..., Any], redis: Any, case: Case, owner: str) -> Any:
    return await copy(redis, case.name, owner)


@judged
def release(answer: Any) -> str:
    """`release(redis, name, owner)`: frees the lock if it is the owner's, and never another's."""
    for case in CASES:
        said, holder, _ = _alone(answer, _release, case, 1.0)
        if holder is not None:
            refuse(
                "never-stuck",
                f"its holder let go of {case.name!r}, and nobody else can take it: it is not free",
            )
        if not said:
            refuse("", "the holder let go of its own lock, and True was due")
    _strangers(answer, _release, "release-own-only")
    orders = _held_up(answer, _release, "freed", "release-own-only")
    return f"held up after each command ({orders} orders), it frees its own lock and nobody else's"


async def _renew(copy: Callable[..., Any], redis: Any, case: Case, owner: str) -> Any:
    return await copy(redis, case.name, owner, 3 * case.ms)


@judged
def renew(answer: Any) -> str:
    """`renew(redis, name, owner, ms)`: the lock ends `ms` from now if it is still the owner's; else nothing happens."""
    for case in CASES:
        said, holder, left = _alone(answer, _renew, case, case.ms / 1000 * BEFORE)
        if not said:
            refuse("", "the holder renewed its own lock in time, and True was due")
        if holder != case.owners[0]:
            refuse("renew-own-only", f"the holder renewed its lock, and now {holder!r} has it")
        if left != 3 * case.ms:
            now = "has no end any more" if left < 0 else f"ends in {left / 1000:g} s"
            refuse(
                "never-stuck" if left < 0 else "",
                f"renewed for {3 * case.ms / 1000:g} s from now, the lock {now}",
            )
    _strangers(answer, _renew, "renew-own-only")
    orders = _held_up(answer, _renew, "took", "renew-own-only")
    return (
        f"held up after each command ({orders} orders), it renews its own lock, and only while there is one"
    )


def _least(case: Case) -> int:
    return case.ms // 2


async def _release_late(copy: Callable[..., Any], redis: Any, case: Case, owner: str) -> Any:
    return await copy(redis, case.name, owner, case.ms, _least(case))


@judged
def release_late(answer: Any) -> str:
    """`release_late(redis, name, owner, ms, least_ms)`: taken for `ms`; free at once, or `least_ms` after the grant."""
    for case in CASES:
        lease, least = case.ms / 1000, _least(case) / 1000
        for held in (0.1 * lease, 0.3 * lease, 0.7 * lease):
            said, holder, left = _alone(answer, _release_late, case, held)
            _due(case, said, holder, left, held, least)
    _strangers(answer, _release_late, "release-own-only")
    orders = _held_up(answer, _release_late, "freed", "release-own-only")
    return f"free at once, or when its time has come; and held up after each command ({orders} orders) only its own"


def _due(case: Case, said: bool, holder: str | None, left: int, held: float, least: float) -> None:
    told = f"held for {held:g} s, closed for at least {least:g} s"
    rest = round((least - held) * 1000)
    if rest <= 0 and holder is not None:
        refuse("never-stuck", f"{told}: it was to be free at once, and is not")
    if rest > 0 and holder is None:
        refuse("at-least", f"{told}: it was free at once, {rest / 1000:g} s too early")
    if rest > 0 and abs(left - rest) > 2:
        ends = "has no end" if left < 0 else f"ends {left / 1000:g} s from now"
        guarantee = "never-stuck" if left < 0 or left > rest else "at-least"
        refuse(guarantee, f"{told}: {rest / 1000:g} s are left, and it {ends}")
    if not said:
        refuse("", f"{told}: its holder let go of it, and True was due")


GRADERS: dict[str, Grader] = {"04-release": release, "04-renew": renew, "04-least": release_late}
