-- include: token event lock ready
-- Gives an instance up to `n` READY executions whose handler it has, under concurrency and rate limits, each with a new token.
-- High priority first; within one priority the tasks take turns, within one task the oldest first.
-- KEYS: namespace. ARGV: instance, incarnation, lane, nonce, n.
-- Returns {'ok', now, more_at (ms at which a limit lets more through, '' unknown), '1' when fewer were given than asked only
-- because the pool or this reply is full, '2' when a task's max_concurrency may have held some back, then per execution id, task, token,
-- attempt, fails, payload, slot, due, until} | {'draining'} | {'refused', 'claim', why}. Nonces of a lane are growing numbers; a repeated one gives the
-- same again; one call per lane may be on its way.
local name, inc, nonce, free = ARGV[1], ARGV[2], ARGV[4], tonumber(ARGV[5])
local nonce_field, claimed_field = 'nonce:' .. ARGV[3], 'claimed:' .. ARGV[3]
local lease = redis.call('ZSCORE', k_leases, inc)
if not lease or tonumber(lease) <= now then
  return refuse('claim', lease and 'expired' or 'incarnation', '', inc, name, '')
end
local me = redis.call('HMGET', k_inst(inc), 'state', nonce_field, claimed_field, 'pool')
local reply = {'ok', num(now), '', ''}

local function grant(id, x)
  for _, value in ipairs({id, x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8]}) do reply[#reply + 1] = value end
end

if me[2] == nonce then
  for id in string.gmatch(me[3] or '', '%S+') do
    local x = redis.call('HMGET', k_x(id), 'task', 'token', 'attempt', 'fails', 'payload', 'slot', 'due', 'until', 'inc', 'state')
    if x[9] == inc and x[10] == 'RUNNING' then grant(id, x) end
  end
  return reply
end
-- A copy that was held up on the way, behind later claims of its lane: nobody waits for what it would be given.
local last, this = tonumber(me[2] or ''), tonumber(nonce)
if last and this and this < last then return {'over'} end
if me[1] ~= 'ACTIVE' then return {'draining'} end
-- The pool is the instance's own business, but the promise is kept here: an end that is still on its way to us counts.
local asked = free
free = math.max(math.min(free, tonumber(me[4]) - redis.call('SCARD', k_held(inc))), 0)
local short = free < asked

-- How many of a task may start now, and when that changes.
local function allowance(d)
  local allowed, later = free, nil
  if d.max_concurrency ~= '' then allowed = math.min(allowed, tonumber(d.max_concurrency) - tonumber(d.running)) end
  if d.rate_count ~= '' then
    -- GCRA: `tat` is the theoretical arrival time (ms) of the next start; a burst may run `per` ahead of it.
    local count, per = tonumber(d.rate_count), tonumber(d.rate_ms)
    local tat = math.max(tonumber(d.tat ~= '' and d.tat or '0'), now)
    local room = math.floor((now + per - tat) / (per / count) + 1e-6)
    if room < allowed then later = math.ceil(tat - per + per / count) end
    allowed = math.min(allowed, room)
  end
  return math.max(allowed, 0), later
end

local WANT = {'version', 'running', 'backlog', 'max_concurrency', 'rate_count', 'rate_ms', 'tat', 'lock_most', 'lock_least'}
local picks, more_at, defs, strays = {}, nil, {}, {}
-- A reply of hundreds of MB would outlast the time limit of whoever waits for it; at least one is given.
local MOST_BYTES = 4194304
local bytes, crowded = 0, false
local function soonest(at) if at and (not more_at or at < more_at) then more_at = at end end

local function pick(priority, task, version)
  local d = defs[task]
  if not d then
    d = {}
    local values = redis.call('HMGET', k_task(task), unpack(WANT))
    for i, field in ipairs(WANT) do d[field] = values[i] or '' end
    defs[task] = d
  end
  if d.version ~= version then return end
  typed('hash', k_stats(task))
  local allowed, later = allowance(d)
  soonest(later)
  if d.max_concurrency ~= '' and tonumber(d.max_concurrency) - tonumber(d.running) < free then crowded = true end
  if allowed == 0 then return end
  -- A few more than allowed, since the run of a slot may have to wait for the task's lock.
  local ids, taken = redis.call('ZRANGE', k_ready(priority, task), 0, allowed + 7), {}
  for _, id in ipairs(ids) do
    if #taken == allowed or bytes >= MOST_BYTES then break end
    local x = redis.call('HMGET', k_x(id), 'state', 'attempt', 'fails', 'payload', 'slot', 'due', 'lock', 'created')
    local held, lock = 0, nil
    if x[7] == '1' then
      held = d.locked
      if not held then held, lock = lock_blocked('task:' .. task, id) end
    end
    if not LEGAL[(x[1] or '') .. '>RUNNING'] then
      -- Its record was deleted by hand: it must not stand in the way of the others for ever.
      strays[#strays + 1] = {priority, task, id}
    elseif held > now then
      soonest(held)
    else
      if x[7] == '1' then d.locked = math.huge end
      x.id, x.prev = id, lock and lock_prev(lock)
      bytes = bytes + #(x[4] or '')
      taken[#taken + 1] = x
    end
  end
  if #taken == 0 then return end
  free = free - #taken
  d.running, d.backlog = tonumber(d.running) + #taken, (tonumber(d.backlog) or 0) - #taken
  if d.rate_count ~= '' then
    local tat = math.max(tonumber(d.tat ~= '' and d.tat or '0'), now)
    -- With fractions: at 3000/s a start is worth a third of a millisecond.
    d.tat = string.format('%.6f', tat + #taken * tonumber(d.rate_ms) / tonumber(d.rate_count))
  end
  -- Fewer than asked for: that was the whole queue.
  picks[#picks + 1] = {priority, task, taken, d, #ids < allowed + 8 and #taken == #ids}
end

for _, priority in ipairs({'high', 'normal', 'low'}) do
  -- All of them if need be: any number of tasks may wait for a handler that is not here.
  local from = 0
  repeat
    local tasks = free > 0 and redis.call('ZRANGE', k_turn(priority), from, from + 255) or {}
    for _, task in ipairs(tasks) do
      if free == 0 then break end
      local version = redis.call('HGET', k_handlers(inc), task)
      if version then pick(priority, task, version) end
    end
    from = from + 256
  until #tasks < 256
end
if more_at and more_at < math.huge then reply[3] = num(more_at) end

local total = 0
for _, p in ipairs(picks) do total = total + #p[3] end
local token = take(math.max(total, 1))
local inc_json = ',"inc":' .. inc .. '}'
local claimed, started = {}, num(now_us)
local running, late = {}, {}
for _, stray in ipairs(strays) do
  redis.call('ZREM', k_ready(stray[1], stray[2]), stray[3])
  if redis.call('EXISTS', k_ready(stray[1], stray[2])) == 0 then redis.call('ZREM', k_turn(stray[1]), stray[2]) end
end

for _, p in ipairs(picks) do
  local priority, task, taken, d = p[1], p[2], p[3], p[4]
  local hard_end, ids = num(now + tonumber(d.lock_most)), {}
  for i, x in ipairs(taken) do
    local id, attempt, mine, due = x.id, tonumber(x[2]) + 1, num(token), tonumber(x[6])
    token = token + 1
    redis.call('HSET', k_x(id), 'state', 'RUNNING', 'attempt', attempt, 'token', mine, 'inst', name, 'inc', inc,
      'started', started, 'until', hard_end)
    event('RUNNING', task, id, attempt, mine, name, '', '{"until":' .. hard_end .. ',"slot":' ..
      (x[5] ~= '' and x[5] or 'null') .. ',"late_ms":' .. num(now - due) .. ',"version":' .. d.version .. inc_json)
    if x[7] == '1' then
      lock_take('task:' .. task, name, mine, tonumber(hard_end), now + tonumber(d.lock_least), mine, task, id, x.prev)
    end
    if x[5] ~= '' then
      local bucket = 'l:' .. math.floor(math.log(math.max(now - due, 0) + 1) / math.log(2) * 4)
      late[task] = late[task] or {}
      late[task][bucket] = (late[task][bucket] or 0) + 1
    end
    ids[i] = id
    claimed[#claimed + 1] = id
    running[#running + 1], running[#running + 2] = hard_end, id
    grant(id, {task, mine, attempt, x[3], x[4], x[5], x[6], hard_end})
  end
  each_slice(ids, 2000, function(a, b) redis.call('ZREM', k_ready(priority, task), unpack(ids, a, b)) end)
  -- Counted when they were picked; nothing else here changes them.
  redis.call('HSET', k_task(task), 'tat', d.tat, 'running', num(d.running), 'backlog', num(d.backlog))
  if p[5] or redis.call('EXISTS', k_ready(priority, task)) == 0 then
    redis.call('ZREM', k_turn(priority), task)
  else
    redis.call('ZADD', k_turn(priority), 'XX', num(now_us + total), task)
  end
end
for task, buckets in pairs(late) do
  for bucket, count in pairs(buckets) do redis.call('HINCRBY', k_stats(task), bucket, count) end
end
each_slice(claimed, 2000, function(a, b)
  redis.call('ZREM', k_state('READY'), unpack(claimed, a, b))
  redis.call('SADD', k_held(inc), unpack(claimed, a, b))
end)
each_slice(running, 2000, function(a, b) redis.call('ZADD', k_state('RUNNING'), unpack(running, a, b)) end)
redis.call('HSET', k_inst(inc), nonce_field, nonce, claimed_field, table.concat(claimed, ' '))
if short and free == 0 or bytes >= MOST_BYTES then
  reply[4] = '1'
elseif crowded then
  reply[4] = '2'
end
if free > 0 then redis.call('ZADD', k_idle, num(now_us), inc) else redis.call('ZREM', k_idle, inc) end
return reply
