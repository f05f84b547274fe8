-- include: full event lead
-- Retention: forgets terminal executions that ended before `before`, and the oldest events beyond `max_events`, but none
-- younger than the start of an attempt that still runs: `lock_at_most_for` bounds that, while what waits may wait for months.
-- KEYS: namespace. ARGV: instance, incarnation, epoch ('' without election), before (ms, relative: age), max_events, limit.
-- Returns {'ok', forgotten, events trimmed} | {'refused', …}.
local stale = stale_epoch(ARGV[2], ARGV[3])
if stale then return refuse('recover', stale, '', ARGV[2], ARGV[1], ARGV[3]) end
local before, max_events, limit = now - tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local forgotten, trimmed, old = 0, 0, {}
for _, state in ipairs({'SUCCEEDED', 'FAILED', 'DEAD', 'CANCELLED', 'SKIPPED'}) do
  if limit > #old then
    local ids = redis.call('ZRANGEBYSCORE', k_state(state), '-inf', '(' .. num(before), 'LIMIT', 0, limit - #old)
    for _, id in ipairs(ids) do
      local task = redis.call('HGET', k_x(id), 'task')
      if task then typed('zset', k_bytask(task)) end
      old[#old + 1] = {id = id, state = state, task = task}
    end
  end
end
-- All reads of executions come before the first write.
local over, oldest = redis.call('XLEN', k_events) - max_events, now
if over > 0 then
  -- No more than the pools together. The index tells the hard ends, not the starts.
  for _, id in ipairs(redis.call('ZRANGE', k_state('RUNNING'), 0, -1)) do
    local started = tonumber(redis.call('HGET', k_x(id), 'started') or '')
    if started then oldest = math.min(oldest, math.floor(started / 1000)) end
  end
end

write_although_full()
if #old > 0 then
  for _, o in ipairs(old) do
    redis.call('DEL', k_x(o.id), k_log(o.id), k_fence(o.id))
    redis.call('ZREM', k_state(o.state), o.id)
    redis.call('ZREM', k_all, o.id)
    if o.task then redis.call('ZREM', k_bytask(o.task), o.id) end
  end
  forgotten = #old
  event('FORGOTTEN', '', '', '', '', ARGV[1], ARGV[3], '{"count":' .. forgotten .. ',"before":' .. num(before) .. '}')
end

if over > 0 then
  -- A little earlier, since the server reads its clock for an event's id and for `started` at different moments.
  local keep = num(oldest - 100) .. '-0'
  -- Whole nodes of the stream (some dozens of events), which costs next to nothing: no event has to be read.
  trimmed = redis.call('XTRIM', k_events, 'MINID', '~', keep, 'LIMIT', math.min(over, limit * 100))
  if trimmed > 0 then
    local first = redis.call('XRANGE', k_events, '-', '+', 'COUNT', 1)[1][1]
    local ms, seq = string.match(first, '^(%d+)-(%d+)$')
    local before_first = seq ~= '0' and ms .. '-' .. num(seq - 1) or num(ms - 1) .. '-18446744073709551615'
    redis.call('HSET', k_meta, 'trimmed', before_first)
  end
end
return {'ok', forgotten, trimmed}
