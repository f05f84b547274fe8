-- include: token event
-- One effect of an execution, written once: the first attempt that writes a key wins, a superseded one is refused.
-- KEYS: namespace. ARGV: instance, execution, token, key, value (JSON), nonce of the call.
-- Returns 'written' (also when the same call is sent again) | 'exists' | {'refused', 'fence', 'token'}.
local name, id, token, key = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local x = redis.call('HMGET', k_x(id), 'token', 'state', 'task', 'attempt')
if x[1] ~= token or x[2] ~= 'RUNNING' then return refuse('fence', 'token', id, token, name, '') end
if redis.call('HEXISTS', k_fence(id), '=' .. key) == 1 then
  return redis.call('HGET', k_fence(id), 'by:' .. key) == token .. ' ' .. ARGV[6] and 'written' or 'exists'
end
take(1)
redis.call('HSET', k_fence(id), '=' .. key, ARGV[5], 'by:' .. key, token .. ' ' .. ARGV[6])
event('FENCE_WRITTEN', x[3], id, x[4], token, name, '', '{"key":' .. cjson.encode(key) .. '}')
return 'written'
