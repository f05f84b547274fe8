-- include: lock
-- Takes a lock, or queues for it; called again by a waiter whenever it wakes, which is its sign of life.
-- KEYS: namespace. ARGV: lock, owner, nonce, at_most_for ms, at_least_for ms, box, ms for which the waiter counts as alive.
-- Returns {'ok', token, until, now} | {'wait', ms until the caller could take it ('' when it is not first), now} | {'over'}.
-- When the lock is handed over, the box gets "NONCE granted TOKEN UNTIL"; "NONCE again" asks to call once more.
local name, owner, nonce, most, least = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local box, alive = ARGV[6], tonumber(ARGV[7])
local l = lock_read(name)
local again = lock_repeated(l, nonce)
if again then return again end
local unclaimed = lock_unclaimed(l)
local head, _, dead = lock_head(name)
local first = not head or head == nonce
if first and (lock_until(l) <= now or unclaimed) then
  local token = num(take(1))
  dead[#dead + 1] = nonce
  lock_unqueue(name, dead)
  if unclaimed then lock_revoke(name, l) end
  local prev = l.released == '1' and l.token .. ' ' .. l.nonce or ''
  return {'ok', token, lock_take(name, owner, token, now + most, now + least, nonce, '', '', prev), num(now)}
end
local queued = redis.call('ZSCORE', k_lockq(name), nonce)
local seq = not queued and take(1)
redis.call('HSET', k_waiter(nonce), 'owner', owner, 'most', num(most), 'least', num(least), 'box', box, 'alive', num(now + alive))
redis.call('PEXPIRE', k_waiter(nonce), num(alive + LINGER))
if seq then redis.call('ZADD', k_lockq(name), num(seq), nonce) end
redis.call('PEXPIRE', k_lockq(name), num(alive + LINGER))
for i = #dead, 1, -1 do
  -- It may have been away for so long that it counted as dead, and is back.
  if dead[i] == nonce then table.remove(dead, i) end
end
lock_unqueue(name, dead)
return {'wait', first and num(math.max(lock_until(l) - now, 1)) or '', num(now)}
