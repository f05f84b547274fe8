-- include: full event lead
-- Retention: forgets terminal executions that ended before `before`, and events older than everything still alive.
-- KEYS: namespace. ARGV: instance, incarnation, epoch ('' without election), before (ms, relative: age), max_events, limit.
-- Returns {'ok', forgotten, events trimmed, '1' when there is more to do at once} | {'refused', …}.
local stale = stale_epoch(ARGV[2], ARGV[3])
if stale then return refuse('recover', stale, '', ARGV[2], ARGV[1], ARGV[3]) end
local before, max_events, limit = now - tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local forgotten, trimmed, old = 0, 0, {}
local ENDED = {}
for _, state in ipairs({'SUCCEEDED', 'FAILED', 'DEAD', 'CANCELLED', 'SKIPPED'}) do
  ENDED[state] = true
  if limit > #old then
    local ids = redis.call('ZRANGEBYSCORE', k_state(state), '-inf', '(' .. num(before), 'LIMIT', 0, limit - #old)
    for _, id in ipairs(ids) do
      local task = redis.call('HGET', k_x(id), 'task')
      if task then typed('zset', k_bytask(task)) end
      old[#old + 1] = {id = id, state = state, task = task}
    end
  end
end
local LOOK = 1000 -- executions looked at per call

-- When the oldest execution that has not ended was created, and whether that is only a lower bound, because the search goes
-- on in the next call. By creation, what comes before `settled` (ms, id) has ended, so it is not looked at again;
-- requeue.lua moves it back. What is younger than 100 ms is left: more may yet be created in the same millisecond.
local function oldest_alive()
  local settled = redis.call('HMGET', k_meta, 'settled', 'settled_id')
  local at, last = settled[1] or '0', settled[2] or ''
  local rank = redis.call('ZRANK', k_all, last)
  local from = rank and rank + 1 or redis.call('ZCOUNT', k_all, '-inf', '(' .. at)
  local all = redis.call('ZRANGE', k_all, from, from + LOOK - 1, 'WITHSCORES')
  for i = 1, #all, 2 do
    local state = redis.call('HGET', k_x(all[i]), 'state')
    if (state and not ENDED[state]) or tonumber(all[i + 1]) > now - 100 then return all[i + 1], false, at, last end
    at, last = all[i + 1], all[i]
  end
  if #all == 2 * LOOK then return at, true, at, last end
  return num(now), false, at, last
end

-- All reads of executions come before the first write.
local over = redis.call('XLEN', k_events) - max_events
local alive, more, settled, settled_id
if over > 0 then alive, more, settled, settled_id = oldest_alive() end

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
  redis.call('HSET', k_meta, 'settled', settled, 'settled_id', settled_id)
  -- A little earlier, since the server reads its clock for an event's id and for `created` at different moments.
  alive = num(tonumber(alive) - 100) .. '-0'
  -- Whole nodes of the stream (some dozens of events), which costs next to nothing: no event has to be read.
  trimmed = redis.call('XTRIM', k_events, 'MINID', '~', alive, 'LIMIT', math.min(over, limit * 100))
  if trimmed > 0 then
    local first = redis.call('XRANGE', k_events, '-', '+', 'COUNT', 1)[1][1]
    local ms, seq = string.match(first, '^(%d+)-(%d+)$')
    local before_first = seq ~= '0' and ms .. '-' .. num(seq - 1) or num(ms - 1) .. '-18446744073709551615'
    redis.call('HSET', k_meta, 'trimmed', before_first)
  end
end
return {'ok', forgotten, trimmed, more and '1' or ''}
