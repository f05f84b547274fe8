-- The server's clock, read once: `now` in ms, `now_us` in us. Never a client's clock.
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)

-- Numbers leave Lua as %.0f: tostring would write 1.79e+15.
local function num(x) return string.format('%.0f', x) end
