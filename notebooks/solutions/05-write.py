COMPARE_AND_WRITE = """
if tonumber(ARGV[1]) < tonumber(redis.call('GET', KEYS[2]) or 0) then return 0 end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('SET', KEYS[1], ARGV[2])
return 1"""


async def write(redis, name, token, value):
    """Compare, remember and write: one script, so nobody can come between."""
    return bool(await redis.eval(COMPARE_AND_WRITE, 2, name, f"{name}:fence", token, value))
