"""Answers to the exercises of notebook 05: wrong ones, with the guarantee that has to be named, and right ones."""

from redis.exceptions import WatchError

WRITTEN: dict[str, int] = {}

COMPARE = """
if tonumber(ARGV[1]) {test} tonumber(redis.call('GET', KEYS[2]) or 0) then return 0 end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('SET', KEYS[1], ARGV[2])
return 1"""
AS_TEXT = """
if ARGV[1] < (redis.call('GET', KEYS[2]) or '') then return 0 end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('SET', KEYS[1], ARGV[2])
return 1"""
FORGETFUL = """
if tonumber(ARGV[1]) < tonumber(redis.call('GET', KEYS[2]) or 0) then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'EX', 3600)
redis.call('SET', KEYS[1], ARGV[2])
return 1"""
NOT_RAISED = """
if tonumber(ARGV[1]) < tonumber(redis.call('GET', KEYS[2]) or 0) then return 0 end
redis.call('SETNX', KEYS[2], ARGV[1])
redis.call('SET', KEYS[1], ARGV[2])
return 1"""
IN_A_HASH = """
local known = redis.call('HGET', KEYS[1] .. '/seen', 'token')
if known and tonumber(known) > tonumber(ARGV[1]) then return redis.error_reply('STALE') end
redis.call('HSET', KEYS[1] .. '/seen', 'token', ARGV[1])
return redis.call('SET', KEYS[1], ARGV[2])"""


async def never(redis, name, token, value):
    return None


async def plain(redis, name, token, value):
    await redis.set(name, value)
    return True


async def checked_at_the_client(redis, name, token, value):
    if token < int(await redis.get(name + ":fence") or 0):
        return False
    await redis.set(name + ":fence", token)
    await redis.set(name, value)
    return True


async def checked_then_written_at_once(redis, name, token, value):
    if token < int(await redis.get(name + ":fence") or 0):
        return False
    await redis.mset({name + ":fence": token, name: value})
    return True


async def in_memory(redis, name, token, value):
    if token < WRITTEN.get(name, 0):
        return False
    WRITTEN[name] = token
    await redis.set(name, value)
    return True


async def equal_is_refused(redis, name, token, value):
    return bool(await redis.eval(COMPARE.format(test="<="), 2, name, name + ":fence", token, value))


async def the_wrong_way_round(redis, name, token, value):
    return bool(await redis.eval(COMPARE.format(test=">"), 2, name, name + ":fence", token, value))


async def compared_as_text(redis, name, token, value):
    return bool(await redis.eval(AS_TEXT, 2, name, name + ":fence", token, value))


async def forgets_after_an_hour(redis, name, token, value):
    return bool(await redis.eval(FORGETFUL, 2, name, name + ":fence", token, value))


async def keeps_the_first_token(redis, name, token, value):
    return bool(await redis.eval(NOT_RAISED, 2, name, name + ":fence", token, value))


async def one_fence_for_all(redis, name, token, value):
    return bool(await redis.eval(COMPARE.format(test="<"), 2, name, "fence", token, value))


async def under_a_mutex(redis, name, token, value):
    while not await redis.set(name + ":mutex", 1, nx=True):
        pass
    accepted = token >= int(await redis.get(name + ":fence") or 0)
    if accepted:
        await redis.mset({name + ":fence": token, name: value})
    await redis.delete(name + ":mutex")
    return accepted


async def gives_up_when_disturbed(redis, name, token, value):
    async with redis.pipeline() as pipe:
        await pipe.watch(name + ":fence")
        if token < int(await pipe.get(name + ":fence") or 0):
            return False
        pipe.multi()
        pipe.set(name + ":fence", token).set(name, value)
        try:
            await pipe.execute()
        except WatchError:
            return False
        return True


async def watching(redis, name, token, value):
    async with redis.pipeline() as pipe:
        while True:
            try:
                await pipe.watch(name + ":fence")
                if token < int(await pipe.get(name + ":fence") or 0):
                    return False
                pipe.multi()
                pipe.set(name + ":fence", token).set(name, value)
                await pipe.execute()
                return True
            except WatchError:
                continue


async def in_a_hash(redis, name, token, value):
    try:
        await redis.eval(IN_A_HASH, 1, name, token, value)
    except Exception as error:
        if "STALE" not in str(error):
            raise
        return False
    return True


TOKEN_ONLY = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
return redis.call('INCR', KEYS[2])"""
RAISED_BY_ALL = """
redis.call('INCR', KEYS[2])
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
return tonumber(redis.call('GET', KEYS[2]))"""
TOKENS_END = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
local token = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2] * 10)
redis.call('SET', KEYS[3], token, 'PX', ARGV[2] * 10)
return token"""
ABOVE_ITSELF = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[3], token + 1)
return token"""
FENCE_COUNTS = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('INCR', KEYS[2])"""


async def takes_nothing(redis, name, owner, ms):
    return None


async def true_for_a_token(redis, name, owner, ms):
    return bool(await redis.set(name + ":lock", owner, nx=True, px=ms))


async def token_without_fence(redis, name, owner, ms):
    return await redis.eval(TOKEN_ONLY, 2, name + ":lock", name + ":tokens", owner, ms)


async def fence_raised_afterwards(redis, name, owner, ms):
    token = await redis.eval(TOKEN_ONLY, 2, name + ":lock", name + ":tokens", owner, ms)
    if token:
        await redis.set(name + ":fence", token)
    return token


async def three_commands(redis, name, owner, ms):
    if not await redis.set(name + ":lock", owner, nx=True, px=ms):
        return None
    token = int(await redis.get(name + ":fence") or 0) + 1
    await redis.set(name + ":fence", token)
    return token


async def raised_by_whoever_asks(redis, name, owner, ms):
    return await redis.eval(RAISED_BY_ALL, 2, name + ":lock", name + ":fence", owner, ms)


async def tokens_that_end(redis, name, owner, ms):
    keys = name + ":lock", name + ":tokens", name + ":fence"
    return await redis.eval(TOKENS_END, 3, *keys, owner, ms)


async def shuts_itself_out(redis, name, owner, ms):
    keys = name + ":lock", name + ":tokens", name + ":fence"
    return await redis.eval(ABOVE_ITSELF, 3, *keys, owner, ms)


async def the_fence_is_the_counter(redis, name, owner, ms):
    return await redis.eval(FENCE_COUNTS, 2, "locks/" + name, name + ":fence", owner, ms) or None


async def watching_the_lock(redis, name, owner, ms):
    async with redis.pipeline() as pipe:
        await pipe.watch(name + ":lock")
        if await pipe.exists(name + ":lock"):
            return None
        pipe.multi()
        pipe.set(name + ":lock", owner, px=ms).incr(name + ":fence")
        try:
            _, token = await pipe.execute()
        except WatchError:
            return None
        return token


WRONG = {
    "05-event": [(1, ""), (2, ""), (3, ""), (5, ""), (6, ""), (8, ""), ("7", "")],
    "05-write": [
        (never, "newest-accepted"),
        (plain, "no-stale-write"),
        (checked_at_the_client, "no-stale-write"),
        (checked_then_written_at_once, "no-stale-write"),
        (in_memory, ""),
        (equal_is_refused, "newest-accepted"),
        (the_wrong_way_round, "newest-accepted"),
        (compared_as_text, "no-stale-write"),
        (forgets_after_an_hour, "no-stale-write"),
        (keeps_the_first_token, "no-stale-write"),
        (one_fence_for_all, "newest-accepted"),
        (under_a_mutex, "never-stuck"),
        (gives_up_when_disturbed, "newest-accepted"),
    ],
    "05-acquire": [
        (takes_nothing, ""),
        (true_for_a_token, ""),
        (token_without_fence, "no-stale-write"),
        (fence_raised_afterwards, "no-stale-write"),
        (three_commands, "tokens-grow"),
        (raised_by_whoever_asks, "newest-accepted"),
        (tokens_that_end, "tokens-grow"),
        (shuts_itself_out, "newest-accepted"),
    ],
}
RIGHT = {
    "05-event": [7],
    "05-write": [watching, in_a_hash],
    "05-acquire": [the_fence_is_the_counter, watching_the_lock],
}
