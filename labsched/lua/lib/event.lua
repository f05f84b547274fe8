-- include: time
-- Appends one line of history. `data` is a JSON object as text. Absent fields are ''.
local function event(kind, task, id, attempt, token, instance, epoch, data)
  redis.call('XADD', k_events, '*', 'kind', kind, 'task', task, 'execution', id, 'attempt', attempt,
    'token', token, 'instance', instance, 'epoch', epoch, 'data', data)
end

local function refuse(what, why, id, token, instance, epoch)
  event('REFUSED', '', id, '', token, instance, epoch, '{"what":"' .. what .. '","why":"' .. why .. '"}')
  redis.call('HINCRBY', k_counts, 'REFUSED', 1)
  return {'refused', what, why}
end
