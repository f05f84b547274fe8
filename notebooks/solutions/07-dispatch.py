COMPARE_AND_QUEUE = """
if tonumber(ARGV[1]) ~= tonumber(redis.call('GET', KEYS[1])) then return 0 end
if redis.call('SADD', KEYS[2], ARGV[2]) == 0 then return 0 end
redis.call('RPUSH', KEYS[3], ARGV[2])
return 1"""


async def dispatch(redis, name, epoch, slot):
    """Is this still the leader's epoch, and is the slot new? Then queue it, in the same step."""
    keys = f"{name}:epoch", f"{name}:done", f"{name}:queue"
    return bool(await redis.eval(COMPARE_AND_QUEUE, 3, *keys, epoch, slot))
