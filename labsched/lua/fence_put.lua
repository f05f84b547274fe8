-- include: time event once
-- Writes a resource of the fence store unless a newer token has written it. An equal token may write again.
-- KEYS: namespace. ARGV: resource, token, value (JSON), nonce.
-- Returns {'ok'} | {'refused', 'fence', 'token', newest token}.
local resource, token, value, nonce = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local newest = redis.call('HGET', k_fenced(resource), 'token')
if newest and tonumber(token) < tonumber(newest) then
  local reply = refuse('fence', 'token', '', token, '', '')
  reply[4] = newest
  return reply
end
-- A repeat after a lost reply: it is written already.
if answered(k_fenced(resource), nonce) then return {'ok'} end
redis.call('HSET', k_fenced(resource), 'token', token, 'value', value)
answer(k_fenced(resource), nonce, 'ok')
event('FENCE_WRITTEN', '', '', '', token, '', '', '{"resource":' .. cjson.encode(resource) .. '}')
return {'ok'}
