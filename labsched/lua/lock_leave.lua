-- include: lock
-- Ends a call to acquire or wait: leaves the queue, and gives back a grant that raced with it unless that is to be kept. A
-- copy of the call that arrives later takes nothing any more.
-- KEYS: namespace. ARGV: lock, nonce, box of the caller, keep the grant ('1'/'0').
-- Returns {'left', line for a waiter of that box or ''}.
local name, nonce, here, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local l = lock_read(name)
local head = lock_head(name)
redis.call('HSET', k_waiter(nonce), 'left', '1', 'alive', '0')
redis.call('PEXPIRE', k_waiter(nonce), LINGER)
redis.call('ZREM', k_lockq(name), nonce)
local line
if l.nonce == nonce and not keep and l.released == '0' and l.ends > now then
  local _, passed_on = lock_drop(name, l.token, '', '', true, here)
  line = passed_on
elseif head == nonce then
  -- The next in line must know when the lock can be taken.
  local following, w = lock_head(name)
  if following then post(w.box, following .. ' again') end
end
return {'left', line or ''}
