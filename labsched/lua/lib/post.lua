-- include: time
-- Puts a line into a mailbox. It is only a hint: whoever misses it finds out by itself a little later.
local function post(box, line)
  redis.pcall('RPUSH', k_box(box), line)
  redis.call('EXPIRE', k_box(box), 60)
end
