-- include: token event ready lead
-- Makes executions of one task from triggers or a backfill, all or none.
-- KEYS: namespace. ARGV: task, source, priority ('' = the task's), at (ms, '' = now), then per item id, payload, slot ('').
-- Returns {'ok', made, now} | {'unknown'} | {'disabled'} | {'full', backlog, allowed}. An id that exists is not made again.
local task, source, at = ARGV[1], ARGV[2], ARGV[4]
local def = redis.call('HMGET', k_task(task), 'status', 'prio', 'backlog', 'max_backlog')
if not def[1] then return {'unknown'} end
if def[1] == 'DISABLED' then return {'disabled'} end
local priority = ARGV[3] ~= '' and ARGV[3] or def[2]
local fresh, seen = {}, {}
for i = 5, #ARGV, 3 do
  local id = ARGV[i]
  local found = redis.call('TYPE', k_x(id))['ok']
  if found == 'none' then
    if not seen[id] then fresh[#fresh + 1] = i end
    seen[id] = true
  elseif found ~= 'hash' then
    typed('hash', k_x(id))
  end
end
typed('zset', k_bytask(task))
check_queue(task, priority)
if #fresh == 0 then return {'ok', 0, num(now)} end
local backlog = tonumber(def[3] or '0')
if backlog + #fresh > tonumber(def[4]) then return {'full', num(backlog), def[4]} end

local seq, delayed = take(#fresh), at ~= '' and tonumber(at) > now
local state, due, created = delayed and 'BUFFERED' or 'READY', delayed and at or num(now), num(now)
assert(LEGAL['>' .. state])
local tail = ',"due":' .. due .. ',"priority":"' .. priority .. '","source":"' .. source .. '"'
if delayed then tail = ',"due":' .. due .. ',"reason":"delayed"' end
local ids, index = {}, {}
for n, i in ipairs(fresh) do
  local id, slot = ARGV[i], ARGV[i + 2]
  redis.call('HSET', k_x(id), 'task', task, 'state', state, 'slot', slot, 'created', created, 'due', due, 'prio', priority,
    'payload', ARGV[i + 1], 'src', source, 'attempt', 0, 'losses', 0, 'fails', 0)
  event(state, task, id, '', '', '', '', '{"slot":' .. (slot ~= '' and slot or 'null') .. tail .. '}')
  ids[n], index[2 * n - 1], index[2 * n] = id, created, id
end
each_slice(index, 2000, function(a, b)
  redis.call('ZADD', k_all, unpack(index, a, b))
  redis.call('ZADD', k_bytask(task), unpack(index, a, b))
end)
redis.call('HINCRBY', k_counts, 'CREATED', #ids)
if delayed then
  for _, id in ipairs(ids) do
    redis.call('ZADD', k_state('BUFFERED'), created, id)
    set_timer(id, tonumber(due))
  end
  redis.call('HINCRBY', k_task(task), 'backlog', #ids)
else
  queue_ready(task, priority, ids, seq)
end
return {'ok', #ids, num(now)}
