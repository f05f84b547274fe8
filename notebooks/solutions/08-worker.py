import asyncio


async def worker(machine, work):
    redis, me = machine.redis, machine.name

    async def stay_alive(id):
        while True:
            await machine.sleep(1)
            # To claim one's own entry sets its idle time to nothing: a sign of life.
            await redis.xclaim("jobs", "workers", me, 0, [id], justid=True)

    while True:
        _, entries, *_ = await redis.xautoclaim("jobs", "workers", me, min_idle_time=4000, count=1)
        if not entries:
            answer = await redis.xreadgroup("workers", me, {"jobs": ">"}, count=1, block=500)
            entries = answer[0][1] if answer else []
        for id, fields in entries:
            alive = asyncio.create_task(stay_alive(id))
            await work(id, fields)
            alive.cancel()
            await redis.xack("jobs", "workers", id)
