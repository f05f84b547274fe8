-- include: token event
-- Progress and log lines of a running attempt: notes, not history; refused when the token is not the current one.
-- KEYS: namespace. ARGV: instance, execution, token, progress (JSON '' none), most lines kept, then lines.
-- Returns 'ok' | {'refused', 'note', 'token'}.
local id, token = ARGV[2], ARGV[3]
local x = redis.call('HMGET', k_x(id), 'token', 'state')
if x[1] ~= token then return refuse('note', 'token', id, token, ARGV[1], '') end
typed('list', k_log(id))
take(1)
if ARGV[4] ~= '' then redis.call('HSET', k_x(id), 'prog', ARGV[4]) end
if #ARGV > 5 then
  for i = 6, #ARGV do redis.call('RPUSH', k_log(id), ARGV[i]) end
  redis.call('LTRIM', k_log(id), -tonumber(ARGV[5]), -1)
end
return 'ok'
