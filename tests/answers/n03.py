"""Answers to the exercises of notebook 03: wrong ones, with the guarantee that has to be named, and right ones."""

from redis.exceptions import WatchError

SEEN: dict[str, str] = {}


async def get_then_set(redis, name, owner, ms):
    if await redis.get(name) is None:
        await redis.set(name, owner, px=ms)
        return True
    return False


async def setnx_then_expire(redis, name, owner, ms):
    if await redis.setnx(name, owner):
        await redis.pexpire(name, ms)
        return True
    return False


async def without_an_end(redis, name, owner, ms):
    return bool(await redis.set(name, owner, nx=True))


async def seconds_for_milliseconds(redis, name, owner, ms):
    return bool(await redis.set(name, owner, nx=True, ex=ms))


async def an_end_of_its_own(redis, name, owner, ms):
    return bool(await redis.set(name, owner, nx=True, px=1_000))


async def one_name_for_all(redis, name, owner, ms):
    return bool(await redis.set("lock", owner, nx=True, px=ms))


async def set_then_look(redis, name, owner, ms):
    await redis.set(name, owner, px=ms)
    return await redis.get(name) == owner


async def set_then_look_without_get(redis, name, owner, ms):
    await redis.set(name, owner, nx=True, px=ms)
    return True


async def never(redis, name, owner, ms):
    return None


async def in_memory(redis, name, owner, ms):
    if name in SEEN:
        return False
    SEEN[name] = owner
    return True


async def counting(redis, name, owner, ms):
    if await redis.incr(name) == 1:
        await redis.pexpire(name, ms)
        return True
    return False


async def until_it_is_free(redis, name, owner, ms):
    while not await redis.set(name, owner, nx=True, px=ms):
        pass
    return True


async def by_a_script(redis, name, owner, ms):
    source = """
    if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
    redis.call('PSETEX', KEYS[1], ARGV[2], ARGV[1])
    return 1"""
    return await redis.eval(source, 1, name, owner, ms) == 1


async def in_one_transaction(redis, name, owner, ms):
    async with redis.pipeline(transaction=True) as pipe:
        got, _ = await pipe.setnx(name, owner).pexpire(name, ms, nx=True).execute()
    return bool(got)


async def watching_the_wrong_name(redis, name, owner, ms):
    async with redis.pipeline() as pipe:
        await pipe.watch(name + ":lock")
        if await pipe.get(name) is not None:
            return False
        pipe.multi()
        pipe.set(name, owner, px=ms)
        await pipe.execute()
        return True


async def looking_before_watching(redis, name, owner, ms):
    if await redis.get(name) is not None:
        return False
    async with redis.pipeline() as pipe:
        await pipe.watch(name)
        pipe.multi()
        pipe.set(name, owner, px=ms)
        try:
            await pipe.execute()
        except WatchError:
            return False
        return True


async def watching_without_an_end(redis, name, owner, ms):
    async with redis.pipeline() as pipe:
        await pipe.watch(name)
        if await pipe.get(name) is not None:
            return False
        pipe.multi()
        pipe.set(name, owner)
        try:
            await pipe.execute()
        except WatchError:
            return False
        return True


async def watching_and_expiring_afterwards(redis, name, owner, ms):
    async with redis.pipeline() as pipe:
        await pipe.watch(name)
        if await pipe.exists(name):
            return False
        pipe.multi()
        pipe.set(name, owner)
        try:
            await pipe.execute()
        except WatchError:
            return False
    await redis.pexpire(name, ms)
    return True


async def with_exists(redis, name, owner, ms):
    pipe = redis.pipeline()
    try:
        await pipe.watch(name)
        taken = await pipe.exists(name)
        if not taken:
            pipe.multi()
            pipe.psetex(name, ms, owner)
            await pipe.execute()
        return not taken
    except WatchError:
        return False
    finally:
        await pipe.reset()


WRONG = {
    "03-order": [("AABB", ""), ("BBAA", ""), ("AB", ""), ("", ""), ("ABC", ""), (4, "")],
    "03-acquire": [
        (never, ""),
        (get_then_set, "one-holder"),
        (setnx_then_expire, "never-stuck"),
        (without_an_end, "never-stuck"),
        (seconds_for_milliseconds, "never-stuck"),
        (an_end_of_its_own, "one-holder"),
        (one_name_for_all, ""),
        (set_then_look, "one-holder"),
        (set_then_look_without_get, "one-holder"),
        (in_memory, ""),
        (counting, "never-stuck"),
        (until_it_is_free, ""),
    ],
    "03-watch": [
        (never, ""),
        (get_then_set, "one-holder"),
        (watching_the_wrong_name, "one-holder"),
        (looking_before_watching, "one-holder"),
        (watching_without_an_end, "never-stuck"),
        (watching_and_expiring_afterwards, "never-stuck"),
        (by_a_script, ""),
    ],
}
RIGHT = {
    "03-order": ["ABAB", "BAAB"],
    "03-acquire": [by_a_script, in_one_transaction],
    "03-watch": [with_exists],
}
