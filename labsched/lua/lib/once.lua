-- Steps that an operator asks for: a copy of one may lie in the network until others were asked for, and must not act then.
-- So what they were about remembers its last calls, also those that were refused, and what each was told.
local REMEMBERED = 8

-- What the call `nonce` was told, nil when it is new.
local function answered(key, nonce)
  return string.match(' ' .. (redis.call('HGET', key, 'calls') or ''), ' ' .. nonce .. '=(%S+)')
end

local function answer(key, nonce, said)
  local calls = {nonce .. '=' .. said}
  for call in string.gmatch(redis.call('HGET', key, 'calls') or '', '%S+') do
    if #calls < REMEMBERED then calls[#calls + 1] = call end
  end
  redis.call('HSET', key, 'calls', table.concat(calls, ' '))
  return said
end
