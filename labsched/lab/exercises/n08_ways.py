"""Three ways to take a job from a group. Each is a worker: `await worker(machine, work)`, for ever."""

from __future__ import annotations

from typing import Any

from labsched.worlds.simulated.guest import Machine

from .n08_world import GROUP, STREAM, Work

IDLE = 4_000  # ms without a sign of life after which a delivery counts as given up


async def acknowledge_first(machine: Machine, work: Work) -> None:
    """Take it, say that it is done, do it."""
    while True:
        for id, fields in await fresh(machine):
            await machine.redis.xack(STREAM, GROUP, id)
            await work(id, fields)


async def acknowledge_last(machine: Machine, work: Work) -> None:
    """Take it, do it, say that it is done."""
    while True:
        for id, fields in await fresh(machine):
            await work(id, fields)
            await machine.redis.xack(STREAM, GROUP, id)


async def acknowledge_and_claim(machine: Machine, work: Work) -> None:
    """As before; and what somebody has had for too long without acknowledging it, is taken over."""
    while True:
        for id, fields in await given_up(machine) or await fresh(machine):
            await work(id, fields)
            await machine.redis.xack(STREAM, GROUP, id)


async def fresh(machine: Machine) -> Any:
    """One entry that nobody was given yet; waits for it up to half a second."""
    redis: Any = machine.redis
    answer = await redis.xreadgroup(GROUP, machine.name, {STREAM: ">"}, count=1, block=500)
    return answer[0][1] if answer else []


async def given_up(machine: Machine) -> Any:
    """One entry that was delivered `IDLE` ago, or longer, and is not acknowledged: from now on it is ours."""
    redis: Any = machine.redis
    _, entries, *_ = await redis.xautoclaim(STREAM, GROUP, machine.name, min_idle_time=IDLE, count=1)
    return entries
