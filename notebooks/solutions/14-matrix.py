broken = {
    "the holder pauses": ["one node", "Redlock"],
    "failover, replica lags": ["one node", "fence, counted"],
    "restart, data gone": ["one node", "fence, counted"],
    "failover, clock behind": ["one node", "fence, counted", "fence, timed"],
    "a server's clock jumps": ["one node"],
    "jump, two were away": ["one node", "Redlock"],
    "three restarts, data gone": ["one node", "Redlock", "fence, counted"],
}
