async def acquire(redis, name, owner, ms):
    """One command that looks, takes and sets the end: nothing can come between, and nobody can die in between."""
    return bool(await redis.set(name, owner, nx=True, px=ms))
