-- include: token event lead lost once
-- Gives a FAILED or DEAD execution a new life: READY, with its counts of failures and losses at zero.
-- KEYS: namespace. ARGV: execution, nonce of the call.
-- Returns 'ok' | 'unknown' | its state, when that cannot be requeued. A repeated nonce gives the same answer again.
local id, nonce = ARGV[1], ARGV[2]
local x = load(id)
if x.state == '' then return 'unknown' end
local before = answered(k_x(id), nonce)
if before then return before end
if not (LEGAL[x.state .. '>READY'] and (x.state == 'FAILED' or x.state == 'DEAD')) then return answer(k_x(id), nonce, x.state) end
check_queue(x.task, x.prio)
local seq = take(1)
redis.call('ZREM', k_state(x.state), id)
redis.call('HSET', k_x(id), 'state', 'READY', 'losses', 0, 'taken', 0, 'fails', 0, 'token', '', 'ended', '',
  'reason', '', 'cancel', '', 'turn', '', 'lock', '0')
event('READY', x.task, id, '', '', '', '', '{"source":"requeue"}')
queue_ready(x.task, x.prio, {id}, seq)
return answer(k_x(id), nonce, 'ok')
