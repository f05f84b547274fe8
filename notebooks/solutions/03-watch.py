from redis.exceptions import WatchError


async def acquire_watching(redis, name, owner, ms):
    """Look, then take, but only if nobody has touched the name in the meantime."""
    async with redis.pipeline() as pipe:
        await pipe.watch(name)
        if await pipe.get(name) is not None:
            return False
        pipe.multi()
        pipe.set(name, owner, px=ms)
        try:
            await pipe.execute()
        except WatchError:
            return False
        return True
