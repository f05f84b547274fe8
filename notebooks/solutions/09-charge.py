ONCE = """
if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then
  redis.call('INCRBY', KEYS[2], ARGV[2])
end
"""


async def charge(redis, key, account, cents):
    await redis.eval(ONCE, 2, f"charged:{account}", f"spent:{account}", key, cents)
