-- include: full token event
-- Takes or renews leadership. Judged by the server's clock; each new leadership gets a new epoch.
-- KEYS: namespace. ARGV: name, incarnation, epoch ('' to campaign), lease_ms.
-- Returns {'leader', epoch, now} | {'follower', ms until the leader's lease ends, leader's name} | {'refused', 'renew', why}.
local name, inc, epoch, lease_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local leader = redis.call('HMGET', k_leader, 'inc', 'epoch', 'until', 'name')
local left = leader[1] and tonumber(leader[3]) - now or 0
if epoch ~= '' then
  if leader[1] ~= inc or leader[2] ~= epoch then return refuse('renew', 'epoch', '', inc, name, epoch) end
  if left <= 0 then return refuse('renew', 'expired', '', inc, name, epoch) end
  write_although_full()
  redis.call('HSET', k_leader, 'until', num(now + lease_ms))
  return {'leader', epoch, num(now)}
end
local lease = redis.call('ZSCORE', k_leases, inc)
if not lease or tonumber(lease) <= now then return refuse('renew', 'incarnation', '', inc, name, '') end
if left > 0 then
  -- The reply to its own campaign was lost: the same epoch again.
  if leader[1] == inc then return {'leader', leader[2], num(now)} end
  return {'follower', num(left), leader[4]}
end
write_although_full()
epoch = num(take(1))
redis.call('HSET', k_leader, 'inc', inc, 'epoch', epoch, 'until', num(now + lease_ms), 'name', name)
redis.call('HINCRBY', k_counts, 'ELECTED', 1)
-- One that resigned left nothing behind; one that fell silent left the end of its lease.
if leader[1] then
  redis.call('HINCRBY', k_counts, 'FAILOVER', 1)
  redis.call('HINCRBY', k_counts, 'FAILOVER_MS', -left)
end
event('LEADER_ELECTED', '', '', '', inc, name, epoch, '{"until":' .. num(now + lease_ms) .. ',"previous":' ..
  (leader[4] and cjson.encode(leader[4]) or 'null') .. '}')
return {'leader', epoch, num(now)}
