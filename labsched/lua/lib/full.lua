-- include: time
-- For the few steps that must go on when the server is at maxmemory: retention, which makes room, and the leases without which
-- nobody may do it. What they add is bounded. A full server refuses only what comes before a script's first write; this one
-- changes nothing and is of a kind that is never refused. To be called when all reads and checks are done.
local function write_although_full() redis.call('PERSIST', k_leases) end
