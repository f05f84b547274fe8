-- include: event
-- Renews an instance's lease, on which all its attempts live.
-- KEYS: namespace. ARGV: name, incarnation, lease_ms.
-- Returns {'ok', now, '1' when ready work waits that it could run, state} | {'refused', 'heartbeat', why}.
local name, inc = ARGV[1], ARGV[2]
local lease = redis.call('ZSCORE', k_leases, inc)
if not lease or tonumber(lease) <= now then
  return refuse('heartbeat', lease and 'expired' or 'incarnation', '', inc, name, '')
end
typed('hash', k_inst(inc))
local work = '0'
for _, priority in ipairs({'high', 'normal', 'low'}) do
  for _, task in ipairs(redis.call('ZRANGE', k_turn(priority), 0, 1023)) do
    if redis.call('HEXISTS', k_handlers(inc), task) == 1 then work = '1' break end
  end
end
redis.call('ZADD', k_leases, num(now + tonumber(ARGV[3])), inc)
redis.call('HSET', k_inst(inc), 'seen', num(now))
return {'ok', num(now), work, redis.call('HGET', k_inst(inc), 'state')}
