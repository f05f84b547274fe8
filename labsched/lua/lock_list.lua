-- include: lock
-- Lists locks that cannot be taken now, those that end first first, and forgets expired ones.
-- KEYS: namespace. ARGV: at most how many.
-- Returns {now, then per lock: name, owner, token, until, released, waiters}.
redis.call('ZREMRANGEBYSCORE', k_locks, '-inf', num(now))
local reply = {num(now)}
for _, name in ipairs(redis.call('ZRANGE', k_locks, 0, tonumber(ARGV[1]) - 1)) do
  local l = lock_read(name)
  if lock_until(l) > now then
    for _, value in ipairs({name, l.owner, l.token, num(lock_until(l)), l.released, redis.call('ZCARD', k_lockq(name))}) do
      reply[#reply + 1] = value
    end
  end
end
return reply
