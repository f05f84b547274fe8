"""sibson/redbeat#127: the lock's life is prolonged without asking whose it is.

Fixed upstream in 2019: each tick now extends the lock by a script that compares the owner.
"""

from __future__ import annotations

from labsched.worlds.simulated.guest import Machine

from .beat import LOCK, again_and_again, enter, tick, until_mine
from .stage import Chronicle, Exhibit


async def program(machine: Machine, told: Chronicle) -> None:
    await again_and_again(machine, lambda: until_mine(machine, 5_000))
    await again_and_again(machine, lambda: enter(machine))

    async def beat() -> float:
        await machine.redis.pexpire(LOCK, 5_000)  # whoever it belongs to by now
        return await tick(machine, told)

    await again_and_again(machine, beat)


REDBEAT_127 = Exhibit(
    id="redbeat-127",
    thread="sibson/redbeat#127",
    flaw="each tick prolongs the lock by PEXPIRE, also when it has become somebody else's",
    fault="the beat that schedules is paused for 8 s, longer than its lock lasts (5 s)",
    guarantee="one-execution-per-slot",
    program=program,
    faults=lambda sim: sim.at(10).pause("a").at(18).resume("a"),
)
