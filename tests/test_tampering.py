"""What the checks notice of a recording with one event changed, removed or told twice.

docs/recording.md says which changes nobody can know from a recording. The shares below are what is true now: a check
that comes to notice more may raise them, none may fall.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import msgspec
import pytest

from labsched import Scheduler, every, manual
from labsched.context import Context
from labsched.model import Event
from labsched.worlds import Recording, Simulation
from labsched.worlds.checks.nouns import id_key

DRAWS = 60


def app() -> Scheduler:
    made = Scheduler("fake")

    async def short(ctx: Context) -> None:
        await ctx.work(0.5)

    async def flaky(ctx: Context) -> None:
        await ctx.fence.write("effect", ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError("not yet")

    async def long(ctx: Context) -> None:
        await ctx.work(4)

    made.add("short", every("1s"), short)
    made.add("flaky", every("5s"), flaky, retries=2)
    made.add("long", every("3s"), long, overlap="ALLOW")
    made.add("asked", manual(), long)
    return made


@cache
def recording() -> Recording:
    """Of everything a little: a kill, a drain, a pause of a task, a run that is cancelled, one that is triggered."""

    async def pause(client: Scheduler) -> None:
        await client.pause("short")

    async def resume(client: Scheduler) -> None:
        await client.resume("short")

    async def trigger(client: Scheduler) -> None:
        await client.trigger("asked")

    async def cancel(client: Scheduler) -> None:
        for execution in await client.executions():
            if execution.task == "asked":
                await client.cancel(execution.id)

    with Simulation(3, seed=4, app=app(), messages=False) as sim:
        sim.at(4).call(trigger).at(5).call(cancel).at(6).call(trigger).at(8.2).call(pause).at(14.2).call(
            resume
        )
        sim.at(17).kill("i2").at(26).restart("i2").at(27).terminate("i3")
        return sim.run(until=45)


def removed(events: list[Event], n: int, luck: random.Random) -> bool:
    del events[n]
    return True


def told_twice(events: list[Event], n: int, luck: random.Random) -> bool:
    ms, seq = id_key(events[n].id)
    events.append(msgspec.structs.replace(events[n], id=f"{ms}-{seq + 500}"))
    return True


def moved(events: list[Event], n: int, luck: random.Random) -> bool:
    """Two to five seconds earlier or later, in the order of the stream as well."""
    ms, _ = id_key(events[n].id)
    ms += luck.choice((-1, 1)) * luck.randint(2000, 5000)
    events[n] = msgspec.structs.replace(events[n], id=f"{ms}-900", at=ms / 1000)
    return True


def another(field: str) -> Callable[[list[Event], int, random.Random], bool]:
    """What another event has there; False when this one has nothing."""

    def change(events: list[Event], n: int, luck: random.Random) -> bool:
        old = getattr(events[n], field)
        others = sorted({value for e in events if (value := getattr(e, field)) not in (None, old)})
        if old is None or not others:
            return False
        events[n] = msgspec.structs.replace(events[n], **{field: luck.choice(others)})
        return True

    return change


def noticed(
    tamper: Callable[[list[Event], int, random.Random], bool], seed: int
) -> tuple[Event, bool] | None:
    """The event that was tampered with, and whether the report says so; None when there was nothing to change."""
    luck, rec = random.Random(seed), recording()
    events = list(rec.history)
    n = luck.randrange(len(events))
    if not tamper(events, n, luck):
        return None
    events.sort(key=lambda e: id_key(e.id))
    report = msgspec.structs.replace(rec, history=events).check()
    return rec.history[n], not report.ok or report.history_reset


def test_the_recording_itself_is_accused_of_nothing():
    report = recording().check()
    assert report.ok and not report.history_reset, str(report)


@pytest.mark.parametrize(
    ("name", "tamper", "least"),
    [
        ("removed", removed, 0.95),
        ("told twice", told_twice, 0.97),
        ("moved in time", moved, 0.88),
        *(
            (field, another(field), 0.98)
            for field in ("token", "epoch", "attempt", "instance", "task", "execution")
        ),
    ],
)
def test_the_share_of_single_changes_that_is_noticed_does_not_fall(name, tamper, least):
    found = [result for seed in range(DRAWS) if (result := noticed(tamper, seed)) is not None]
    missed = [f"{event.kind} {event.id}" for event, seen in found if not seen]
    assert 1 - len(missed) / len(found) >= least, missed
