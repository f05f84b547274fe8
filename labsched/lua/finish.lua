-- include: token event lost
-- Ends attempts, in one batch. Judged by token alone: an attempt whose lease ran out but was not yet recovered may commit.
-- KEYS: namespace. ARGV: instance, then per attempt id, token, to (SUCCEEDED FAILED RETRYING CANCELLED READY),
-- outcome, result (JSON), failure (JSON), brief (JSON text of the error), delay_ms (of the retry).
-- Returns one word per attempt: 'ok' (also when repeated) or 'stale'.
local name, reply, accepted, seen = ARGV[1], {}, {}, {}
-- What the common end needs; the others read the rest.
local function glance(id)
  local v = redis.call('HMGET', k_x(id), 'token', 'state', 'task', 'attempt', 'started', 'inc', 'turn', 'lock', 'cancel', 'w')
  return {token = v[1], state = v[2], task = v[3], attempt = v[4], started = v[5], inc = v[6], turn = v[7], lock = v[8],
    cancel = v[9], w = v[10]}
end

for i = 2, #ARGV, 8 do
  local id, token, to = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local x = to == 'SUCCEEDED' and glance(id) or load(id)
  if x.token ~= token then
    reply[#reply + 1] = 'stale'
    accepted[#accepted + 1] = {stale = true, id = id, token = token}
  else
    reply[#reply + 1] = 'ok'
    if x.state == 'RUNNING' and not seen[id] then
      if (to == 'RETRYING' or to == 'READY') and x.cancel == '1' then to = 'CANCELLED' end
      assert(LEGAL['RUNNING>' .. to], to)
      check_attempt(x)
      seen[id] = true
      accepted[#accepted + 1] = {id = id, x = x, to = to, at = i}
    end
  end
end
if #accepted == 0 then return reply end
take(1)

local log = math.log
local QUARTER = 4 / log(2)

-- The common end, cheap: SUCCEEDED without lock, turn or waiters is nothing but batched counters and indexes.
local succeeded, removed, held, tasks, stats, ended_at = {}, {}, {}, {}, {}, num(now)

local function measure(task, took)
  local s = stats[task]
  if not s then
    s = {n = 0, d = 0, buckets = {}}
    stats[task] = s
  end
  local bucket = math.floor(log(math.max(took, 0) + 1) * QUARTER)
  s.n, s.d, s.buckets[bucket] = s.n + 1, s.d + took, (s.buckets[bucket] or 0) + 1
end

local function succeed(id, x, result, took)
  redis.call('HSET', k_x(id), 'state', 'SUCCEEDED', 'ended', ended_at, 'result', result)
  event('SUCCEEDED', x.task, id, x.attempt, x.token, name, '', '{"duration_ms":' .. num(took / 1000) .. '}')
  removed[#removed + 1] = id
  succeeded[#succeeded + 1], succeeded[#succeeded + 2] = ended_at, id
  held[x.inc] = held[x.inc] or {}
  table.insert(held[x.inc], id)
  tasks[x.task] = tasks[x.task] or {n = 0, inc = x.inc}
  tasks[x.task].n = tasks[x.task].n + 1
  if x.lock == '1' then lock_drop('task:' .. x.task, x.token, x.task, id) end
  if x.w and x.w ~= '' then
    for box in string.gmatch(x.w, '%S+') do post(box, 'done:' .. id .. ' SUCCEEDED') end
  end
end

local function fail(id, x, to, at, took)
  local outcome, failure, brief = ARGV[at + 3], ARGV[at + 5], ARGV[at + 6]
  if to == 'READY' then
    take_away(id, x, outcome, 'null')
    if outcome == 'RETURNED' then
      -- Unstarted: it was no try, so its number is given again.
      redis.call('HDEL', k_x(id), 'a' .. x.attempt)
      redis.call('HSET', k_x(id), 'attempt', x.attempt - 1)
    end
    return back_to_ready(id, x, 'returned')
  end
  local took_ms = num(took / 1000)
  take_away(id, x, outcome, brief)
  redis.call('HSET', k_x(id), 'error', failure, 'token', x.token)
  local data = '{"outcome":"' .. outcome .. '","error":' .. brief .. ',"duration_ms":' .. took_ms
  if to == 'RETRYING' then
    local at_ms = now + tonumber(ARGV[at + 7])
    redis.call('HSET', k_x(id), 'state', 'RETRYING', 'fails', x.fails + 1)
    redis.call('ZADD', k_state('RETRYING'), num(now), id)
    redis.call('HINCRBY', k_task(x.task), 'backlog', 1)
    redis.call('HINCRBY', k_task(x.task), 'n:RETRYING', 1)
    event('RETRYING', x.task, id, x.attempt, x.token, name, '', data .. ',"retry_at":' .. num(at_ms) .. '}')
    set_timer(id, at_ms)
    place_freed(x.task, 1, x.inc)
  elseif to == 'CANCELLED' then
    close(id, x, to, 'cancelled while running', '{"was":"RUNNING","force":false}')
  else
    close(id, x, to, '', data .. '}')
  end
end

for _, a in ipairs(accepted) do
  if a.stale then
    refuse('finish', 'token', a.id, a.token, name, '')
  else
    local x, took = a.x, now_us - tonumber(a.x.started)
    if a.to ~= 'READY' then
      measure(x.task, took)
    end
    if a.to == 'SUCCEEDED' then succeed(a.id, x, ARGV[a.at + 4], took) else fail(a.id, x, a.to, a.at, took) end
  end
end

each_slice(removed, 2000, function(a, b) redis.call('ZREM', k_state('RUNNING'), unpack(removed, a, b)) end)
each_slice(succeeded, 2000, function(a, b) redis.call('ZADD', k_state('SUCCEEDED'), unpack(succeeded, a, b)) end)
for inc, ids in pairs(held) do
  each_slice(ids, 2000, function(a, b) redis.call('SREM', k_held(inc), unpack(ids, a, b)) end)
end
for task, t in pairs(tasks) do
  redis.call('HINCRBY', k_counts, 'SUCCEEDED', t.n)
  redis.call('HINCRBY', k_task(task), 'n:SUCCEEDED', t.n)
  redis.call('HINCRBY', k_task(task), 'running', -t.n)
  place_freed(task, t.n, t.inc)
end
for task, s in pairs(stats) do
  local fields, more, set = {'n', 'd'}, {s.n, s.d}, {}
  for bucket, n in pairs(s.buckets) do fields[#fields + 1], more[#more + 1] = 'd:' .. bucket, n end
  for i, had in ipairs(redis.call('HMGET', k_stats(task), unpack(fields))) do
    set[2 * i - 1], set[2 * i] = fields[i], num((tonumber(had) or 0) + more[i])
  end
  redis.call('HSET', k_stats(task), unpack(set))
end
-- After the counters: the next run of a task starts from true ones.
for _, a in ipairs(accepted) do
  if a.to == 'SUCCEEDED' and a.x.turn == '1' then slot_ended(a.x.task) end
end
return reply
