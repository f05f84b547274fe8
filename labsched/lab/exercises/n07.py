"""The exercises of notebook 07: how long to believe, a dispatch that compares, an election that keeps only its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from labsched.errors import ConfigError
from labsched.worlds.explorer import Outcome, play
from labsched.worlds.explorer_watch import ClockCall, watched

from .answers import rebuilt
from .elections import Term
from .grading import Grader
from .locking import (
    AFTER,
    ALL,
    BEFORE,
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

CASE = Case("leader-of-all", 5_000, ("i1", "i2", "i3"))
LEASE = CASE.ms / 1000
# When it was sent, how long it took to the server and back (seconds), and the lease.
TRIPS = ((100.0, 0.1, 1.8, 5.0), (7.5, 0.9, 0.9, 5.0), (1_000.0, 0.001, 0.001, 15.0), (3.25, 0.0, 2.0, 8.0))
LEAST = 0.3  # of a lease: who believes for less loses it between two renewals


@judged
def until(answer: Any) -> str:
    """`believe_until(sent, replied, lease)`: the moment, on the same clock, at which to stop believing."""
    if inspect.iscoroutinefunction(answer):
        raise ConfigError("believe_until computes and asks nobody: it is a plain `def`")
    copy = rebuilt(answer)
    for sent, there, back, lease in TRIPS:
        replied, over = sent + there + back, sent + there + lease
        try:
            found = watched(copy, sent, replied, lease)
        except ClockCall as call:
            refuse("", f"it calls {call.name}: sent and replied are all that is known of the clock")
        if isinstance(found, bool) or not isinstance(found, int | float):
            refuse("", f"a moment is due, a number of seconds as sent and replied are; it returned {found!r}")
        told = f"A asked at {sent:g} s, the server gave {lease:g} s at {sent + there:g} s, A read it at {replied:g} s"
        if found > over + 1e-6:
            ends = "for ever" if found == float("inf") else f"until {found:g} s"
            sentence = f"{told}; B can lead from {over:g} s on, and A believes {ends}"
            refuse("one-believer", sentence, _two(sent, over, found))
        if found > sent + lease + 1e-6:
            refuse(
                "one-believer",
                f"{told}; had the request been quicker, the lease would end before {found:g} s",
            )
        if found < sent + LEAST * lease:
            refuse("never-leads", f"{told}; it stops believing at {found:g} s, before it can have renewed")
    return "however long a request or a reply takes, it stops before anybody else can lead"


def _two(sent: float, over: float, found: float) -> Any:
    from ..pictures.beliefs import beliefs

    last = over - sent + 6.0
    a, b = min(found - sent, last), over - sent
    return beliefs([Term(None, "seconds since A asked", (("A", 0.0, a), ("B", b, last)), last)])


@judged
def campaign(answer: Any) -> str:
    """`campaign(redis, name, me, ms)`: take or renew the leadership; its epoch, or None."""
    first = play(Each(answer, _once), "", clients=1, invariant=lambda outcome: None).results["A"]
    if not first:
        refuse("", "nobody ever leads: alone, on an empty server, campaign gave no epoch")
    if isinstance(first, bool) or not isinstance(first, int):
        refuse("", f"whoever leads is due an epoch, a whole number from 1; campaign returned {first!r}")
    _renews(answer)
    _ends(answer)
    check_taking(answer)
    _grows(answer)
    program = Each(answer, _twice)
    in_order(every_order(program, told="campaign", invariant=_one_leads), _of_an_election)
    explored = every_pause(program, LEASE * AFTER, _one_leads)
    in_order(explored, _of_an_election)
    return f"held up after each command ({explored.total} orders), a leader that was replaced is told so"


async def _once(copy: Callable[..., Any], client: Any, redis: Any) -> Any:
    return await copy(redis, CASE.name, CASE.owner(client), CASE.ms)


async def _twice(copy: Callable[..., Any], client: Any, redis: Any) -> tuple[Any, Any]:
    return await _once(copy, client, redis), await _once(copy, client, redis)


def _renews(answer: Any) -> None:
    """Who leads and asks again keeps its epoch, and leads for a whole lease from then on."""
    program = Each(answer, _twice)
    one = len(play(Each(answer, _once), "", clients=1, invariant=lambda outcome: None).order)
    order = "A" * one + "~" + "A" * ALL + "~" + "B" * ALL
    results = play(program, order, expire=LEASE * BEFORE, invariant=lambda outcome: None).results
    (got, again), (other, _) = results["A"], results["B"]
    if again != got:
        told = "nothing" if not again else f"epoch {again}"
        refuse(
            "renewal",
            f"A led with epoch {got} and renewed {LEASE * BEFORE:g} s into its {LEASE:g} s: it got {told}",
        )
    if other:
        told = f"A renewed at {LEASE * BEFORE:g} s, and at {2 * LEASE * BEFORE:g} s B was elected"
        refuse("one-leader-per-epoch", f"{told}: a renewal counts from the moment of asking")


def _ends(answer: Any) -> None:
    """A leader that is dead is not kept alive by those who ask for its place."""
    order = "A" * ALL + "~" + "B" * ALL + "~" + "C" * ALL
    program = Each(answer, _once)
    results = play(program, order, clients=3, expire=LEASE * BEFORE, invariant=lambda outcome: None).results
    if not results["C"]:
        told = (
            f"A led, for {LEASE:g} s, and died; B asked {LEASE * BEFORE:g} s later and was refused, rightly"
        )
        refuse(
            "never-stuck",
            f"{told}; C asked at {2 * LEASE * BEFORE:g} s, and A's leadership had been prolonged",
        )


def _grows(answer: Any) -> None:
    for seconds in (LEASE * AFTER, 36_000):
        results = after(Each(answer, _once), seconds, lambda outcome: None).results
        if not results["B"] or results["B"] <= results["A"]:
            told = f"A led with epoch {results['A']}, and B, elected {seconds:g} s later, got {results['B']}"
            refuse("one-leader-per-epoch", f"{told}: each leadership has an epoch larger than all before")


def _one_leads(outcome: Outcome) -> str:
    """An epoch belongs to one; and after the pause, in which every lease ended, one leads and one is told no."""
    epochs = {name: {epoch for epoch in pair if epoch} for name, pair in outcome.results.items()}
    if shared := epochs["A"] & epochs["B"]:
        return f"A and B both lead with epoch {min(shared)}"
    before = outcome.order.partition("~")[0]
    last = {name: pair[1] for name, pair in outcome.results.items()}
    if "~" in outcome.order and before.count("A") == outcome.order.count("A"):
        last["A"] = None  # what it heard then is over
    if all(last.values()):
        return "A and B were both told that they lead"
    if not any(last.values()):
        return "both asked, nobody leads"
    return ""


def _of_an_election(outcome: Outcome) -> str:
    return "" if "nobody" in outcome.why else "one-leader-per-epoch"


EPOCHS = 3, 1_790_000_000_000_123


@judged
def dispatch(answer: Any) -> str:
    """`dispatch(redis, name, epoch, slot)`: one execution for a slot, and nothing from a leader of the past."""
    for epoch in EPOCHS:
        _in_turn(answer, epoch)
    for crashes in (False, True):
        explored = every_order(
            Each(answer, _takeover), told="dispatch", crashes=crashes, invariant=_once_each
        )
        in_order(explored, _of_a_dispatch)
    return f"{explored.total} orders with a take-over in each place and a death: each slot once, none from the past"


def _in_turn(answer: Any, epoch: int) -> None:
    """One after the other: (epoch, slot, whether it is due)."""
    new = epoch + 1
    plan = ((epoch, 10, True), (epoch, 10, False), (epoch, 20, True), (epoch, 30, False), (new, 20, False),
            (new, 30, True))  # fmt: skip

    async def use(copy: Callable[..., Any], client: Any, redis: Any) -> list[tuple[bool, list[str]]]:
        found = []
        for at, (given, slot, _) in enumerate(plan):
            await redis.set("s:epoch", epoch if at < 3 else new)
            said = bool(await copy(redis, "s", given, slot))
            found.append((said, await redis.lrange("s:queue", 0, -1)))
        return found

    queue: list[str] = []
    found = play(Each(answer, use), "", clients=1, invariant=lambda outcome: None).results["A"]
    for (given, slot, due), (said, now) in zip(plan, found, strict=True):
        queue = [*queue, str(slot)] if due else queue
        told = f"dispatch with epoch {given} of slot {slot}"
        if now == queue and said is due:
            continue
        if due:
            refuse("nothing-lost", f"{told}, new and by the leader, was refused or left the queue at {now}")
        if given == new or slot == 10:
            refuse(
                "one-execution-per-slot",
                f"{told}, which had been dispatched, was accepted: the queue is {now}",
            )
        refuse("no-stale-write", f"{told} was accepted, though {new} had been given to another leader")


async def _takeover(copy: Callable[..., Any], client: Any, redis: Any) -> Any:
    """A leads with epoch 1. B takes over with 2, sees how long the queue is in that moment, and dispatches too."""
    if client.number == 0:
        await redis.set("s:epoch", 1, nx=True)
        return bool(await copy(redis, "s", 1, 10))
    async with redis.pipeline(transaction=True) as pipe:
        _, seen = await pipe.set("s:epoch", 2).llen("s:queue").execute()
    return seen, bool(await copy(redis, "s", 2, 10))


def _once_each(outcome: Outcome) -> str:
    queue = outcome.ask("LRANGE", "s:queue", 0, -1)
    if len(queue) > 1:
        return f"slot 10 is in the queue {len(queue)} times"
    if "B" in outcome.results and not queue:
        return "B led and dispatched slot 10, and it is not in the queue"
    if outcome.results.get("A") and "B" in outcome.results and outcome.results["B"][0] == 0:
        return "B had taken over with epoch 2, and then A's dispatch with epoch 1 was accepted"
    return ""


def _of_a_dispatch(outcome: Outcome) -> str:
    if "times" in outcome.why:
        return "one-execution-per-slot"
    return "nothing-lost" if "not in the queue" in outcome.why else "no-stale-write"


GRADERS: dict[str, Grader] = {"07-until": until, "07-dispatch": dispatch, "07-campaign": campaign}
