"""Answers to the exercises of notebook 08 that must be refused, and others that must pass."""

import asyncio
import contextlib

from redis.exceptions import ResponseError


async def fresh(machine, block=500):
    answer = await machine.redis.xreadgroup("workers", machine.name, {"jobs": ">"}, count=1, block=block)
    return answer[0][1] if answer else []


async def old(machine, idle=4000):
    _, entries, *_ = await machine.redis.xautoclaim(
        "jobs", "workers", machine.name, min_idle_time=idle, count=1
    )
    return entries


async def alive(machine, id):
    while True:
        await machine.sleep(1)
        await machine.redis.xclaim("jobs", "workers", machine.name, 0, [id], justid=True)


async def done_alive(machine, work, id, fields):
    sign = asyncio.create_task(alive(machine, id))
    await work(id, fields)
    sign.cancel()
    await machine.redis.xack("jobs", "workers", id)


async def worker_acknowledging_first(machine, work):
    while True:
        for id, fields in await fresh(machine):
            await machine.redis.xack("jobs", "workers", id)
            await work(id, fields)


async def worker_acknowledging_last(machine, work):
    while True:
        for id, fields in await fresh(machine):
            await work(id, fields)
            await machine.redis.xack("jobs", "workers", id)


async def worker_claiming_what_is_slow(machine, work):
    while True:
        for id, fields in await old(machine) or await fresh(machine):
            await work(id, fields)
            await machine.redis.xack("jobs", "workers", id)


async def worker_claiming_late(machine, work):
    while True:
        for id, fields in await old(machine, 10_000) or await fresh(machine):
            await done_alive(machine, work, id, fields)


async def worker_claiming_only_at_first(machine, work):
    for id, fields in await old(machine):
        await done_alive(machine, work, id, fields)
    while True:
        for id, fields in await fresh(machine):
            await done_alive(machine, work, id, fields)


async def worker_never_acknowledging(machine, work):
    while True:
        for id, fields in await old(machine) or await fresh(machine):
            await work(id, fields)


async def worker_asking_all_the_time(machine, work):
    while True:
        answer = await machine.redis.xreadgroup("workers", machine.name, {"jobs": ">"}, count=1)
        for id, fields in answer[0][1] if answer else []:
            await work(id, fields)
            await machine.redis.xack("jobs", "workers", id)


async def worker_with_a_slip(machine, work):
    answer = await machine.redis.xreadgroup("workers", machine.name, {"jobs": ">"}, count=1, block=500)
    await work(*answer[5])


async def worker_in_turns(machine, work):
    """Right: without a task of its own for the signs of life; the work is a task, and is looked after."""
    redis, me = machine.redis, machine.name
    while True:
        entries = await fresh(machine, 700)
        if not entries:
            for seen in await redis.xpending_range("jobs", "workers", "-", "+", 10):
                if seen["time_since_delivered"] > 3500 and not entries:
                    entries = await redis.xclaim("jobs", "workers", me, 3500, [seen["message_id"]])
        for id, fields in entries:
            job = asyncio.ensure_future(work(id, fields))
            while not job.done():
                await asyncio.wait([job], timeout=1.3)
                await redis.xclaim("jobs", "workers", me, 0, [id], justid=True)
            await redis.xack("jobs", "workers", id)


async def reader_from_now_on(redis, handle):
    newest = await redis.xrevrange("events", count=1)
    place = newest[0][0] if newest else "0-0"
    for _, entries in await redis.xread({"events": place}) or []:
        for id, fields in entries:
            await handle(id, fields)


async def reader_from_the_beginning(redis, handle):
    for id, fields in await redis.xrange("events"):
        await handle(id, fields)


async def reader_remembering_first(redis, handle):
    place = await redis.get("place") or "0-0"
    for _, entries in await redis.xread({"events": place}) or []:
        for id, fields in entries:
            await redis.set("place", id)
            await handle(id, fields)


async def reader_remembering_batches(redis, handle):
    place = await redis.get("place") or "0-0"
    for _, entries in await redis.xread({"events": place}) or []:
        for id, fields in entries:
            await handle(id, fields)
        await redis.set("place", entries[-1][0])


async def reader_of_ten(redis, handle):
    place = await redis.get("place") or "0-0"
    for _, entries in await redis.xread({"events": place}, count=10) or []:
        for id, fields in entries:
            await handle(id, fields)
            await redis.set("place", id)


async def reader_of_a_group_that_forgets(redis, handle):
    with contextlib.suppress(ResponseError):  # it is there
        await redis.xgroup_create("events", "followers", id="0", mkstream=True)
    while answer := await redis.xreadgroup("followers", "me", {"events": ">"}, count=5):
        for id, fields in answer[0][1]:
            await handle(id, fields)
            await redis.xack("events", "followers", id)


async def reader_of_a_group(redis, handle):
    """Right: first what was delivered and not acknowledged, then what is new."""
    with contextlib.suppress(ResponseError):  # it is there
        await redis.xgroup_create("events", "followers", id="0", mkstream=True)
    for since in ("0", ">"):
        while True:
            answer = await redis.xreadgroup("followers", "me", {"events": since}, count=50)
            entries = answer[0][1] if answer else []
            if not entries:
                break
            for id, fields in entries:
                await handle(id, fields)
                await redis.xack("events", "followers", id)


WRONG = {
    "08-worker": [
        (worker_acknowledging_first, "nothing-lost"),
        (worker_acknowledging_last, "nothing-lost"),
        (worker_claiming_what_is_slow, "effect-once"),
        (worker_claiming_late, "bounded-recovery"),
        (worker_claiming_only_at_first, "nothing-lost"),
        (worker_never_acknowledging, "effect-once"),
        (worker_asking_all_the_time, "within-budget"),
        (worker_with_a_slip, ""),
    ],
    "08-reader": [
        (reader_from_now_on, "nothing-lost"),
        (reader_from_the_beginning, "at-most-one-again"),
        (reader_remembering_first, "nothing-lost"),
        (reader_remembering_batches, "at-most-one-again"),
        (reader_of_ten, "nothing-lost"),
        (reader_of_a_group_that_forgets, "nothing-lost"),
    ],
}
RIGHT = {"08-worker": [worker_in_turns], "08-reader": [reader_of_a_group]}
