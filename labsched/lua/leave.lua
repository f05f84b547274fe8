-- include: token event lost
-- An instance leaves for good; whatever it still held goes back to READY, marked as lost.
-- KEYS: namespace. ARGV: name, incarnation, returned (executions it handed back unstarted).
-- Returns 'ok' (also when it is gone already).
local name, inc = ARGV[1], ARGV[2]
if not redis.call('ZSCORE', k_leases, inc) then return 'ok' end
check_held(inc)
take(1)
-- First, or the hints for what it hands back would go to itself.
redis.call('ZREM', k_leases, inc)
redis.call('ZREM', k_idle, inc)
local held = redis.call('SMEMBERS', k_held(inc))
table.sort(held)
for _, id in ipairs(held) do lost(id, 'left') end
drop_scope(redis.call('HGET', k_inst(inc), 'scope'))
if redis.call('HGET', k_names, name) == inc then redis.call('HDEL', k_names, name) end
redis.call('DEL', k_inst(inc), k_handlers(inc), k_held(inc), k_box(inc))
event('INSTANCE_LEFT', '', '', '', inc, name, '', '{"returned":' .. ARGV[3] .. '}')
return 'ok'
