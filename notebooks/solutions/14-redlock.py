import asyncio

from redis.exceptions import RedisError

FREE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


async def ask(question):
    try:
        async with asyncio.timeout(0.05):
            return await question
    except (TimeoutError, RedisError):
        return None


async def acquire(machine, name, ms):
    began, servers = machine.monotonic(), machine.servers
    got = [await ask(redis.set(name, machine.name, nx=True, px=ms)) for redis in servers]
    left = ms / 1000 - (machine.monotonic() - began)
    if sum(map(bool, got)) > len(servers) / 2 and left > 0:
        return left
    for redis in servers:
        await ask(redis.eval(FREE, 1, name, machine.name))
    return None
