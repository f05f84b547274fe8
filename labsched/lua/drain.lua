-- include: token event post
-- An instance stops claiming; asked by itself (SIGTERM) or by an operator.
-- KEYS: namespace. ARGV: name, incarnation ('' = whoever has the name now).
-- Returns 'ok' (also when it drains already) | 'unknown'.
local inc = ARGV[2] ~= '' and ARGV[2] or redis.call('HGET', k_names, ARGV[1])
if not inc or not redis.call('ZSCORE', k_leases, inc) then return 'unknown' end
if redis.call('HGET', k_inst(inc), 'state') == 'DRAINING' then return 'ok' end
take(1)
redis.call('HSET', k_inst(inc), 'state', 'DRAINING')
redis.call('ZREM', k_idle, inc)
event('INSTANCE_DRAINING', '', '', '', inc, ARGV[1], '', '{}')
post(inc, 'drain')
return 'ok'
