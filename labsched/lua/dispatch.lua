-- include: token event lead lost
-- Turns planned slots into executions, a batch of tasks in one step, fenced by the leader's epoch.
-- A plan counts only if the task's revision and slot watermark are the ones it was made from: so a slot becomes one
-- execution however many coordinators believe that they lead. Without the distributed lock that comparison is off, and
-- ids carry the instance.
-- KEYS: namespace. ARGV: instance, incarnation, epoch ('' without election), scope, lock ('1'/'0'), then per task: name, revision,
-- watermark seen, new watermark, next due ('' never), catch_up seen, catch_up left, number of fires, number of skips,
-- fires: slot, due; skips: first, last, count ('' unknown), reason.
-- Returns {'ok', now, per task 'ok' | 'stale' | 'early'} | {'refused', 'dispatch', why}.
local me, inc, epoch, scope, locking = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local stale = stale_epoch(inc, epoch)
if stale then return refuse('dispatch', stale, '', inc, me, epoch) end
local own = scope == '' and '' or '@' .. scope
local mark_field, catch_up_field = 'watermark' .. own, 'catch_up' .. own
typed('zset', k_due(scope))
local reply, plans, at = {'ok', string.format('%.3f', now_us / 1000)}, {}, 6

local function read_plan()
  local p = {task = ARGV[at], seen = ARGV[at + 2], watermark = ARGV[at + 3], next = ARGV[at + 4], catch_up = ARGV[at + 5],
    left = ARGV[at + 6], fires = {}, skips = {}}
  local rev, fires, skips = ARGV[at + 1], tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8])
  at = at + 9
  typed('hash', k_task(p.task))
  local d = redis.call('HMGET', k_task(p.task), 'rev', mark_field, 'status', 'overlap', 'slots', 'buffered', 'prio', 'backlog',
    'max_backlog', catch_up_field, 'last', 'version')
  p.verdict = 'ok'
  local last = d[4] == 'CANCEL_OTHER' and d[11] and d[11] ~= '' and load(d[11])
  if last then check_attempt(last) end
  if d[1] ~= rev or d[3] ~= 'ACTIVE' then p.verdict = 'stale' end
  if (locking or scope ~= '' or fires == 0) and (d[2] ~= p.seen or (d[10] or '') ~= p.catch_up) then p.verdict = 'stale' end
  for _ = 1, fires do
    local slot, due = ARGV[at], ARGV[at + 1]
    local id = p.task .. '@' .. slot .. (locking and '' or '#' .. me)
    if tonumber(slot) > now or tonumber(due) > now then p.verdict = 'early' end
    p.fires[#p.fires + 1] = {slot = slot, due = due, id = id, exists = redis.call('EXISTS', k_x(id)) == 1}
    typed('hash', k_x(id))
    at = at + 2
  end
  for _ = 1, skips do
    p.skips[#p.skips + 1] = {ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]}
    at = at + 4
  end
  p.overlap, p.slots, p.buffered, p.prio, p.backlog, p.most, p.last = d[4], tonumber(d[5] or '0'), d[6] or '', d[7],
    tonumber(d[8] or '0'), tonumber(d[9] or '0'), d[11] or ''
  p.version = d[12]
  if p.verdict == 'ok' and fires > 0 then
    typed('zset', k_bytask(p.task))
    check_queue(p.task, p.prio)
    check_end(p.task, '1', p.buffered)
    if last then check_queue(p.task, last.prio) end
  end
  return p
end

local wanted = 0
while at <= #ARGV do
  local p = read_plan()
  wanted = wanted + #p.fires
  plans[#plans + 1] = p
  reply[#reply + 1] = p.verdict
end
local seq = take(math.max(wanted, 1))

local function skipped(task, id, first, last, count, reason)
  event('SKIPPED', task, id, '', '', me, epoch, '{"reason":"' .. reason .. '","first":' .. first .. ',"last":' .. last ..
    ',"count":' .. (count ~= '' and count or 'null') .. '}')
  redis.call('HINCRBY', k_counts, 'SKIPPED', count ~= '' and count or 1)
  redis.call('HINCRBY', k_task(task), 'n:SKIPPED', count ~= '' and count or 1)
end

local function make(p, f, state, tail)
  assert(LEGAL['>' .. state])
  redis.call('HSET', k_x(f.id), 'task', p.task, 'state', state, 'slot', f.slot, 'created', num(now), 'due', f.due, 'prio', p.prio,
    'payload', '{}', 'src', 'schedule', 'attempt', 0, 'losses', 0, 'fails', 0, 'turn', '1',
    'lock', (locking and p.overlap ~= 'ALLOW') and '1' or '0')
  redis.call('ZADD', k_all, num(now), f.id)
  redis.call('ZADD', k_bytask(p.task), num(now), f.id)
  redis.call('HINCRBY', k_counts, 'CREATED', 1)
  event(state, p.task, f.id, '', '', me, epoch, '{"slot":' .. f.slot .. ',"due":' .. f.due .. tail .. '}')
end

local function replace_buffered(p, f)
  if p.buffered ~= '' then
    local old = p.buffered
    local slot, waiters = unpack(redis.call('HMGET', k_x(old), 'slot', 'w'))
    redis.call('HSET', k_x(old), 'state', 'SKIPPED', 'ended', num(now), 'reason', 'a later slot took its turn')
    redis.call('ZREM', k_state('BUFFERED'), old)
    redis.call('HINCRBY', k_task(p.task), 'backlog', -1)
    skipped(p.task, old, slot, slot, '1', 'replaced')
    redis.call('ZADD', k_state('SKIPPED'), num(now), old)
    for box in string.gmatch(waiters or '', '%S+') do post(box, 'done:' .. old .. ' SKIPPED') end
  end
  make(p, f, 'BUFFERED', ',"reason":"overlap"')
  redis.call('HSET', k_x(f.id), 'reason', 'overlap')
  redis.call('HSET', k_task(p.task), 'buffered', f.id)
  redis.call('HINCRBY', k_task(p.task), 'backlog', 1)
  redis.call('ZADD', k_state('BUFFERED'), num(now), f.id)
  p.buffered = f.id
end

-- CANCEL_OTHER: what waits is cancelled at once, what runs is asked, and the new slot starts when it is over.
local function cancel_running(p)
  local x = load(p.last)
  if x.state == 'READY' or x.state == 'RETRYING' then
    if x.state == 'READY' then
      unqueue(p.task, x.prio, p.last)
    else
      redis.call('ZREM', k_state('RETRYING'), p.last)
      redis.call('ZREM', k_timers, p.last)
      redis.call('HINCRBY', k_task(p.task), 'backlog', -1)
    end
    close(p.last, x, 'CANCELLED', 'a later slot took its place', '{"was":"' .. x.state .. '","force":false}')
  elseif x.state == 'RUNNING' and x.cancel ~= '1' then
    redis.call('HSET', k_x(p.last), 'cancel', '1')
    redis.call('HSET', k_inst(x.inc), 'asked', '1')
    event('CANCEL_REQUESTED', p.task, p.last, x.attempt, x.token, x.inst, '', '{}')
    post(x.inc, 'cancel ' .. x.token .. ' ' .. p.last)
  end
end

local function fire(p, f)
  if f.exists then return end
  local waits = p.overlap ~= 'ALLOW' and p.slots > 0
  if waits and p.overlap == 'SKIP' then return skipped(p.task, f.id, f.slot, f.slot, '1', 'overlap') end
  -- What takes the place of another adds nothing to the backlog.
  if p.backlog >= p.most and not (waits and p.buffered ~= '') then
    return skipped(p.task, f.id, f.slot, f.slot, '1', 'backlog')
  end
  if waits then
    replace_buffered(p, f)
    if p.overlap == 'CANCEL_OTHER' then cancel_running(p) end
  else
    make(p, f, 'READY', ',"priority":"' .. p.prio .. '","source":"schedule","by":' .. cjson.encode(me))
    redis.call('HSET', k_task(p.task), 'last', f.id)
    redis.call('HINCRBY', k_task(p.task), 'slots', 1)
    queue_ready(p.task, p.prio, {f.id}, seq, p.version)
    seq = seq + 1
  end
  if f == p.fires[#p.fires] then return end
  local state = redis.call('HMGET', k_task(p.task), 'slots', 'buffered', 'last', 'backlog')
  p.slots, p.buffered, p.last, p.backlog = tonumber(state[1] or '0'), state[2] or '', state[3] or '', tonumber(state[4])
end

for _, p in ipairs(plans) do
  if p.verdict == 'ok' then
    for _, s in ipairs(p.skips) do skipped(p.task, '', s[1], s[2], s[3], s[4]) end
    for _, f in ipairs(p.fires) do fire(p, f) end
    redis.call('HSET', k_task(p.task), mark_field, p.watermark, catch_up_field, p.left)
    if p.next ~= '' then
      redis.call('ZADD', k_due(scope), p.next, p.task)
    else
      redis.call('ZREM', k_due(scope), p.task)
    end
  end
end
return reply
