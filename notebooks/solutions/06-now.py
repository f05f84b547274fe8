async def now(machine):
    before = machine.monotonic()
    seconds, micros = await machine.redis.time()
    took = machine.monotonic() - before
    # The server looked at its clock somewhere within `took`: at the latest just now, at the earliest `took` ago.
    return seconds + micros / 1e6 + took / 2, took / 2
