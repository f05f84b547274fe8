-- include: token event lead
-- An operator pauses, resumes or disables a task. Slots of a paused task are not made; `catch_up` says what becomes of them.
-- KEYS: namespace. ARGV: task, status (ACTIVE PAUSED DISABLED), catch_up (none latest all), nonce of the call.
-- Returns 'ok' (also when repeated) | 'same' | 'unknown'.
local task, status, catch_up, nonce = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local d = redis.call('HMGET', k_task(task), 'status', 'watermark', 'status_call')
if not d[1] then return 'unknown' end
if d[3] == nonce then return 'ok' end
if d[1] == status then return 'same' end
local rev = num(take(1))
redis.call('HSET', k_task(task), 'status', status, 'status_by', 'operator', 'rev', rev,
  'status_call', nonce)
if status == 'ACTIVE' then
  redis.call('HSET', k_task(task), 'catch_up', catch_up, 'status_by', 'code')
  for _, scope in ipairs(redis.call('SMEMBERS', k_scopes)) do
    redis.call('HSET', k_task(task), 'catch_up@' .. scope, catch_up)
  end
  event('TASK_RESUMED', task, '', '', '', '', '', '{"by":"operator","catch_up":"' .. catch_up .. '","since":' .. d[2] .. '}')
  schedule_task(task, now)
else
  unschedule_task(task)
  event('TASK_PAUSED', task, '', '', '', '', '', '{"by":"operator","since":' .. num(now) .. ',"status":"' .. status .. '"}')
end
return 'ok'
