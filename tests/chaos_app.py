"""Tasks for the chaos test: quick and slow ones, failing, fenced, in threads and processes."""

from __future__ import annotations

import os

from labsched import Scheduler, every, exponential, manual

app = Scheduler("embedded", namespace="chaos")
quick = exponential("50ms", "500ms")


@app.task("tick", every("200ms"), overlap="ALLOW")
async def tick(ctx):
    await ctx.fence.write("effect", ctx.attempt)


@app.task("steady", every("1s"), retries=2, backoff=quick)
async def steady(ctx):
    for step in range(8):
        ctx.progress(step, 8)
        await ctx.work(0.1)
    await ctx.fence.write("effect", ctx.attempt)


@app.task("buffered", every("700ms"), overlap="BUFFER_ONE", lock_at_least_for="300ms")
async def buffered(ctx):
    await ctx.work(0.9)


@app.task("job", manual(), max_concurrency=4, retries=3, backoff=quick)
async def job(ctx, *, n=0, takes=0.05):
    await ctx.work(takes)
    await ctx.fence.write("effect", n)
    if n % 7 == 0 and ctx.attempt == 1:
        raise RuntimeError("the first try of every seventh fails")
    return n


@app.task("limited", manual(), rate_limit="20/s")
async def limited(ctx):
    await ctx.work(0.01)


@app.task("threaded", manual(), timeout="2s", retries=1, backoff=quick)
def threaded(ctx, *, takes=0.2):
    ctx.log(f"in a thread of {os.getpid()}")
    ctx.work(takes)


@app.task("apart", manual(), runner="process", timeout="10s", retries=1, backoff=quick)
def apart(ctx, *, takes=0.2):
    ctx.work(takes)
    return os.getpid()
