-- include: token event post
-- Named leases. A lock's hash: owner, token, until, least (may not be taken again before), nonce (of the call that took
-- it), released ('1' when its holder has let go), prev ("TOKEN NONCE" of the last holder that let go properly, so that a
-- repeated call is known for what it is), box and alive (of the waiter that it was handed to), run (the execution for which
-- it was taken, else '').

local LINGER = 60000 -- ms for which a finished lock is remembered, against late repeats

local function lock_read(name)
  local v = redis.call('HMGET', k_lock(name), 'owner', 'token', 'until', 'least', 'nonce', 'released', 'prev', 'box', 'alive', 'run')
  return {owner = v[1] or '', token = v[2] or '', ends = tonumber(v[3] or '0'), least = tonumber(v[4] or '0'),
    nonce = v[5] or '', released = v[6] or '1', prev = v[7] or '', box = v[8] or '', alive = tonumber(v[9] or '0'), run = v[10] or ''}
end

-- The oldest waiter that still shows signs of life, its fields, and the dead in front of it.
local function lock_head(name)
  local dead, from = {}, 0
  while true do
    local page = redis.call('ZRANGE', k_lockq(name), from, from + 15)
    for _, nonce in ipairs(page) do
      local w = redis.call('HMGET', k_waiter(nonce), 'owner', 'most', 'least', 'box', 'alive')
      if w[5] and tonumber(w[5]) > now then
        return nonce, {owner = w[1], most = tonumber(w[2]), least = tonumber(w[3]), box = w[4], alive = tonumber(w[5])}, dead
      end
      dead[#dead + 1] = nonce
    end
    if #page < 16 then return nil, nil, dead end
    from = from + 16
  end
end

local function lock_unqueue(name, nonces)
  for _, nonce in ipairs(nonces) do
    redis.call('ZREM', k_lockq(name), nonce)
    redis.call('DEL', k_waiter(nonce))
  end
end

local function lock_until(l) return math.max(l.ends, l.least) end

-- ms until which `run` (an execution) cannot take the lock, 0 when it can. `least` holds other runs back, not a further try
-- of the run that had it last. And the lock as it was read.
local function lock_blocked(name, run)
  local l = lock_read(name)
  local ends = l.run == run and 0 or lock_until(l)
  if ends > now then return ends, l end
  local head, w = lock_head(name)
  return head and w.alive or 0, l
end

-- What becomes of a lock's last grant, for a repeated call of it.
local function lock_prev(l) return l.released == '1' and l.token ~= '' and l.token .. ' ' .. l.nonce or '' end

-- A grant was put into the box of a waiter that has died since: the line is still there, so nobody has read it.
local function lock_unclaimed(l)
  return l.box ~= '' and l.released == '0' and l.ends > now and l.alive <= now and
    redis.call('LPOS', k_box(l.box), l.nonce .. ' granted ' .. l.token .. ' ' .. num(l.ends)) and true or false
end

local function lock_event(kind, name, token, owner, data, task, id)
  event(kind, task, id, '', token, owner, '', '{"lock":' .. cjson.encode(name) .. data .. '}')
end

-- Ends a grant that nobody has read and nobody will: with its line gone its waiter cannot learn of it any more.
local function lock_revoke(name, l)
  redis.call('LREM', k_box(l.box), 1, l.nonce .. ' granted ' .. l.token .. ' ' .. num(l.ends))
  lock_event('LOCK_RELEASED', name, l.token, l.owner, ',"until":' .. num(now), '', '')
end

-- Writes a grant of `token` (text) and returns its end as text. The caller has checked that the lock can be taken. `box` and
-- `alive` may be nil.
local function lock_take(name, owner, token, ends, least, nonce, task, id, prev, box, alive)
  local till, from = num(ends), num(least)
  redis.call('HSET', k_lock(name), 'owner', owner, 'token', token, 'until', till, 'least', from, 'nonce', nonce,
    'released', '0', 'prev', prev, 'box', box or '', 'alive', alive or '0', 'run', id)
  redis.call('PEXPIREAT', k_lock(name), num(math.max(ends, least) + LINGER))
  -- Now and then, since only what expired and was never taken again is left in the index.
  if tonumber(token) % 64 == 0 then redis.call('ZREMRANGEBYSCORE', k_locks, '-inf', num(now)) end
  redis.call('ZADD', k_locks, ends >= least and till or from, name)
  redis.call('HINCRBY', k_counts, 'LOCK_ACQUIRED', 1)
  lock_event('LOCK_ACQUIRED', name, token, owner, ',"until":' .. till .. ',"least_until":' .. from, task, id)
  return till
end

-- Lets go of what `token` held: hands the lock to the first live waiter, or frees it, or leaves the rest of `least`
-- (`void`: it never was in use, there is no rest). Returns false when that token does not hold it, else true and, when the
-- waiter's box is `here`, the line for it: the caller of the script delivers it, which saves a round trip.
local function lock_drop(name, token, task, id, void, here, l)
  l = l or lock_read(name)
  if l.token ~= token or l.released == '1' then return false end
  local function told(free_at)
    -- What expired needs no event: its end was known.
    if l.ends > now then lock_event('LOCK_RELEASED', name, token, l.owner, ',"until":' .. num(free_at), task, id) end
  end
  local least = void and 0 or l.least
  local head, w, dead = lock_head(name)
  if least > now then
    redis.call('HSET', k_lock(name), 'released', '1', 'until', num(least))
    redis.call('PEXPIREAT', k_lock(name), num(least + LINGER))
    redis.call('ZADD', k_locks, num(least), name)
    told(least)
    -- It counts on the old end, and may go earlier.
    if head then post(w.box, head .. ' again') end
    return true
  elseif not head then
    redis.call('HSET', k_lock(name), 'released', '1', 'until', num(now), 'least', '0')
    -- A short lease is soon forgotten anyway.
    if l.ends - now > LINGER then redis.call('PEXPIRE', k_lock(name), LINGER) end
    redis.call('ZREM', k_locks, name)
    if #dead > 0 then lock_unqueue(name, dead) end
    told(now)
    return true
  end
  local mine = num(take(1))
  told(now)
  dead[#dead + 1] = head
  lock_unqueue(name, dead)
  local near = w.box == here
  local till = lock_take(name, w.owner, mine, now + w.most, now + w.least, head, '', '', token .. ' ' .. l.nonce,
    not near and w.box or '', num(w.alive))
  local line = head .. ' granted ' .. mine .. ' ' .. till
  if near then return true, line end
  post(w.box, line)
  return true
end

-- What a repeated acquire or wait gets: its own grant again, {'over'} when that grant has ended or the call was given up,
-- nil when the nonce is new.
local function lock_repeated(l, nonce)
  if l.nonce == nonce then
    if l.released == '1' or l.ends <= now then return {'over'} end
    return {'ok', l.token, num(l.ends), num(now)}
  end
  if string.find(l.prev .. '\n', ' ' .. nonce .. '\n', 1, true) then return {'over'} end
  if redis.call('HEXISTS', k_waiter(nonce), 'left') == 1 then return {'over'} end
  return nil
end
