-- include: token event post lead lost
-- Cancels what waits; asks what runs to stop, or with force revokes its token now.
-- KEYS: namespace. ARGV: execution, force ('1'/'0').
-- Returns 'cancelled' | 'requested' | 'already' | 'unknown'.
local id, force = ARGV[1], ARGV[2] == '1'
local x = load(id)
if x.state == '' then return 'unknown' end
if x.state ~= 'RUNNING' and not LEGAL[x.state .. '>CANCELLED'] then return 'already' end
check_attempt(x)
check_end(x.task, x.turn)
check_queue(x.task, x.prio)
take(1)
if x.state == 'RUNNING' and not force and x.cancel == '1' then
  -- Asked already; the hint may have been lost.
  post(x.inc, 'cancel ' .. x.token .. ' ' .. id)
  return 'requested'
end
if x.state == 'RUNNING' then
  redis.call('HSET', k_x(id), 'cancel', '1')
  if not force then
    redis.call('HSET', k_inst(x.inc), 'asked', '1')
    event('CANCEL_REQUESTED', x.task, id, x.attempt, x.token, x.inst, '', '{}')
    post(x.inc, 'cancel ' .. x.token .. ' ' .. id)
    return 'requested'
  end
  take_away(id, x, 'CANCELLED', 'null')
  if redis.call('ZSCORE', k_leases, x.inc) then post(x.inc, 'revoked ' .. x.token .. ' ' .. id) end
elseif x.state == 'READY' then
  unqueue(x.task, x.prio, id)
else
  redis.call('ZREM', k_state(x.state), id)
  redis.call('ZREM', k_timers, id)
  redis.call('HINCRBY', k_task(x.task), 'backlog', -1)
end
-- What waits for its turn has none yet: its end must not count as the end of the one that runs.
if x.state == 'BUFFERED' then
  x.turn = ''
  if redis.call('HGET', k_task(x.task), 'buffered') == id then redis.call('HSET', k_task(x.task), 'buffered', '') end
end
close(id, x, 'CANCELLED', force and 'cancelled by force' or 'cancelled',
  '{"was":"' .. x.state .. '","force":' .. tostring(force) .. '}')
return 'cancelled'
