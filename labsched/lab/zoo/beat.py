"""What the beats of the zoo have in common: a schedule in a sorted set, read, sent and moved on, in three commands.

Two that do so at once both read before either moves on: that is why they need a lock, and what a broken one lets
happen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import RedisError

from labsched.worlds.simulated.guest import Machine

from .stage import PERIOD, TASK, Chronicle

SCHEDULE, QUEUE, LOCK = "beat:schedule", "queue", "beat:lock"
MOST = 5.0  # seconds that a beat sleeps at most


async def enter(machine: Machine) -> None:
    """Put the task into the schedule, unless it is there."""
    first = machine.now() // PERIOD * PERIOD + PERIOD
    await machine.redis.zadd(SCHEDULE, {TASK: first}, nx=True)


async def tick(machine: Machine, told: Chronicle) -> float:
    """Send what is due; seconds to sleep until there is more."""
    redis: Any = machine.redis
    for name, due in await redis.zrangebyscore(SCHEDULE, 0, machine.now(), withscores=True):
        await redis.lpush(QUEUE, name)
        told.dispatched(float(due), machine.name)
        await redis.zadd(SCHEDULE, {name: float(due) + PERIOD})
    following = await redis.zrange(SCHEDULE, 0, 0, withscores=True)
    if not following:
        await enter(machine)
        return 0.0
    return min(max(float(following[0][1]) - machine.now(), 0.0), MOST)


async def until_mine(machine: Machine, ms: int | None) -> None:
    """Wait for the lock: SET NX, with an end after `ms`, or without one. Raises what redis-py raises."""
    while not await machine.redis.set(LOCK, machine.name, nx=True, px=ms):
        await machine.sleep(1.0)


async def again_and_again(machine: Machine, what: Callable[[], Awaitable[float | None]]) -> None:
    """Repeat `what`, with the pause that it asks for, until it asks for none; an error of the link costs a second."""
    pause: float | None = 0.0
    while pause is not None:
        try:
            pause = await what()
        except RedisError:
            pause = 1.0
        if pause:
            await machine.sleep(pause)
