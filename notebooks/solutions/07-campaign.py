TAKE_OR_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return tonumber(redis.call('GET', KEYS[2]))
end
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
return redis.call('INCR', KEYS[2])"""


async def campaign(redis, name, me, ms):
    """Renew what is mine, take what is free, and leave alone what is another's: one step, whatever it is."""
    return await redis.eval(TAKE_OR_RENEW, 2, f"{name}:leader", f"{name}:epoch", me, ms)
