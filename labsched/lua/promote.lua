-- include: token event lead ready
-- Executions whose time has come: retries after their backoff, triggers with a time.
-- KEYS: namespace. ARGV: instance, incarnation, epoch ('' without election), limit.
-- Returns {'ok', promoted, ms of the next timer ('' none), now} | {'refused', …}.
local stale = stale_epoch(ARGV[2], ARGV[3])
if stale then return refuse('dispatch', stale, '', ARGV[2], ARGV[1], ARGV[3]) end
local due, todo = redis.call('ZRANGEBYSCORE', k_timers, '-inf', num(now), 'LIMIT', 0, ARGV[4]), {}
for _, id in ipairs(due) do
  local x = redis.call('HMGET', k_x(id), 'state', 'task', 'prio')
  if x[1] then check_queue(x[2], x[3]) end
  todo[#todo + 1] = {id = id, state = x[1] or '', task = x[2], prio = x[3]}
end
if #todo > 0 then take(1) end
for _, t in ipairs(todo) do
  redis.call('ZREM', k_timers, t.id)
  if (t.state == 'RETRYING' or t.state == 'BUFFERED') and LEGAL[t.state .. '>READY'] then
    redis.call('ZREM', k_state(t.state), t.id)
    redis.call('HINCRBY', k_task(t.task), 'backlog', -1)
    redis.call('HSET', k_x(t.id), 'state', 'READY')
    event('READY', t.task, t.id, '', '', ARGV[1], ARGV[3], '{"source":"' .. (t.state == 'RETRYING' and 'retry' or 'delayed') .. '"}')
    queue_ready(t.task, t.prio, {t.id}, take(1))
  end
end
return {'ok', #todo, redis.call('ZRANGE', k_timers, 0, 0, 'WITHSCORES')[2] or '', string.format('%.3f', now_us / 1000)}
