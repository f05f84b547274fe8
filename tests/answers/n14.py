"""Answers to the exercises of notebook 14: plausible wrong ones with the guarantee that they break, and right ones."""

import asyncio
import contextlib
import time

from redis.exceptions import RedisError

ONE, RED, COUNTED, TIMED = "one node", "Redlock", "fence, counted", "fence, timed"
RIGHT_MATRIX = {
    "the holder pauses": {ONE, RED},
    "failover, replica lags": {ONE, COUNTED},
    "restart, data gone": {ONE, COUNTED},
    "failover, clock behind": {ONE, COUNTED, TIMED},
    "a server's clock jumps": {ONE},
    "jump, two were away": {ONE, RED},
    "three restarts, data gone": {ONE, RED, COUNTED},
}
REDLOCK_SURVIVES_ALL = {fault: designs - {RED} for fault, designs in RIGHT_MATRIX.items()}
A_FENCE_IS_A_FENCE = {fault: designs - {COUNTED, TIMED} for fault, designs in RIGHT_MATRIX.items()}
REDLOCK_DIES_WITH_ANY = RIGHT_MATRIX | {"failover, replica lags": {ONE, RED, COUNTED}}

FREE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


async def nobody(machine, name, ms):
    return None


async def believes(machine, name, ms):
    return ms / 1000


async def one_server(machine, name, ms):
    return ms / 1000 if await machine.redis.set(name, machine.name, nx=True, px=ms) else None


async def any_answer(machine, name, ms):
    for redis in machine.servers:
        try:
            async with asyncio.timeout(0.05):
                if await redis.set(name, machine.name, nx=True, px=ms):
                    return ms / 2000
        except (TimeoutError, RedisError):
            pass
    return None


async def all_five(machine, name, ms):
    got = [await redis.set(name, machine.name, nx=True, px=ms) for redis in machine.servers]
    return ms / 2000 if all(got) else None


async def without_limits(machine, name, ms):
    began, got = machine.monotonic(), 0
    for redis in machine.servers:
        with contextlib.suppress(RedisError):
            got += bool(await redis.set(name, machine.name, nx=True, px=ms))
    left = ms / 1000 - (machine.monotonic() - began)
    return left if got >= 3 and left > 0 else None


async def asked(question):
    try:
        async with asyncio.timeout(0.05):
            return await question
    except (TimeoutError, RedisError):
        return None


async def patiently(question):
    try:
        async with asyncio.timeout(0.4):
            return await question
    except (TimeoutError, RedisError):
        return None


async def never_gives_back(machine, name, ms):
    began = machine.monotonic()
    got = [await asked(redis.set(name, machine.name, nx=True, px=ms)) for redis in machine.servers]
    left = ms / 1000 - (machine.monotonic() - began)
    return left if sum(map(bool, got)) >= 3 and left > 0 else None


async def deletes_what_it_finds(machine, name, ms):
    began = machine.monotonic()
    got = [await asked(redis.set(name, machine.name, nx=True, px=ms)) for redis in machine.servers]
    if sum(map(bool, got)) >= 3:
        return ms / 1000 - (machine.monotonic() - began)
    for redis in machine.servers:
        await asked(redis.delete(name))
    return None


async def counts_from_the_answer(machine, name, ms):
    got = [await patiently(redis.set(name, machine.name, nx=True, px=ms)) for redis in machine.servers]
    if sum(map(bool, got)) >= 3:
        return ms / 1000
    for redis in machine.servers:
        await asked(redis.eval(FREE, 1, name, machine.name))
    return None


async def by_the_wall_clock(machine, name, ms):
    began = machine.now()
    got = [await patiently(redis.set(name, machine.name, nx=True, px=ms)) for redis in machine.servers]
    left = min(ms / 1000, ms / 1000 - (machine.now() - began))
    if sum(map(bool, got)) >= 3 and left > 0:
        return left
    for redis in machine.servers:
        await asked(redis.eval(FREE, 1, name, machine.name))
    return None


async def by_the_real_clock(machine, name, ms):
    began = time.monotonic()
    got = [await patiently(redis.set(name, machine.name, nx=True, px=ms)) for redis in machine.servers]
    if sum(map(bool, got)) >= 3:
        return ms / 1000 - (time.monotonic() - began)
    for redis in machine.servers:
        await asked(redis.eval(FREE, 1, name, machine.name))
    return None


async def lets_errors_out(machine, name, ms):
    began = machine.monotonic()
    got = await asyncio.gather(*(r.set(name, machine.name, nx=True, px=ms) for r in machine.servers))
    left = ms / 1000 - (machine.monotonic() - began)
    return left if sum(map(bool, got)) >= 3 else None


async def all_at_once(machine, name, ms):
    began = machine.monotonic()
    got = await asyncio.gather(
        *(patiently(r.set(name, machine.name, nx=True, px=ms)) for r in machine.servers)
    )
    left = ms / 1000 - (machine.monotonic() - began)
    if got.count(True) >= 3 and left > 0:
        return left
    await asyncio.gather(*(patiently(r.eval(FREE, 1, name, machine.name)) for r in machine.servers))
    return None


WRONG = {
    "14-matrix": [
        (REDLOCK_SURVIVES_ALL, "no-stale-write"),
        (A_FENCE_IS_A_FENCE, "no-stale-write"),
        (REDLOCK_DIES_WITH_ANY, "no-false-alarm"),
        ({}, ""),
        (RIGHT_MATRIX | {"restart, data gone": ["one nod"]}, ""),
    ],
    "14-redlock": [
        (nobody, "never-stuck"),
        (believes, "one-holder"),
        (one_server, ""),
        (any_answer, "one-holder"),
        (all_five, ""),
        (without_limits, "never-stuck"),
        (never_gives_back, "never-stuck"),
        (deletes_what_it_finds, "one-holder"),
        (counts_from_the_answer, "one-holder"),
        (by_the_wall_clock, "one-holder"),
        (by_the_real_clock, "one-holder"),
        (lets_errors_out, ""),
    ],
}
RIGHT = {"14-matrix": [RIGHT_MATRIX], "14-redlock": [all_at_once]}
