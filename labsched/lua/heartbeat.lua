-- include: full event
-- Renews an instance's lease, on which all its attempts live.
-- KEYS: namespace. ARGV: name, incarnation, lease_ms, how many attempts it runs, then the tokens that it was told are revoked and
-- has dealt with.
-- Returns {'ok', now, then lines as its mailbox should have had them, since hints get lost: 'work' when some waits that it
-- could run, 'lead' when something is overdue that it may dispatch, 'drain', 'cancel TOKEN', 'revoked TOKEN', and, when it
-- holds more than it says, 'held TOKEN ID' for each} | {'refused', 'heartbeat', why}.
local OVERDUE = 200 -- ms: until then the coordinator may be about to act
local name, inc = ARGV[1], ARGV[2]
local lease = redis.call('ZSCORE', k_leases, inc)
if not lease or tonumber(lease) <= now then
  local gone = redis.call('HEXISTS', k_names, name) == 1 and 'superseded' or 'incarnation'
  return refuse('heartbeat', lease and 'expired' or gone, '', inc, name, '')
end
typed('hash', k_inst(inc))
typed('set', k_held(inc))
local reply = {'ok', num(now)}
local me = redis.call('HMGET', k_inst(inc), 'state', 'asked', 'revoked', 'scope')
local function tell(line) reply[#reply + 1] = line end

local function work_waits()
  for _, priority in ipairs({'high', 'normal', 'low'}) do
    for _, task in ipairs(redis.call('ZRANGE', k_turn(priority), 0, 1023)) do
      if redis.call('HEXISTS', k_handlers(inc), task) == 1 then return true end
    end
  end
end
if work_waits() then tell('work') end
-- A coordinator that missed its hint sleeps past what is due.
local function overdue()
  local scope = me[4] or ''
  if scope == '' then
    local leader = redis.call('HMGET', k_leader, 'inc', 'until')
    if leader[1] and leader[1] ~= inc and tonumber(leader[2]) > now then return false end
  end
  for _, key in ipairs({k_due(scope), k_timers}) do
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    if first and tonumber(first) < now - OVERDUE then return true end
  end
end
if overdue() then tell('lead') end
if redis.call('SCARD', k_held(inc)) > tonumber(ARGV[4]) then
  -- A server that lost its last writes has forgotten ends that it had confirmed.
  for _, id in ipairs(redis.call('SMEMBERS', k_held(inc))) do
    local x = redis.call('HMGET', k_x(id), 'token', 'inc')
    if x[2] == inc then tell('held ' .. x[1] .. ' ' .. id) end
  end
end
write_although_full()
redis.call('ZADD', k_leases, num(now + tonumber(ARGV[3])), inc)
redis.call('HSET', k_inst(inc), 'seen', num(now))
if me[1] == 'DRAINING' then tell('drain') end
if me[2] == '1' then
  local before = #reply
  for _, id in ipairs(redis.call('SMEMBERS', k_held(inc))) do
    local x = redis.call('HMGET', k_x(id), 'cancel', 'token')
    if x[1] == '1' then tell('cancel ' .. x[2]) end
  end
  if #reply == before then redis.call('HDEL', k_inst(inc), 'asked') end
end
if me[3] then
  -- Told again and again until it says that it knows: this reply may be lost too.
  local known, left = {}, ''
  for i = 5, #ARGV do known[ARGV[i]] = true end
  for token in string.gmatch(me[3], '%S+') do
    if not known[token] then
      tell('revoked ' .. token)
      left = left .. ' ' .. token
    end
  end
  if left == '' then
    redis.call('HDEL', k_inst(inc), 'revoked')
  elseif left ~= me[3] then
    redis.call('HSET', k_inst(inc), 'revoked', left)
  end
end
return reply
