-- include: lock
-- Takes a lock when it is free and no live waiter is queued; never waits.
-- KEYS: namespace. ARGV: lock, owner, nonce, at_most_for ms, at_least_for ms.
-- Returns {'ok', token, until, now} (the same again when the nonce is repeated) | {'taken'} | {'over'}: this nonce's grant
-- has ended already.
local name, owner, nonce, most, least = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local l = lock_read(name)
local again = lock_repeated(l, nonce)
if again then return again end
local unclaimed = lock_unclaimed(l)
local head, _, dead = lock_head(name)
if head or (lock_until(l) > now and not unclaimed) then
  redis.call('HINCRBY', k_counts, 'LOCK_REFUSED', 1)
  return {'taken'}
end
local token = num(take(1))
if #dead > 0 then lock_unqueue(name, dead) end
if unclaimed then lock_revoke(name, l) end
local prev = l.released == '1' and l.token .. ' ' .. l.nonce or ''
return {'ok', token, lock_take(name, owner, token, now + most, now + least, nonce, '', '', prev), num(now)}
