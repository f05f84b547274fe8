-- include: event
-- Renews an instance's lease, on which all its attempts live.
-- KEYS: namespace. ARGV: name, incarnation, lease_ms.
-- Returns {'ok', now, '1' when ready work waits that it could run, state, then the tokens of its attempts that were asked to
-- stop: the hint may have been lost} | {'refused', 'heartbeat', why}.
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
local me = redis.call('HMGET', k_inst(inc), 'state', 'asked')
local reply = {'ok', num(now), work, me[1]}
if me[2] == '1' then
  for _, id in ipairs(redis.call('SMEMBERS', k_held(inc))) do
    local x = redis.call('HMGET', k_x(id), 'cancel', 'token')
    if x[1] == '1' then reply[#reply + 1] = x[2] end
  end
  if #reply == 4 then redis.call('HDEL', k_inst(inc), 'asked') end
end
return reply
