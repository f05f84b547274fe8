"""liuliqiang/redisbeat#51: the lock is taken once when the beat starts, and never asked for or prolonged after that."""

from __future__ import annotations

from labsched.worlds.simulated.guest import Machine

from .beat import LOCK, again_and_again, enter, tick
from .stage import Chronicle, Exhibit


async def program(machine: Machine, told: Chronicle) -> None:
    await machine.redis.set(
        LOCK, machine.name, nx=True, px=30_000
    )  # what it answers is kept, and not looked at
    await enter(machine)
    await again_and_again(machine, lambda: tick(machine, told))


REDISBEAT_51 = Exhibit(
    id="redisbeat-51",
    thread="liuliqiang/redisbeat#51",
    flaw="the lock is taken once, with an end, and no tick looks whether it was got or is still there",
    fault="none is needed",
    guarantee="one-execution-per-slot",
    program=program,
    faults=lambda sim: None,
)
