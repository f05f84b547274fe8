"""lukas-krecan/ShedLock#2201: a lock without a fencing token, so its former holder's write is taken like any other.

ShedLock says so itself: lockAtMostFor must be longer than the task ever takes. A pause does not ask how long that is.
"""

from __future__ import annotations

from typing import Any

from labsched.schedule import manual
from labsched.worlds.simulated.guest import Machine

from .beat import LOCK, until_mine
from .stage import Chronicle, Exhibit

AT_MOST = 5_000  # ms: lockAtMostFor
EXECUTION, REPORT = "tick~nightly", "report"


async def program(machine: Machine, told: Chronicle) -> None:
    if machine.name == "b":
        await machine.sleep(2.0)
    await until_mine(machine, AT_MOST)
    if machine.name == "b":
        told.given_up(EXECUTION)  # a's time is over; nobody asks whether a is
    token = told.started(EXECUTION, 1 if machine.name == "a" else 2, machine.name)
    await machine.sleep(3.0)  # the work
    await machine.redis.set(REPORT, machine.name)  # nobody compares anything
    told.wrote(EXECUTION, token, machine.name, REPORT)
    if await machine.redis.get(LOCK) == machine.name.encode():
        await machine.redis.delete(LOCK)


async def nightly(ctx: Any) -> None:
    """The same work in labsched: the write carries the attempt's token."""
    await ctx.work(0.4)
    await ctx.fence.write(REPORT, ctx.instance)


SHEDLOCK_2201 = Exhibit(
    id="shedlock-2201",
    thread="lukas-krecan/ShedLock#2201",
    flaw="nothing that the holder writes can be told from what a former holder writes",
    fault="the holder is paused for 9 s in the middle of its work, longer than lockAtMostFor (5 s)",
    guarantee="no-stale-write",
    program=program,
    faults=lambda sim: sim.at(1.2).pause("a").at(10.2).resume("a"),
    body=nightly,
    schedule=manual(),
)
