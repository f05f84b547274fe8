"""Answers to the exercises of notebook 09: plausible wrong ones with the guarantee that they break, and right ones."""

import time

from redis.exceptions import WatchError


async def by_attempt(ctx, mail, people):
    for to in people:
        await mail.send(to, "your invoice", key=f"{ctx.execution} {ctx.attempt} {to}")


async def by_token(ctx, mail, people):
    for to in people:
        await mail.send(to, "your invoice", key=f"{to} {ctx.token}")


async def by_person(ctx, mail, people):
    for to in people:
        await mail.send(to, "your invoice", key=to)


async def by_execution(ctx, mail, people):
    for to in people:
        await mail.send(to, "your invoice", key=ctx.execution)


async def by_slot(ctx, mail, people):
    for to in people:
        await mail.send(to, "your invoice", key=f"{ctx.task} {ctx.slot} {to}")


async def marked(ctx, mail, people):
    for to in people:
        if await ctx.fence.write(to, True):
            await mail.send(to, "your invoice")


async def by_the_clock(ctx, mail, people):
    for to in people:
        await mail.send(to, "your invoice", key=f"{to} {time.time()}")


async def for_ever(ctx, mail, people):
    while True:
        await ctx.work(1)


async def broken(ctx, mail, people):
    await mail.send(people[7], "your invoice", key=ctx.execution)


async def by_index(ctx, mail, people):
    keys = [f"{ctx.task}/{ctx.execution}/{n}" for n in range(len(people))]
    for to, key in zip(people, keys, strict=True):
        await mail.send(to, "your invoice", key)


async def only_the_first(ctx, mail, draw, to):
    code = draw()
    if await ctx.fence.write("coupon", code):
        await mail.send(to, code, key=ctx.execution)


async def its_own_code(ctx, mail, draw, to):
    code = draw()
    await ctx.fence.write("coupon", code)
    await mail.send(to, code, key=ctx.execution)


async def mailed_first(ctx, mail, draw, to):
    code = draw()
    await mail.send(to, code, key=ctx.execution)
    await ctx.fence.write("coupon", code)


async def without_a_key(ctx, mail, draw, to):
    code = draw()
    if not await ctx.fence.write("coupon", code):
        code = await ctx.fence.read("coupon")
    await mail.send(to, code)


async def not_on_record(ctx, mail, draw, to):
    await mail.send(to, draw(), key=ctx.execution)


async def looked_first(ctx, mail, draw, to):
    code = await ctx.fence.read("coupon")
    if code is None:
        await ctx.fence.write("coupon", draw())
        code = await ctx.fence.read("coupon")
    await mail.send(to, code, key=f"coupon for {to} of {ctx.execution}")


async def key_is_the_code(ctx, mail, draw, to):
    await ctx.fence.write("coupon", draw())
    code = await ctx.fence.read("coupon")
    await mail.send(to, code, key=code)


async def look_then_charge(redis, key, account, cents):
    if await redis.get(f"charged:{key}") is None:
        await redis.incrby(f"spent:{account}", cents)
        await redis.set(f"charged:{key}", 1)


async def mark_then_charge(redis, key, account, cents):
    if await redis.set(f"charged:{key}", 1, nx=True):
        await redis.incrby(f"spent:{account}", cents)


async def for_a_minute(redis, key, account, cents):
    script = (
        "if redis.call('SET', KEYS[1], 1, 'NX', 'EX', 60) then redis.call('INCRBY', KEYS[2], ARGV[1]) end"
    )
    await redis.eval(script, 2, f"charged:{key}", f"spent:{account}", cents)


async def without_watching(redis, key, account, cents):
    if await redis.get(f"charged:{key}") is None:
        async with redis.pipeline(transaction=True) as together:
            together.incrby(f"spent:{account}", cents).set(f"charged:{key}", 1)
            await together.execute()


async def one_per_account(redis, key, account, cents):
    script = "if redis.call('SETNX', KEYS[1], 1) == 1 then redis.call('INCRBY', KEYS[2], ARGV[1]) end"
    await redis.eval(script, 2, f"charged:{account}", f"spent:{account}", cents)


async def always(redis, key, account, cents):
    await redis.incrby(f"spent:{account}", cents)


async def watching(redis, key, account, cents):
    async with redis.pipeline(transaction=True) as together:
        while True:
            try:
                await together.watch(f"charged:{account}:{key}")
                if await together.get(f"charged:{account}:{key}") is None:
                    together.multi()
                    together.set(f"charged:{account}:{key}", cents).incrby(f"spent:{account}", cents)
                    await together.execute()
                return
            except WatchError:
                continue


async def summed(redis, key, account, cents):
    await redis.hset(f"charges:{account}", key, cents)
    add = "local s = 0 for _, c in ipairs(redis.call('HVALS', KEYS[1])) do s = s + c end"
    script = f"{add} redis.call('SET', KEYS[2], s)"
    await redis.eval(script, 2, f"charges:{account}", f"spent:{account}")


WRONG = {
    "09-key": [
        (by_attempt, "effect-once"),
        (by_token, "effect-once"),
        (by_person, "nothing-lost"),
        (by_execution, "nothing-lost"),
        (by_slot, "nothing-lost"),
        (marked, "nothing-lost"),
        (by_the_clock, ""),
        (for_ever, ""),
        (broken, ""),
    ],
    "09-coupon": [
        (only_the_first, "nothing-lost"),
        (its_own_code, "effect-once"),
        (mailed_first, "effect-once"),
        (without_a_key, "effect-once"),
        (not_on_record, "effect-once"),
    ],
    "09-charge": [
        (look_then_charge, "effect-once"),
        (mark_then_charge, "nothing-lost"),
        (for_a_minute, "effect-once"),
        (without_watching, "effect-once"),
        (one_per_account, "nothing-lost"),
        (always, "effect-once"),
    ],
}
RIGHT = {"09-key": [by_index], "09-coupon": [looked_first, key_is_the_code], "09-charge": [watching, summed]}
