-- include: token event lead once
-- An operator pauses, resumes or disables a task. Slots of a paused task are not made; `catch_up` says what becomes of them.
-- KEYS: namespace. ARGV: task, status (ACTIVE PAUSED DISABLED), catch_up (none latest all), nonce of the call.
-- Returns 'ok' | 'same' | 'unknown'. A repeated nonce gives the same answer again.
local task, status, catch_up, nonce = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local d = redis.call('HMGET', k_task(task), 'status', 'watermark')
if not d[1] then return 'unknown' end
local before = answered(k_task(task), nonce)
if before then return before end
if d[1] == status then return answer(k_task(task), nonce, 'same') end
local rev = num(take(1))
redis.call('HSET', k_task(task), 'status', status, 'status_by', 'operator', 'rev', rev)
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
return answer(k_task(task), nonce, 'ok')
