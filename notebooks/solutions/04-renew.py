COMPARE_AND_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])"""


async def renew(redis, name, owner, ms):
    """The same comparison. An ended lock has no value, so it is nobody's, and stays ended."""
    return bool(await redis.eval(COMPARE_AND_RENEW, 1, name, owner, ms))
