"""Answers to the exercises of notebook 04: wrong ones, with the guarantee that has to be named, and right ones."""

from redis.exceptions import WatchError

OWN = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n"


async def nothing(redis, name, owner):
    return None


async def by_name(redis, name, owner):
    return bool(await redis.delete(name))


async def compare_then_delete(redis, name, owner):
    if await redis.get(name) == owner:
        return bool(await redis.delete(name))
    return False


async def by_a_prefix(redis, name, owner):
    source = "if string.find(redis.call('GET', KEYS[1]) or '', ARGV[1], 1, true) == 1 then"
    return bool(await redis.eval(source + " return redis.call('DEL', KEYS[1]) end return 0", 1, name, owner))


async def leaves_a_word(redis, name, owner):
    return bool(await redis.eval(OWN + "redis.call('SET', KEYS[1], 'free') return 1", 1, name, owner))


async def take_it_back_when_it_was_not_ours(redis, name, owner):
    held = await redis.getdel(name)
    if held is not None and held != owner:
        await redis.set(name, held, px=5_000)
    return held == owner


async def says_nothing(redis, name, owner):
    await redis.eval(OWN + "return redis.call('DEL', KEYS[1])", 1, name, owner)


async def watching(redis, name, owner):
    async with redis.pipeline() as pipe:
        await pipe.watch(name)
        if await pipe.get(name) != owner:
            return False
        pipe.multi()
        pipe.delete(name)
        try:
            await pipe.execute()
        except WatchError:
            return False
        return True


async def renew_nothing(redis, name, owner, ms):
    return None


async def renew_by_name(redis, name, owner, ms):
    return bool(await redis.pexpire(name, ms))


async def renew_by_setting(redis, name, owner, ms):
    return bool(await redis.set(name, owner, px=ms))


async def renew_what_is_there(redis, name, owner, ms):
    return bool(await redis.set(name, owner, px=ms, xx=True))


async def compare_then_renew(redis, name, owner, ms):
    return await redis.get(name) == owner and bool(await redis.pexpire(name, ms))


async def only_a_second(redis, name, owner, ms):
    return bool(await redis.eval(OWN + "return redis.call('PEXPIRE', KEYS[1], 1000)", 1, name, owner))


async def without_an_end(redis, name, owner, ms):
    return bool(await redis.eval(OWN + "redis.call('SET', KEYS[1], ARGV[1]) return 1", 1, name, owner))


async def or_take_it_again(redis, name, owner, ms):
    source = """
    local held = redis.call('GET', KEYS[1])
    if held and held ~= ARGV[1] then return 0 end
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return 1"""
    return bool(await redis.eval(source, 1, name, owner, ms))


async def renew_watching(redis, name, owner, ms):
    async with redis.pipeline() as pipe:
        await pipe.watch(name)
        if await pipe.get(name) != owner:
            return False
        pipe.multi()
        pipe.set(name, owner, px=ms, xx=True)
        try:
            return bool((await pipe.execute())[0])
        except WatchError:
            return False


async def late_nothing(redis, name, owner, ms, least_ms):
    return None


async def at_once(redis, name, owner, ms, least_ms):
    return bool(await redis.eval(OWN + "return redis.call('DEL', KEYS[1])", 1, name, owner))


async def never_before_its_end(redis, name, owner, ms, least_ms):
    return bool(await redis.eval(OWN + "return 1", 1, name, owner))


async def least_from_now(redis, name, owner, ms, least_ms):
    return bool(
        await redis.eval(OWN + "return redis.call('PEXPIRE', KEYS[1], ARGV[2])", 1, name, owner, least_ms)
    )


async def late_in_three_commands(redis, name, owner, ms, least_ms):
    if await redis.get(name) != owner:
        return False
    rest = least_ms - (ms - await redis.pttl(name))
    if rest > 0:
        return bool(await redis.pexpire(name, rest))
    return bool(await redis.delete(name))


async def late_of_anybody(redis, name, owner, ms, least_ms):
    source = """
    local rest = ARGV[2] - (ARGV[1] - redis.call('PTTL', KEYS[1]))
    if rest <= 0 then return redis.call('DEL', KEYS[1]) end
    return redis.call('PEXPIRE', KEYS[1], rest)"""
    return bool(await redis.eval(source, 1, name, ms, least_ms))


async def late_watching(redis, name, owner, ms, least_ms):
    async with redis.pipeline() as pipe:
        await pipe.watch(name)
        if await pipe.get(name) != owner:
            return False
        rest = least_ms - (ms - await pipe.pttl(name))
        pipe.multi()
        if rest > 0:
            pipe.pexpire(name, rest)
        else:
            pipe.delete(name)
        try:
            await pipe.execute()
        except WatchError:
            return False
        return True


WRONG = {
    "04-release": [
        (nothing, "never-stuck"),
        (by_name, "release-own-only"),
        (compare_then_delete, "release-own-only"),
        (by_a_prefix, "release-own-only"),
        (leaves_a_word, "never-stuck"),
        (take_it_back_when_it_was_not_ours, "release-own-only"),
        (says_nothing, ""),
    ],
    "04-renew": [
        (renew_nothing, ""),
        (renew_by_name, "renew-own-only"),
        (renew_by_setting, "renew-own-only"),
        (renew_what_is_there, "renew-own-only"),
        (compare_then_renew, "renew-own-only"),
        (only_a_second, ""),
        (without_an_end, "never-stuck"),
        (or_take_it_again, "renew-own-only"),
    ],
    "04-least": [
        (late_nothing, "never-stuck"),
        (at_once, "at-least"),
        (never_before_its_end, "never-stuck"),
        (least_from_now, "never-stuck"),
        (late_in_three_commands, "release-own-only"),
        (late_of_anybody, "release-own-only"),
    ],
}
RIGHT = {"04-release": [watching], "04-renew": [renew_watching], "04-least": [late_watching]}
