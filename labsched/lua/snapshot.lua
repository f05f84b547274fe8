-- include: time
-- The state of a namespace at one instant, for a recording. Reads everything: not for a dashboard.
-- KEYS: namespace. ARGV: "open" leaves out executions that have ended; their number has no bound.
-- Returns {now, last event id, leader, executions, tasks, locks, instances}, each of the last five a flat list of rows.
local last = redis.call('XREVRANGE', k_events, '+', '-', 'COUNT', 1)[1]
local function rows(members, width, read)
  local flat = {}
  for _, member in ipairs(members) do
    local row = read(member)
    flat[#flat + 1] = member
    for i = 1, width do flat[#flat + 1] = row[i] or '' end
  end
  return flat
end
local function fields(key, ...)
  local names = {...}
  return function(member) return redis.call('HMGET', key(member), unpack(names)) end
end
local function listed()
  if ARGV[1] ~= 'open' then return redis.call('ZRANGE', k_all, 0, -1) end
  local ids = {}
  for _, state in ipairs({'BUFFERED', 'READY', 'RUNNING', 'RETRYING'}) do
    for _, id in ipairs(redis.call('ZRANGE', k_state(state), 0, -1)) do ids[#ids + 1] = id end
  end
  return ids
end
local leader = redis.call('HMGET', k_leader, 'name', 'inc', 'epoch', 'until')
return {
  num(now), last and last[1] or '0-0',
  rows(leader[1] and {leader[1]} or {}, 3, function() return {leader[2], leader[3], leader[4]} end),
  rows(listed(), 6, fields(k_x, 'state', 'task', 'attempt', 'token', 'inst', 'slot')),
  rows(redis.call('SMEMBERS', k_tasks), 3, fields(k_task, 'status', 'watermark', 'def')),
  rows(redis.call('ZRANGEBYSCORE', k_locks, '(' .. num(now), '+inf'), 4, fields(k_lock, 'owner', 'token', 'until', 'least')),
  rows(redis.call('HKEYS', k_names), 3, function(name)
    local inc = redis.call('HGET', k_names, name)
    return {inc, redis.call('ZSCORE', k_leases, inc), redis.call('HGET', k_inst(inc), 'facts')}
  end),
}
