"""What the instances of a swarm run: tasks that come up to every limit the scheduler keeps, users of one lock, and an
operator, who is a task as well. So a recording says all there is to it, and can be replayed and shrunk.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from pathlib import Path

import labsched
from labsched import LockManager, Scheduler, every, exponential, manual
from labsched.config import Settings
from labsched.context import Context, SyncContext
from labsched.errors import ConfigError
from labsched.samples import HANDLERS

SAMPLES = Path(labsched.__file__).with_name("tasks.yml")  # the same as data/tasks.yml
QUICKLY = exponential("200ms", "1s")


def luck(ctx: Context) -> random.Random:
    """Random draws of one attempt, alike in every run."""
    return random.Random(f"{ctx.execution} {ctx.attempt}")


async def short(ctx: Context) -> None:
    await ctx.work(0.3)


async def tick(ctx: Context) -> None:
    await ctx.fence.write("tick", ctx.attempt)


async def effects(ctx: Context) -> dict[str, int]:
    """Writes at each step of its work, so that whoever takes its lease away finds it about to write."""
    first = await ctx.fence.write("begun", ctx.attempt)
    for step in range(4):
        await ctx.work(0.55)
        await ctx.fence.write(f"step {step}", ctx.attempt)
    return {"begun": ctx.attempt if first else await ctx.fence.read("begun")}


async def flaky(ctx: Context) -> None:
    await ctx.fence.write("tried", ctx.attempt)
    await ctx.work(0.2)
    if luck(ctx).random() < 0.6:
        raise ValueError("three tries in five fail")


async def late(ctx: Context) -> None:
    """Its timeout ends about half of them."""
    await ctx.work(2 * luck(ctx).random())


async def long(ctx: Context) -> None:
    await ctx.work(2.5)


async def endless(ctx: Context) -> None:
    await ctx.work(600)


async def hogging(ctx: Context) -> None:
    await ctx.hog(luck(ctx).choice((0.05, 0.05, 1.0, 3.5)))


def plain(ctx: SyncContext) -> str:
    ctx.work(0.4)
    ctx.fence.write("plain", ctx.token)
    return ctx.instance


async def job(ctx: Context, *, n: int = 0, takes: float = 0.05) -> int:
    ctx.progress(n, 10)
    await ctx.work(takes)
    await ctx.fence.write("job", n)
    if n % 4 == 3 and ctx.attempt == 1:
        raise RuntimeError("the first try of every fourth fails")
    return n


async def locker(ctx: Context) -> None:
    """Uses a lock for longer than it has it, at times: it may come back when the lock is somebody else's."""
    rng = luck(ctx)
    locks = LockManager(
        ctx.app._client.redis,
        ctx.app.settings.namespace,
        owner=f"{ctx.instance}/{ctx.token}",
        host=ctx.app.host,
    )
    most, least = rng.uniform(0.5, 1.8), rng.choice((0, 0, 0.2))
    lock = await (
        locks.wait("shared", most, least, timeout=2)
        if rng.random() < 0.6
        else locks.acquire("shared", most, least)
    )
    if lock is None:
        return
    await ctx.work(rng.uniform(0, 1.5 * most))
    if rng.random() < 0.5:
        await lock.extend(rng.uniform(0.2, 1.0))
        await ctx.work(rng.uniform(0, 1.0))
    await lock.release()


async def operator(ctx: Context) -> None:
    """Triggers, cancels, requeues, pauses: what people do."""
    rng, app = luck(ctx), ctx.app
    deed = rng.choice(("trigger", "trigger", "trigger", "cancel", "force", "requeue", "pause", "ask"))
    if deed == "trigger":
        for batch in range(rng.choice((1, 1, 2, 4))):
            size = rng.choice((1, 3, 8))
            jobs = [{"n": n, "takes": rng.choice((0.0, 0.05, 0.7))} for n in range(size)]
            keys = [f"{ctx.execution}-{batch}-{n}" for n in range(size)]
            for _ in range(rng.choice((1, 1, 2))):  # who is not sure that it came through sends it again
                await app.trigger_many("job", jobs, keys)
                await ctx.work(rng.choice((0.0, 0.3)))
    elif deed == "pause":
        await app.pause("job")
        await ctx.work(rng.uniform(0, 2))
        await app.resume("job")
    elif deed == "ask":
        await app.metrics()
        await app.health()
    else:
        for x in rng.sample(found := await app.executions(limit=20), min(4, len(found))):
            if deed == "requeue":
                if x.state in ("FAILED", "DEAD"):
                    await app.requeue(x.id)
            elif x.task != "operator":
                await app.cancel(x.id, force=deed == "force")


def _everything(settings: Settings) -> Scheduler:
    app = Scheduler("fake", settings=settings)
    app.add("tick", every("2s"), tick, overlap="ALLOW", priority="low")
    app.add("steady", every("3s"), short, retries=2, backoff=QUICKLY)
    app.add("effects", every("4s"), effects, overlap="BUFFER_ONE", max_losses=9)
    app.add("flaky", every("5s"), flaky, retries=2, backoff=QUICKLY)
    app.add("late", every("5s"), late, timeout="1s", retries=1, backoff=QUICKLY)
    app.add("cancelling", every("3s"), long, overlap="CANCEL_OTHER")
    app.add("spaced", every("1500ms"), short, lock_at_least_for="2s")
    app.add("narrow", every("2s"), long, overlap="ALLOW", max_concurrency=1)
    app.add("rated", every("1500ms"), short, overlap="ALLOW", rate_limit="1/1600ms")
    app.add("endless", every("9s"), endless, lock_at_most_for="3s", max_losses=2)
    app.add("hogging", every("7s"), hogging)
    app.add("threaded", every("5s"), plain, runner="thread", timeout="2s")
    app.add("apart", every("5s"), plain, runner="process", timeout="2s")
    app.add("locker", every("1200ms"), locker, overlap="ALLOW", max_concurrency=5)
    app.add("operator", every("2500ms"), operator, overlap="ALLOW", priority="high", timeout="5s")
    app.add("job", manual(), job, max_concurrency=4, retries=3, backoff=QUICKLY)
    return app


REGULARS = tuple(name for name in _everything(Settings()).handlers if name != "job")


def swarm_app(settings: Settings | None = None, tasks: Collection[str] = REGULARS) -> Scheduler:
    """An app with those of the swarm's tasks; `job`, which `operator` triggers, is always there."""
    app = _everything(settings or Settings())
    unknown = [name for name in tasks if name not in app.handlers]
    if unknown:
        raise ConfigError(f"a swarm has no task {unknown[0]!r}, there are {', '.join(app.handlers)}")
    for name in set(app.handlers) - {*tasks, "job"}:
        del app.handlers[name]
    return app


def known_app() -> Scheduler:
    """The sample tasks and the swarm's: what `labsched sim` and a replay can run without code of the user's own."""
    app = _everything(Settings())
    app.load_tasks(SAMPLES, HANDLERS)
    return app
