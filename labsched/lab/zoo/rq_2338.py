"""rq/rq#2338 (and #1354): the scheduler's lock is prolonged between rounds of enqueueing, and by its name alone.

A round that takes longer than the lock lasts lets a second scheduler in; the first one then prolongs the second one's
lock, and both go on.
"""

from __future__ import annotations

from labsched.worlds.simulated.guest import Machine

from .beat import LOCK, again_and_again, enter, tick, until_mine
from .stage import Chronicle, Exhibit

LASTS = 5_000  # ms


async def program(machine: Machine, told: Chronicle) -> None:
    await until_mine(machine, LASTS)
    await enter(machine)

    async def round_of_work() -> float:
        pause = await tick(machine, told)  # blocks for as long as it takes
        await machine.redis.pexpire(LOCK, LASTS)  # the heartbeat: no question whose the lock is
        return pause

    await again_and_again(machine, round_of_work)


RQ_2338 = Exhibit(
    id="rq-2338",
    thread="rq/rq#2338",
    flaw="the heartbeat of the scheduler's lock waits for enqueueing to end, and does not ask for the owner",
    fault="the link of the scheduler takes 0.9 s more per message for a while, so that a round outlasts the lock (5 s)",
    guarantee="one-execution-per-slot",
    program=program,
    faults=lambda sim: sim.at(10).slow("a", "900ms").at(30).heal("a"),
)
