TAKE_AND_RAISE = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[3], token)
return token"""


async def acquire(redis, name, owner, ms):
    """From the step that grants the lock on, the store refuses every earlier holder."""
    keys = f"{name}:lock", f"{name}:tokens", f"{name}:fence"
    return await redis.eval(TAKE_AND_RAISE, 3, *keys, owner, ms)
