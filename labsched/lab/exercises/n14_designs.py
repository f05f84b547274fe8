"""Four ways to hold a lock, for notebook 14: on one server, on five, and with tokens that a store compares.

Each takes the lock and returns its token, or None. A script is one step on the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis import exceptions as rex

from labsched.worlds.simulated.guest import Machine

LOCK = "book"
TTL = 8.0  # seconds
PATIENCE = 0.1  # seconds that one of five servers gets for its answer

COUNTER = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
return redis.call('INCR', KEYS[2])"""
CLOCK = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
local now, last = redis.call('TIME'), tonumber(redis.call('GET', KEYS[2]) or 0)
local token = string.format('%.0f', math.max(last + 1, now[1] * 1000000 + now[2]))
redis.call('SET', KEYS[2], token)
return tonumber(token)"""
FENCED = """
if tonumber(ARGV[1]) < tonumber(redis.call('GET', KEYS[1] .. ':fence') or 0) then return 0 end
redis.call('SET', KEYS[1] .. ':fence', ARGV[1])
redis.call('SET', KEYS[1], ARGV[2])
return 1"""
FREE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


async def one_node(machine: Machine) -> int | None:
    """SET NX PX on one server; there is no token."""
    return 1 if await machine.redis.set(LOCK, machine.name, nx=True, px=round(TTL * 1000)) else None


async def five_nodes(machine: Machine) -> int | None:
    """Redlock: more than half of five servers, in less than its time. There is no token."""
    began = machine.monotonic()
    got = await asyncio.gather(*(ask(redis, machine.name) for redis in machine.servers[:5]))
    if sum(got) >= 3 and machine.monotonic() - began < TTL:
        return 1
    await free(machine)
    return None


async def counted(machine: Machine) -> int | None:
    """One server, which counts its grants: INCR gives the token."""
    return await _scripted(machine, COUNTER)


async def timed(machine: Machine) -> int | None:
    """One server; the token is its time in microseconds, and more than the last one. This is labsched's rule."""
    return await _scripted(machine, CLOCK)


async def _scripted(machine: Machine, script: str) -> int | None:
    redis: Any = machine.redis
    token = await redis.eval(script, 2, LOCK, "tokens", machine.name, round(TTL * 1000))
    return int(token) or None


async def ask(redis: Any, name: str) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            return bool(await redis.set(LOCK, name, nx=True, px=round(TTL * 1000)))
    except (TimeoutError, rex.RedisError):
        return False


async def free(machine: Machine) -> None:
    """Give back what is our own, wherever it is."""
    for redis in machine.servers[:5]:
        try:
            async with asyncio.timeout(PATIENCE):
                await redis.eval(FREE, 1, LOCK, machine.name)
        except (TimeoutError, rex.RedisError):
            continue


@dataclass(frozen=True)
class Design:
    """`fenced`: the store compares tokens."""

    take: Callable[[Machine], Any]
    fenced: bool


DESIGNS: dict[str, Design] = {
    "one node": Design(one_node, False),
    "Redlock": Design(five_nodes, False),
    "fence, counted": Design(counted, True),
    "fence, timed": Design(timed, True),
}
