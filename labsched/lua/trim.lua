-- include: token event lead
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
local LOOK = 2000 -- executions looked at per call

-- When the oldest execution that has not ended was created, and whether that is only a lower bound, because the search goes
-- on in the next call. What was created before `settled` has ended (requeue.lua moves it back), so it is not looked at again.
local function oldest_alive()
  local from = redis.call('HGET', k_meta, 'settled') or '-inf'
  local all, at = redis.call('ZRANGEBYSCORE', k_all, from, '+inf', 'WITHSCORES', 'LIMIT', 0, LOOK), from
  for i = 1, #all, 2 do
    at = all[i + 1]
    local state = redis.call('HGET', k_x(all[i]), 'state')
    if state and not ENDED[state] then return at, false, at end
  end
  if #all == 2 * LOOK then return at, true, at end
  return num(now), false, at
end

-- All reads of executions come before the first write.
local over = redis.call('XLEN', k_events) - max_events
local alive, more, settled
if over > 0 then alive, more, settled = oldest_alive() end

if #old > 0 then
  take(1)
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
  local cut = redis.call('XRANGE', k_events, '-', '+', 'COUNT', math.min(over, limit * 10) + 1)
  local last = cut[#cut][1]
  take(1)
  redis.call('HSET', k_meta, 'settled', settled)
  -- A little earlier, since the server reads its clock for an event's id and for `created` at different moments.
  alive = tonumber(alive) and num(tonumber(alive) - 100) .. '-0' or '0-0'
  local function ms(id) return tonumber(string.match(id, '^(%d+)')) end
  if ms(alive) < ms(last) then last = alive end
  local gone = redis.call('XREVRANGE', k_events, '(' .. last, '-', 'COUNT', 1)[1]
  if gone then
    redis.call('HSET', k_meta, 'trimmed', gone[1])
    trimmed = redis.call('XTRIM', k_events, 'MINID', last)
  end
end
return {'ok', forgotten, trimmed, more and '1' or ''}
