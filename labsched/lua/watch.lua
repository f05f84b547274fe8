-- include: time
-- Reads an execution's state and, while it is not terminal, notes who wants to be told of its end.
-- KEYS: namespace. ARGV: execution, mailbox. Returns the state, '' when unknown.
local x = redis.call('HMGET', k_x(ARGV[1]), 'state', 'w')
if not x[1] then return '' end
-- Only a state that leads somewhere is worth waiting for; FAILED and DEAD lead on only when an operator requeues them.
if x[1] ~= 'FAILED' and x[1] ~= 'DEAD' and LEGAL_FROM[x[1]] then
  local waiters = x[2] or ''
  if not string.find(' ' .. waiters .. ' ', ' ' .. ARGV[2] .. ' ', 1, true) then
    redis.call('HSET', k_x(ARGV[1]), 'w', waiters == '' and ARGV[2] or waiters .. ' ' .. ARGV[2])
  end
end
return x[1]
