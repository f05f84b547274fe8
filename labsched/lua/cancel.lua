-- include: token event post lead lost once
-- Cancels what waits; asks what runs to stop, or with force revokes its token now.
-- KEYS: namespace. ARGV: execution, force ('1'/'0'), nonce of the call.
-- Returns 'cancelled' | 'requested' | 'already' | 'unknown'. A repeated nonce gives the same answer again.
local id, force, nonce = ARGV[1], ARGV[2] == '1', ARGV[3]
local x = load(id)
if x.state == '' then return 'unknown' end
local before = answered(k_x(id), nonce)
if before then return before end
if x.state ~= 'RUNNING' and not LEGAL[x.state .. '>CANCELLED'] then return answer(k_x(id), nonce, 'already') end
check_attempt(x)
check_end(x.task, x.turn)
check_queue(x.task, x.prio)
take(1)
answer(k_x(id), nonce, x.state == 'RUNNING' and not force and 'requested' or 'cancelled')
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
  revoke(id, x)
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
