-- include: time
-- What a coordinator has to know to sleep and to plan.
-- KEYS: namespace. ARGV: scope, how many tasks at most.
-- Returns {now (ms, with fractions), ms of the next timer ('' none), then per task name, due, revision, watermark, catch_up}, soonest first.
local own = ARGV[1] == '' and '' or '@' .. ARGV[1]
local reply = {string.format('%.3f', now_us / 1000), redis.call('ZRANGE', k_timers, 0, 0, 'WITHSCORES')[2] or ''}
local due = redis.call('ZRANGE', k_due(ARGV[1]), 0, tonumber(ARGV[2]) - 1, 'WITHSCORES')
for i = 1, #due, 2 do
  local task = redis.call('HMGET', k_task(due[i]), 'rev', 'watermark' .. own, 'catch_up' .. own)
  for _, value in ipairs({due[i], due[i + 1], task[1] or '', task[2] or '', task[3] or ''}) do reply[#reply + 1] = value end
end
return reply
