-- include: time
-- Takes `n` consecutive numbers from the namespace's one counter and returns the first. They grow
-- strictly on one history, and stay above a lost one as long as the new server's clock is not behind.
-- Scripts call this before any other write: SET is among the commands that a server out of memory
-- refuses, so such a server refuses the whole step instead of half of it.
local function take(n)
  local last = tonumber(redis.call('GET', k_token) or '0')
  local first = math.max(last + 1, now_us)
  redis.call('SET', k_token, num(first + n - 1))
  return first
end
