"""The exercises of notebook 03: an order that breaks "look, then take", and two locks that no order breaks."""

from __future__ import annotations

import re
from typing import Any

from labsched.errors import ConfigError
from labsched.worlds.explorer import Outcome, play

from .grading import Grader
from .locking import CASES, Each, check_taking, judged, refuse, taking

PLAIN = frozenset(
    {"GET", "EXISTS", "PTTL", "TTL", "WATCH", "UNWATCH", "MULTI", "EXEC", "SET", "PSETEX", "SETEX", "EXPIRE"}
    | {"PEXPIRE", "DEL", "PERSIST", "TIME", "TYPE", "HGETALL", "HGET", "HSET", "HMGET", "UNLINK"}
)


async def look_then_take(client: Any, redis: Any) -> bool:
    """The flaw of the notebook: GET, and SET if nothing was there."""
    if await redis.get("lock") is None:
        await redis.set("lock", client)
        return True
    return False


@judged
def an_order(answer: Any) -> str:
    """An order of two A and two B in which both believe that they hold the lock."""
    if not isinstance(answer, str) or not re.fullmatch("[AB]*", answer):
        raise ConfigError("an order is a text of two A and two B, such as 'AABB'")
    if sorted(answer) != ["A", "A", "B", "B"]:
        refuse("", f"each client does two commands, GET and SET: {answer!r} has to be two A and two B")
    outcome = play(look_then_take, answer)
    if not outcome.clash:
        first, second = answer[0], answer[-1]
        refuse("", f"in {answer} only {first} holds it: {first} has done both before {second} looks")
    return (
        f"in {answer} both look before either takes, so both see nothing and both believe that it is theirs"
    )


@judged
def acquire(answer: Any) -> str:
    """`acquire(redis, name, owner, ms)`: in no order two holders, and never stuck, whoever dies when."""
    explored = check_taking(answer)
    return (
        f"{explored.total} orders without a death and all those with one, under {len(CASES)} names and lives: "
        "never two holders, never stuck"
    )


@judged
def watch(answer: Any) -> str:
    """The same, by WATCH and MULTI only."""
    explored = check_taking(answer)
    alone = play(Each(answer, taking(CASES[0])), "", clients=1)
    _plain(alone)
    if "MULTI" not in " ".join(step.what for step in alone.steps):
        refuse("", "it holds, but without MULTI: this one is to be done with WATCH and MULTI")
    return (
        f"no order is bad, and {explored.total} orders there are, for it takes "
        f"{sum(bool(step.reply) for step in alone.steps)} trips to the server where SET NX PX takes one"
    )


def _plain(outcome: Outcome) -> None:
    for step in filter(lambda step: step.reply, outcome.steps):
        for command in step.what.split("; "):
            words = command.split()
            if words[0] not in PLAIN or "NX" in words:
                refuse("", f"it holds, but it sends `{command:.60}`: here do without NX and without scripts")


GRADERS: dict[str, Grader] = {"03-order": an_order, "03-acquire": acquire, "03-watch": watch}
