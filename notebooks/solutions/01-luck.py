import random


async def tired(ctx):
    luck = random.Random(ctx.execution)  # a stream of its own for each execution, the same in every run
    await ctx.work(luck.uniform(0.5, 1.5))
