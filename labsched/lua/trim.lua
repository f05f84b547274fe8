-- include: token event lead
-- Retention: forgets terminal executions that ended before `before`, and events older than everything still alive.
-- KEYS: namespace. ARGV: instance, incarnation, epoch ('' without election), before (ms, relative: age), max_events, limit.
-- Returns {'ok', forgotten, events trimmed} | {'refused', …}.
local stale = stale_epoch(ARGV[2], ARGV[3])
if stale then return refuse('recover', stale, '', ARGV[2], ARGV[1], ARGV[3]) end
local before, max_events, limit = now - tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local forgotten, trimmed, old = 0, 0, {}
for _, state in ipairs({'SUCCEEDED', 'FAILED', 'DEAD', 'CANCELLED', 'SKIPPED'}) do
  if limit > #old then
    local ids = redis.call('ZRANGEBYSCORE', k_state(state), '-inf', '(' .. num(before), 'LIMIT', 0, limit - #old)
    for _, id in ipairs(ids) do old[#old + 1] = {id = id, state = state, task = redis.call('HGET', k_x(id), 'task')} end
  end
end
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

-- Where the oldest execution that is not terminal was created: its events stay.
local function oldest_alive()
  local oldest = now
  for _, state in ipairs({'BUFFERED', 'READY', 'RETRYING', 'RUNNING'}) do
    -- RUNNING is ordered by hard end and READY by when it became so, not by creation: a bounded look at each, by creation.
    for _, id in ipairs(redis.call('ZRANGE', k_state(state), 0, 999)) do
      oldest = math.min(oldest, tonumber(redis.call('HGET', k_x(id), 'created') or num(now)))
    end
  end
  return oldest
end

local length = redis.call('XLEN', k_events)
if length > max_events then
  local cut = redis.call('XRANGE', k_events, '-', '+', 'COUNT', math.min(length - max_events, limit * 10) + 1)
  local last = cut[#cut][1]
  local alive = num(oldest_alive()) .. '-0'
  local function ms(id) return tonumber(string.match(id, '^(%d+)')) end
  if ms(alive) < ms(last) then last = alive end
  local gone = redis.call('XREVRANGE', k_events, '(' .. last, '-', 'COUNT', 1)[1]
  if gone then
    take(1)
    redis.call('HSET', k_meta, 'trimmed', gone[1])
    trimmed = redis.call('XTRIM', k_events, 'MINID', last)
  end
end
return {'ok', forgotten, trimmed}
