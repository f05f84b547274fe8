-- include: full token event lost
-- An instance joins under a name. A process that is new takes it over at once: a live incarnation of that name is superseded,
-- and what it held is READY again. A process that joins again does not: who took its name in the meantime keeps it, or two
-- that live under one name would evict each other for ever.
-- KEYS: namespace. ARGV: name, process (a random id of its own), serial (of its joins, from 1), lease_ms, scope ('' or its own
-- set of due tasks), facts (JSON object text), pool_size, hostname, pid, then per handler task, version.
-- Returns {incarnation, now}, the same again for a repeated serial | {'taken', incarnation, ms of the last heartbeat, hostname,
-- pid} of who has the name. Only the next heartbeat proves that it lives: it may be a join that came late, when its process
-- had ended, or stem from before the server lost data.
local name, process, serial, lease_ms, scope = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local old, alive = redis.call('HGET', k_names, name), false
if old then
  typed('hash', k_inst(old))
  local it = redis.call('HMGET', k_inst(old), 'process', 'serial', 'seen', 'hostname', 'pid')
  local mine, lease = it[1] == process, tonumber(redis.call('ZSCORE', k_leases, old) or '0')
  -- A late copy of an earlier join of ours: nobody waits for its reply.
  if mine and serial < tonumber(it[2]) then return {old, num(now)} end
  if mine and serial == tonumber(it[2]) then
    redis.call('ZADD', k_leases, num(now + lease_ms), old)
    return {old, num(now)}
  end
  alive = not mine and lease > now
  if alive and serial > 1 then return {'taken', old, it[3], it[4], it[5]} end
  check_held(old)
end
if scope ~= '' then
  typed('zset', k_due(scope))
  for _, task in ipairs(redis.call('SMEMBERS', k_tasks)) do typed('hash', k_task(task)) end
end
write_although_full()
local inc = num(take(1))
if old then
  bury(old, 'superseded', alive)
  local leader = redis.call('HMGET', k_leader, 'inc', 'epoch')
  if leader[1] == old then
    event('LEADER_RESIGNED', '', '', '', old, name, leader[2], '{}')
    redis.call('DEL', k_leader)
  end
end
redis.call('HSET', k_names, name, inc)
redis.call('HSET', k_inst(inc), 'name', name, 'process', process, 'serial', serial, 'state', 'ACTIVE', 'joined', num(now),
  'seen', num(now), 'scope', scope, 'pool', ARGV[7], 'hostname', ARGV[8], 'pid', ARGV[9], 'facts', ARGV[6])
for i = 10, #ARGV, 2 do redis.call('HSET', k_handlers(inc), ARGV[i], ARGV[i + 1]) end
redis.call('ZADD', k_leases, num(now + lease_ms), inc)
if scope ~= '' then
  redis.call('SADD', k_scopes, scope)
  for _, task in ipairs(redis.call('SMEMBERS', k_tasks)) do
    redis.call('HSET', k_task(task), 'watermark@' .. scope, num(now))
    if redis.call('HGET', k_task(task), 'status') == 'ACTIVE' then redis.call('ZADD', k_due(scope), num(now), task) end
  end
end
event('INSTANCE_JOINED', '', '', '', inc, name, '', ARGV[6])
return {inc, num(now)}
