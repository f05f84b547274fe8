-- include: event post token ready lead
-- What follows when an execution ends.

-- Before the first write: what the end of an execution touches. `buffered`: the one that waits for its turn, when known.
local function check_end(task, turn, buffered)
  typed('hash', k_task(task))
  typed('hash', k_stats(task))
  local waiting = turn == '1' and (buffered or redis.call('HGET', k_task(task), 'buffered')) or ''
  if waiting == '' then return end
  typed('hash', k_x(waiting))
  check_queue(task, redis.call('HGET', k_x(waiting), 'prio') or '')
end

-- The run of a slot has ended: the one that waited for its turn becomes READY.
local function slot_ended(task)
  local slots = redis.call('HINCRBY', k_task(task), 'slots', -1)
  local waiting, overlap = unpack(redis.call('HMGET', k_task(task), 'buffered', 'overlap'))
  if not waiting or waiting == '' then return end
  -- Where runs may overlap by now, new ones keep coming: it would wait for ever for a moment without any.
  if slots > 0 and overlap ~= 'ALLOW' then return end
  local x = redis.call('HMGET', k_x(waiting), 'state', 'prio')
  redis.call('HSET', k_task(task), 'buffered', '')
  -- Its record may have been deleted by hand: that must not stop what has just ended.
  if not LEGAL[(x[1] or '') .. '>READY'] then return end
  redis.call('HSET', k_task(task), 'last', waiting)
  redis.call('HINCRBY', k_task(task), 'slots', 1)
  redis.call('HINCRBY', k_task(task), 'backlog', -1)
  redis.call('HSET', k_x(waiting), 'state', 'READY', 'reason', '')
  redis.call('ZREM', k_state('BUFFERED'), waiting)
  event('READY', task, waiting, '', '', '', '', '{"source":"buffer"}')
  queue_ready(task, x[2], {waiting}, take(1))
end

-- Counts a terminal execution, indexes it and tells its waiters. The caller has set its state and its event.
local function ended(task, id, state, waiters)
  redis.call('ZADD', k_state(state), num(now), id)
  redis.call('HINCRBY', k_counts, state, 1)
  redis.call('HINCRBY', k_task(task), 'n:' .. state, 1)
  for box in string.gmatch(waiters or '', '%S+') do post(box, 'done:' .. id .. ' ' .. state) end
end
