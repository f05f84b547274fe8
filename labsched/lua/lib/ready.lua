-- include: event post
-- READY work: the queues that claim reads, and hints for those who could run it.

-- Tells up to `wanted` idle instances (not `own`) that have the task's current handler, longest idle first.
local function wake_workers(task, wanted, own, version)
  local skip = 0
  version = version or redis.call('HGET', k_task(task), 'version')
  for _ = 1, 16 do
    local page = redis.call('ZRANGE', k_idle, skip, skip + 63)
    for _, inc in ipairs(page) do
      if wanted <= 0 then return end
      local lease = redis.call('ZSCORE', k_leases, inc)
      if not lease or tonumber(lease) <= now then
        redis.call('ZREM', k_idle, inc)
      elseif inc ~= own and redis.pcall('HGET', k_handlers(inc), task) == version then
        redis.call('ZREM', k_idle, inc)
        post(inc, 'work')
        wanted = wanted - 1
      else
        skip = skip + 1
      end
    end
    if #page < 64 then return end
  end
end

-- After `n` runs of a task have ended at `own`: where max_concurrency held work back, each place that fell free is told to
-- one idle instance. Not to `own`, which claims in the round trip that brought the end.
local function place_freed(task, n, own)
  local d = redis.call('HMGET', k_task(task), 'max_concurrency', 'running')
  local room = (tonumber(d[1] or '') or math.huge) - tonumber(d[2] or '0')
  -- With more room than that it was not full before: nothing was held back.
  if room < 1 or room > n then return end
  for _, priority in ipairs({'high', 'normal', 'low'}) do
    if redis.call('EXISTS', k_ready(priority, task)) == 1 then return wake_workers(task, room, own) end
  end
end

-- Redis refuses more arguments than Lua's stack holds, so long lists go in slices.
local function each_slice(list, size, visit)
  for first = 1, #list, size do visit(first, math.min(first + size - 1, #list)) end
end

-- Before the first write: what queueing touches.
local function check_queue(task, priority)
  typed('hash', k_task(task))
  typed('zset', k_ready(priority, task))
end

-- Queues executions of one task and priority; `seq` orders them, smaller first. The caller has set
-- their state and appends the events. `version`: the task's, when known.
local function queue_ready(task, priority, ids, seq, version)
  local queue, index = {}, {}
  for i, id in ipairs(ids) do
    queue[2 * i - 1], queue[2 * i] = num(seq + i - 1), id
    index[2 * i - 1], index[2 * i] = num(now), id
  end
  each_slice(queue, 2000, function(a, b)
    redis.call('ZADD', k_ready(priority, task), unpack(queue, a, b))
    redis.call('ZADD', k_state('READY'), unpack(index, a, b))
  end)
  redis.call('ZADD', k_turn(priority), 'NX', num(now_us), task)
  redis.call('HINCRBY', k_task(task), 'backlog', #ids)
  wake_workers(task, #ids, nil, version)
end

local function unqueue(task, priority, id)
  redis.call('ZREM', k_ready(priority, task), id)
  redis.call('ZREM', k_state('READY'), id)
  redis.call('HINCRBY', k_task(task), 'backlog', -1)
  if redis.call('EXISTS', k_ready(priority, task)) == 0 then redis.call('ZREM', k_turn(priority), task) end
end
