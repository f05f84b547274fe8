-- include: token event post
-- A leader steps down and tells every instance, so that the next one leads at once.
-- KEYS: namespace. ARGV: name, incarnation, epoch. Returns 'ok' | 'not-leader'.
local leader = redis.call('HMGET', k_leader, 'inc', 'epoch')
if leader[1] ~= ARGV[2] or leader[2] ~= ARGV[3] then return 'not-leader' end
take(1)
redis.call('DEL', k_leader)
event('LEADER_RESIGNED', '', '', '', ARGV[2], ARGV[1], ARGV[3], '{}')
for _, inc in ipairs(redis.call('ZRANGEBYSCORE', k_leases, '(' .. num(now), '+inf')) do
  if inc ~= ARGV[2] then post(inc, 'lead') end
end
return 'ok'
