-- include: token event lost
-- An instance joins under a name; a live incarnation of that name is superseded and what it held is READY again.
-- KEYS: namespace. ARGV: name, nonce, lease_ms, scope ('' or its own set of due tasks), facts (JSON object text),
-- pool_size, hostname, pid, then per handler task, version.
-- Returns {incarnation, now}. A repeated nonce gives the same incarnation.
local name, nonce, lease_ms, scope = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local old = redis.call('HGET', k_names, name)
if old and redis.call('HGET', k_inst(old), 'join') == nonce then
  redis.call('ZADD', k_leases, num(now + lease_ms), old)
  return {old, num(now)}
end
if old then check_held(old) end
if scope ~= '' then
  typed('zset', k_due(scope))
  for _, task in ipairs(redis.call('SMEMBERS', k_tasks)) do typed('hash', k_task(task)) end
end
local inc = num(take(1))
if old then
  bury(old, 'superseded')
  local leader = redis.call('HMGET', k_leader, 'inc', 'epoch')
  if leader[1] == old then
    event('LEADER_RESIGNED', '', '', '', old, name, leader[2], '{}')
    redis.call('DEL', k_leader)
  end
end
redis.call('HSET', k_names, name, inc)
redis.call('HSET', k_inst(inc), 'name', name, 'join', nonce, 'state', 'ACTIVE', 'joined', num(now), 'seen', num(now),
  'scope', scope, 'pool', ARGV[6], 'hostname', ARGV[7], 'pid', ARGV[8],
  'facts', ARGV[5])
for i = 9, #ARGV, 2 do redis.call('HSET', k_handlers(inc), ARGV[i], ARGV[i + 1]) end
redis.call('ZADD', k_leases, num(now + lease_ms), inc)
if scope ~= '' then
  redis.call('SADD', k_scopes, scope)
  for _, task in ipairs(redis.call('SMEMBERS', k_tasks)) do
    redis.call('HSET', k_task(task), 'watermark@' .. scope, num(now))
    if redis.call('HGET', k_task(task), 'status') == 'ACTIVE' then redis.call('ZADD', k_due(scope), num(now), task) end
  end
end
event('INSTANCE_JOINED', '', '', '', inc, name, '', ARGV[5])
return {inc, num(now)}
