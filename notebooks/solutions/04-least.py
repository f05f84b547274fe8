COMPARE_AND_LEAVE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local held = ARGV[2] - redis.call('PTTL', KEYS[1])
local rest = ARGV[3] - held
if rest <= 0 then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], rest)"""


async def release_late(redis, name, owner, ms, least_ms):
    """The server knows how much is left of `ms`, so it knows how long the lock was held: no clock of ours is asked."""
    return bool(await redis.eval(COMPARE_AND_LEAVE, 1, name, owner, ms, least_ms))
