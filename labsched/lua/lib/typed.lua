-- Refuses a key of another type than the catalogue says, before anything is written.
local typed_keys = {}
local function typed(kind, key)
  if typed_keys[key] then return end
  typed_keys[key] = true
  local found = redis.call('TYPE', key)['ok']
  if found ~= kind and found ~= 'none' then
    error('WRONGTYPE ' .. key .. ' is a ' .. found .. ', expected ' .. kind, 0)
  end
end
