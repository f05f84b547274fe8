"""celery/celery#6236: what is not acknowledged within the visibility timeout is delivered again, though it still runs.

Acknowledged late, a job longer than the timeout runs again on another worker, and again on the next.
"""

from __future__ import annotations

from typing import Any

from labsched.schedule import manual
from labsched.worlds.simulated.guest import Machine

from .stage import Chronicle, Exhibit

QUEUE, UNACKED, RESULT = "queue", "unacked", "result"
VISIBILITY = 5.0  # seconds; an hour by default
TAKES = 8.0  # seconds of the job
JOB = "tick~report"


async def program(machine: Machine, told: Chronicle) -> None:
    redis: Any = machine.redis
    if machine.name == "a":
        await redis.lpush(QUEUE, JOB)
    while True:
        await _restore(machine, told)
        job = await redis.rpop(QUEUE)
        if job is None:
            await machine.sleep(1.0)
            continue
        await redis.zadd(UNACKED, {job: machine.now()})
        attempt = await redis.incr("attempts")
        token = told.started(JOB, int(attempt), machine.name)
        await machine.sleep(TAKES)
        await redis.set(RESULT, machine.name)
        told.committed(JOB, token, machine.name)
        await redis.zrem(UNACKED, job)


async def _restore(machine: Machine, told: Chronicle) -> None:
    """What has been out for too long goes back into the queue; that it is being worked on, nobody knows."""
    redis: Any = machine.redis
    for job in await redis.zrangebyscore(UNACKED, 0, machine.now() - VISIBILITY):
        await redis.zrem(UNACKED, job)
        await redis.lpush(QUEUE, job)
        told.given_up(JOB)


async def report(ctx: Any) -> None:
    """The same job in labsched: its instance's lease is renewed while it runs."""
    await ctx.work(TAKES)


CELERY_6236 = Exhibit(
    id="celery-6236",
    thread="celery/celery#6236",
    flaw="a job that takes longer than the visibility timeout is given to a second worker while the first one works",
    fault="none is needed: 8 s of work, a timeout of 5 s; each worker is paused in turn, to try labsched too",
    guarantee="effect-once",
    program=program,
    faults=lambda sim: sim.at(17).pause("a").at(24).resume("a").at(29).pause("b").at(36).resume("b"),
    body=report,
    schedule=manual(),
)
