-- include: token event
-- Progress and log lines of a running attempt: notes, not history; refused when the token is not the current one.
-- KEYS: namespace. ARGV: instance, execution, token, progress (JSON '' none), most lines kept, lane, serial, then lines.
-- Returns 'ok' | {'refused', 'note', 'token'}. Serials of a lane grow: one that is not new is a copy, and adds nothing.
local id, token, noted, serial = ARGV[2], ARGV[3], 'noted:' .. ARGV[6], ARGV[7]
local x = redis.call('HMGET', k_x(id), 'token', noted)
if x[1] ~= token then return refuse('note', 'token', id, token, ARGV[1], '') end
local by, last = string.match(x[2] or '', '^(%d+) (%d+)$')
if by == token and tonumber(serial) <= tonumber(last) then return 'ok' end
typed('list', k_log(id))
take(1)
redis.call('HSET', k_x(id), noted, token .. ' ' .. serial)
if ARGV[4] ~= '' then redis.call('HSET', k_x(id), 'prog', ARGV[4]) end
if #ARGV > 7 then
  for i = 8, #ARGV do redis.call('RPUSH', k_log(id), ARGV[i]) end
  redis.call('LTRIM', k_log(id), -tonumber(ARGV[5]), -1)
end
return 'ok'
