async def catch_up(redis, handle):
    place = await redis.get("follower:place") or "0-0"
    while True:
        answer = await redis.xread({"events": place}, count=10)
        if not answer:
            return
        for id, fields in answer[0][1]:
            await handle(id, fields)
            await redis.set("follower:place", id)  # after it: a death in between repeats one, and loses none
            place = id
