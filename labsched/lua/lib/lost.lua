-- include: end lock
-- An attempt is over without its own word: its token is revoked, its slot and lock are free, and the
-- execution goes to the front of its queue, or is DEAD when that happened too often.

local function attempt_record(number, token, instance, started, outcome, error)
  return '{"number":' .. number .. ',"token":' .. token .. ',"instance":' .. cjson.encode(instance) ..
    ',"started":' .. num(math.floor(tonumber(started) / 1000)) .. ',"ended":' .. num(now) ..
    ',"outcome":"' .. outcome .. '","error":' .. error .. '}'
end

-- Takes RUNNING work away from its attempt; returns what the caller needs to go on.
local function take_away(id, x, outcome, error)
  redis.call('HSET', k_x(id), 'a' .. x.attempt, attempt_record(x.attempt, x.token, x.inst, x.started, outcome, error),
    'token', '', 'inc', '', 'prog', '')
  redis.call('ZREM', k_state('RUNNING'), id)
  redis.call('SREM', k_held(x.inc), id)
  redis.call('HINCRBY', k_task(x.task), 'running', -1)
  if x.lock == '1' then lock_drop('task:' .. x.task, x.token, x.task, id) end
end

local function back_to_ready(id, x, source)
  assert(LEGAL['RUNNING>READY'])
  redis.call('HSET', k_x(id), 'state', 'READY')
  event('READY', x.task, id, '', '', '', '', '{"source":"' .. source .. '"}')
  -- ms of creation as us: in front of whatever was created later.
  queue_ready(x.task, x.prio, {id}, tonumber(x.created) * 1000)
end

local function close(id, x, state, reason, data)
  redis.call('HSET', k_x(id), 'state', state, 'ended', num(now), 'reason', reason)
  local ran = x.state == 'RUNNING'
  event(state, x.task, id, ran and x.attempt or '', ran and x.token or '', ran and x.inst or '', '', data)
  ended(x.task, id, state, x.w)
  if x.turn == '1' then slot_ended(x.task) end
  if ran then place_freed(x.task, 1, x.inc) end
end

local FIELDS = {'task', 'state', 'attempt', 'token', 'inst', 'inc', 'started', 'prio', 'created', 'losses', 'cancel',
  'lock', 'turn', 'w', 'slot', 'fails', 'taken'}

local function load(id)
  local values, x = redis.call('HMGET', k_x(id), unpack(FIELDS)), {}
  for i, name in ipairs(FIELDS) do x[name] = values[i] or '' end
  return x
end

-- Before the first write: what taking an attempt away and ending it touches.
local function check_attempt(x)
  if x.state ~= 'RUNNING' then return end
  check_end(x.task, x.turn)
  if x.prio then check_queue(x.task, x.prio) end
  typed('set', k_held(x.inc))
  typed('hash', k_inst(x.inc))
  if x.lock == '1' then
    typed('hash', k_lock('task:' .. x.task))
    typed('zset', k_lockq('task:' .. x.task))
  end
end

-- Tells an instance that an attempt of its is over though it runs on: through its mailbox, and, since such a line may be
-- lost, by every heartbeat until it says that it knows (heartbeat.lua).
local function revoke(id, x)
  if not redis.call('ZSCORE', k_leases, x.inc) then return end
  redis.call('HSET', k_inst(x.inc), 'revoked', (redis.call('HGET', k_inst(x.inc), 'revoked') or '') .. ' ' .. x.token)
  post(x.inc, 'revoked ' .. x.token .. ' ' .. id)
end

-- An attempt whose instance had its name taken from it while it lived says nothing of the work, and does not count as lost.
-- But a body that kills its process, which is at once started again, looks the same to the server: so there is an end.
local MOST_TAKEN = 10

-- `taken`: its instance was superseded while its lease ran.
local function lost(id, reason, taken)
  local x = load(id)
  if x.state ~= 'RUNNING' then return false end
  local losses, takings = tonumber(x.losses) + (taken and 0 or 1), (tonumber(x.taken) or 0) + (taken and 1 or 0)
  redis.call('HSET', k_x(id), 'losses', losses, 'taken', takings)
  take_away(id, x, 'LOST', 'null')
  event('LOST', x.task, id, x.attempt, x.token, x.inst, '', '{"reason":"' .. reason .. '","losses":' .. losses .. '}')
  redis.call('HINCRBY', k_counts, 'LOST', 1)
  redis.call('HINCRBY', k_task(x.task), 'n:LOST', 1)
  local most = tonumber(redis.call('HGET', k_task(x.task), 'max_losses') or '3')
  if x.cancel == '1' then
    close(id, x, 'CANCELLED', 'lost while asked to stop', '{"was":"RUNNING","force":false}')
  elseif losses >= most then
    close(id, x, 'DEAD', 'lost ' .. losses .. ' times', '{"losses":' .. losses .. ',"reason":"' .. reason .. '"}')
  elseif takings >= MOST_TAKEN then
    close(id, x, 'DEAD', 'its instance was superseded ' .. takings .. ' times',
      '{"losses":' .. losses .. ',"reason":"' .. reason .. '"}')
  else
    back_to_ready(id, x, 'lost')
  end
  return true
end

-- Before the first write: what ending an incarnation touches.
local function check_held(inc)
  typed('hash', k_inst(inc))
  if (redis.call('HGET', k_inst(inc), 'scope') or '') ~= '' then
    for _, task in ipairs(redis.call('SMEMBERS', k_tasks)) do typed('hash', k_task(task)) end
  end
  for _, id in ipairs(redis.call('SMEMBERS', k_held(inc))) do check_attempt(load(id)) end
end

-- What an instance kept that dispatched for itself.
local function drop_scope(scope)
  if not scope or scope == '' then return end
  redis.call('SREM', k_scopes, scope)
  redis.call('DEL', k_due(scope))
  for _, task in ipairs(redis.call('SMEMBERS', k_tasks)) do
    redis.call('HDEL', k_task(task), 'watermark@' .. scope, 'catch_up@' .. scope)
  end
end

-- Ends an incarnation: whatever it held is lost (`taken`: see `lost`), and its name is free.
local function bury(inc, reason, taken)
  local inst = redis.call('HMGET', k_inst(inc), 'name', 'scope')
  local name, lease = inst[1] or '', redis.call('ZSCORE', k_leases, inc) or '0'
  local held = redis.call('SMEMBERS', k_held(inc))
  table.sort(held)
  redis.call('ZREM', k_leases, inc)
  redis.call('ZREM', k_idle, inc)
  event('INSTANCE_LOST', '', '', '', inc, name, '', '{"reason":"' .. reason .. '","until":' .. num(tonumber(lease)) ..
    ',"held":' .. #held .. '}')
  if reason == 'lease' then
    redis.call('HINCRBY', k_counts, 'INSTANCE_LOST', 1)
    redis.call('HINCRBY', k_counts, 'RECOVERY_MS', now - math.min(tonumber(lease), now))
  end
  for _, id in ipairs(held) do lost(id, reason, taken) end
  drop_scope(inst[2])
  if redis.call('HGET', k_names, name) == inc then redis.call('HDEL', k_names, name) end
  redis.call('DEL', k_inst(inc), k_handlers(inc), k_held(inc), k_box(inc))
end
