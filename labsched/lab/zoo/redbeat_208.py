"""sibson/redbeat#208 (and #238): an error while the lock is taken is swallowed, and the beat schedules without it.

The lock was taken in a signal handler, and Celery logs what a handler raises and goes on. Fixed upstream in 2023.
"""

from __future__ import annotations

from redis.exceptions import RedisError

from labsched.worlds.simulated.guest import Machine

from .beat import LOCK, again_and_again, tick, until_mine
from .stage import Chronicle, Exhibit


async def program(machine: Machine, told: Chronicle) -> None:
    lock = None
    try:
        await until_mine(machine, 5_000)
        lock = LOCK
    except RedisError:
        pass  # the handler's caller has logged it

    async def beat() -> float:
        if lock:
            await machine.redis.pexpire(lock, 5_000)
        return await tick(machine, told)

    await again_and_again(machine, beat)


REDBEAT_208 = Exhibit(
    id="redbeat-208",
    thread="sibson/redbeat#208",
    flaw="a beat whose attempt to take the lock failed with an error starts to schedule as if it had it",
    fault="the standby is cut off for 5 s while it asks for the lock",
    guarantee="one-execution-per-slot",
    program=program,
    faults=lambda sim: sim.at(10).partition("b").at(15).heal("b"),
)
