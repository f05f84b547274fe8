-- include: token event lead lost
-- Recovers what dead incarnations and overdue attempts held. Fenced by the leader's epoch.
-- KEYS: namespace. ARGV: instance, incarnation, epoch ('' without election), limit.
-- Returns {'ok', attempts recovered, ms until the next lease or hard end can be over ('' never)} | {'refused', …}.
local stale = stale_epoch(ARGV[2], ARGV[3])
if stale then return refuse('recover', stale, '', ARGV[2], ARGV[1], ARGV[3]) end
local limit, count = ARGV[4], 0
local dead = redis.call('ZRANGEBYSCORE', k_leases, '-inf', num(now), 'LIMIT', 0, limit)
local overdue = redis.call('ZRANGEBYSCORE', k_state('RUNNING'), '-inf', num(now), 'LIMIT', 0, limit)
if #dead + #overdue > 0 then
  for _, inc in ipairs(dead) do check_held(inc) end
  for _, id in ipairs(overdue) do check_attempt(load(id)) end
  take(1)
  for _, inc in ipairs(dead) do
    count = count + redis.call('SCARD', k_held(inc))
    bury(inc, 'lease')
  end
  for _, id in ipairs(overdue) do
    local x = load(id)
    if lost(id, 'hard-end') then
      count = count + 1
      revoke(id, x)
    else
      -- Just lost with its instance, or its record was deleted by hand: it must not be overdue for ever.
      redis.call('ZREM', k_state('RUNNING'), id)
    end
  end
end
local next_lease = redis.call('ZRANGE', k_leases, 0, 0, 'WITHSCORES')[2]
local next_end = redis.call('ZRANGE', k_state('RUNNING'), 0, 0, 'WITHSCORES')[2]
local soonest = math.min(tonumber(next_lease or 'inf'), tonumber(next_end or 'inf'))
return {'ok', count, soonest < math.huge and num(math.max(soonest - now, 0)) or ''}
