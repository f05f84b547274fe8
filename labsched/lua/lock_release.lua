-- include: lock
-- Lets go of a lock; what is left of `at_least_for` stays. The first live waiter gets it in the same step.
-- KEYS: namespace. ARGV: lock, owner, token, box of the caller.
-- Returns {'ok', line for a waiter of that box or ''} | {'repeated'} | {'refused', 'release', why}.
local name, owner, token, here = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local l = lock_read(name)
if (l.token == token and l.released == '1') or string.find(l.prev, token .. ' ', 1, true) == 1 then return {'repeated'} end
if l.token ~= token then return refuse('release', 'token', '', token, owner, '') end
if l.ends <= now then return refuse('release', 'expired', '', token, owner, '') end
local _, line = lock_drop(name, token, '', '', false, here, l)
return {'ok', line or ''}
