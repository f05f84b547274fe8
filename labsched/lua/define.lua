-- include: token event lead
-- Writes a task's definition as code has it. The higher version wins; what an operator set (PAUSED, DISABLED) stays.
-- KEYS: namespace. ARGV: task, version, handler, definition (JSON), status, then field, value … of the policies that scripts read.
-- Returns {'ok' | 'same' | 'older', version in force} | {'clash', handler in force}.
local task, version, handler, definition, status = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local d = redis.call('HMGET', k_task(task), 'version', 'handler', 'def', 'status', 'status_by', 'schedule')
local schedule
for i = 6, #ARGV, 2 do if ARGV[i] == 'schedule' then schedule = ARGV[i + 1] end end
if d[1] then
  if tonumber(d[1]) > version then return {'older', d[1]} end
  if tonumber(d[1]) == version then
    if d[2] ~= handler then return {'clash', d[2]} end
    if d[3] == definition then return {'same', d[1]} end
  end
end
local rev = num(take(1))
if d[5] == 'operator' then status = d[4] end
redis.call('SADD', k_tasks, task)
redis.call('HSETNX', k_meta, 'format', '1')
redis.call('HSET', k_task(task), 'version', version, 'handler', handler, 'def', definition, 'status', status, 'rev', rev)
for i = 6, #ARGV, 2 do redis.call('HSET', k_task(task), ARGV[i], ARGV[i + 1]) end
for _, field in ipairs({'running', 'backlog', 'slots'}) do redis.call('HSETNX', k_task(task), field, 0) end
local since = redis.call('HGET', k_task(task), 'watermark')
-- Another schedule starts from now: slots that the new one would have had before it was defined are not owed. A task that
-- was not ACTIVE owes nothing either.
if not since or d[6] ~= schedule or (status == 'ACTIVE' and d[4] ~= 'ACTIVE') then
  if not since or tonumber(since) < now then since = num(now) end
  redis.call('HSET', k_task(task), 'watermark', since)
  for _, scope in ipairs(redis.call('SMEMBERS', k_scopes)) do
    redis.call('HSET', k_task(task), 'watermark@' .. scope, since)
  end
end
event('TASK_DEFINED', task, '', '', '', '', '', '{"version":' .. version .. ',"status":"' .. status .. '","by":"code","since":' ..
  since .. ',"definition":' .. definition .. '}')
if status == 'ACTIVE' then schedule_task(task, now) else unschedule_task(task) end
return {'ok', num(version)}
