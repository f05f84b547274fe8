"""Tasks for the failover measurement."""

from labsched import Scheduler, every, manual

app = Scheduler("embedded", namespace="failover")


@app.task("tick", every("100ms"), overlap="ALLOW")
async def tick(ctx):
    return None


@app.task("long", manual())
async def long(ctx, *, takes=60):
    await ctx.work(takes)
