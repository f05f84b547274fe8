"""kongluoxing/celerybeatredis#11: the lock has no end, so a beat that dies takes it along.

Fixed upstream in 2016: the lock got a time to live.
"""

from __future__ import annotations

from labsched.worlds.simulated.guest import Machine

from .beat import again_and_again, enter, tick, until_mine
from .stage import Chronicle, Exhibit


async def program(machine: Machine, told: Chronicle) -> None:
    await until_mine(machine, None)
    await enter(machine)
    await again_and_again(machine, lambda: tick(machine, told))


CELERYBEATREDIS_11 = Exhibit(
    id="celerybeatredis-11",
    thread="kongluoxing/celerybeatredis#11",
    flaw="the lock never ends by itself: only its holder could free it",
    fault="the beat that schedules is killed",
    guarantee="nothing-lost",
    program=program,
    faults=lambda sim: sim.at(10).kill("a"),
)
