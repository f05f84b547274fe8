-- include: lock
-- Moves the end of a lock to `at_most_for` from now, earlier or later; the token stays.
-- KEYS: namespace. ARGV: lock, owner, token, at_most_for ms, serial: which of its holder's extends this is. One that comes
-- after a younger one is a copy that was long on its way: it moves nothing, or the holder would believe in a later end.
-- Returns {'ok', until, now} | {'refused', 'extend', why}.
local name, owner, token, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local l = lock_read(name)
if l.token ~= token or l.released == '1' then return refuse('extend', 'token', '', token, owner, '') end
if l.ends <= now then return refuse('extend', 'expired', '', token, owner, '') end
local by, last = string.match(redis.call('HGET', k_lock(name), 'moved') or '', '^(%d+) (%d+)$')
if by == token and tonumber(ARGV[5]) < tonumber(last) then return {'ok', num(l.ends), num(now)} end
local ends = now + most
redis.call('HSET', k_lock(name), 'until', num(ends), 'moved', token .. ' ' .. ARGV[5])
redis.call('PEXPIREAT', k_lock(name), num(math.max(ends, l.least) + LINGER))
redis.call('ZADD', k_locks, num(math.max(ends, l.least)), name)
lock_event('LOCK_EXTENDED', name, token, owner, ',"until":' .. num(ends), '', '')
return {'ok', num(ends), num(now)}
