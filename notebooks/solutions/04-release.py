COMPARE_AND_DELETE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])"""


async def release(redis, name, owner):
    """Compare and delete in one step: what was ours when we looked may be another's when we delete."""
    return bool(await redis.eval(COMPARE_AND_DELETE, 1, name, owner))
