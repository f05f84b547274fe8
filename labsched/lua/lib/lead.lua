-- include: event post
-- Who may coordinate, and how coordinators are woken.

-- nil when `inc` is a member and `epoch` is the live leader's (or election is off: ''), else why it is refused.
local function stale_epoch(inc, epoch)
  if not redis.call('ZSCORE', k_leases, inc) then return 'incarnation' end
  if epoch == '' then return nil end
  local leader = redis.call('HMGET', k_leader, 'inc', 'epoch', 'until')
  if leader[1] ~= inc or leader[2] ~= epoch then return 'epoch' end
  if tonumber(leader[3]) <= now then return 'expired' end
  return nil
end

-- Something is due sooner than they think: tells the leader, or every coordinator when nobody leads.
local function wake_coordinators()
  local leader = redis.call('HMGET', k_leader, 'inc', 'until')
  if leader[1] and tonumber(leader[2]) > now then return post(leader[1], 'lead') end
  for _, inc in ipairs(redis.call('ZRANGEBYSCORE', k_leases, '(' .. num(now), '+inf')) do post(inc, 'lead') end
end

-- An execution that waits for its time. Coordinators sleep until the first timer, so only a new first one wakes them.
local function set_timer(id, at)
  local first = redis.call('ZRANGE', k_timers, 0, 0, 'WITHSCORES')
  redis.call('ZADD', k_timers, num(at), id)
  if not first[2] or at < tonumber(first[2]) then wake_coordinators() end
end

-- Every set of due tasks: the shared one, and one per instance that runs without election and without lock.
local function schedule_task(task, at)
  redis.call('ZADD', k_due(''), num(at), task)
  for _, scope in ipairs(redis.call('SMEMBERS', k_scopes)) do redis.call('ZADD', k_due(scope), num(at), task) end
  wake_coordinators()
end

local function unschedule_task(task)
  redis.call('ZREM', k_due(''), task)
  for _, scope in ipairs(redis.call('SMEMBERS', k_scopes)) do redis.call('ZREM', k_due(scope), task) end
end
