"""What notebook 16 hunts in: a small cluster under a few faults, all drawn from a seed.

Less than the swarm (`labsched.worlds.swarm`), so that a run takes a fraction of a second: three instances, two
tasks with work that lasts, a lock that three users want, and up to four faults in 14 virtual seconds.
"""

from __future__ import annotations

import random

from labsched import LockManager, Scheduler, every
from labsched.config import Settings
from labsched.context import Context
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.plan import Plan
from labsched.worlds.simulated.simulation import Simulation

UNTIL, TROUBLE = 14.0, 9.5  # virtual seconds of a run; faults end before the second
SETTINGS = Settings(
    pool_size=2, instance_lease=2.0, heartbeat_every=0.5, lease_margin=0.5, cancel_grace=0.2, sweep_every=0.5,
    leader_lease=2.0, leader_renew_deadline=1.2, leader_retry=0.4, request_timeout=0.5, drain_timeout=2.0,
)  # fmt: skip


async def export(ctx: Context) -> None:
    await ctx.work(_luck(ctx).uniform(0.5, 4.0))
    await ctx.fence.write("file", ctx.attempt)


async def invoice(ctx: Context) -> None:
    await ctx.work(_luck(ctx).uniform(0.1, 1.2))


async def ledger(ctx: Context) -> None:
    """Three of them at most want one lock; they hold it, sometimes prolong it, and now and then let go too late."""
    luck, client = _luck(ctx), ctx.app._client
    owner = f"{ctx.instance}/{ctx.attempt}@{ctx.execution[-5:-2]}"
    locks = LockManager(client.redis, ctx.app.settings.namespace, owner=owner, host=ctx.app.host)
    most = luck.uniform(0.6, 1.6)
    lock = await locks.wait("ledger", most, luck.choice((0, 0, 0.3)), timeout=1)
    if lock is None:
        return
    await ctx.work(luck.uniform(0.2, 1.4) * most)
    if luck.random() < 0.5:
        await lock.extend(luck.uniform(0.4, 1.0))
        await ctx.work(luck.uniform(0.1, 0.5))
    await lock.release()


def _luck(ctx: Context) -> random.Random:
    return random.Random(f"{ctx.execution} {ctx.attempt}")


def app() -> Scheduler:
    """The tasks of the hunt, for `replay` and `shrink`."""
    app = Scheduler("fake", settings=SETTINGS)
    app.add("export", every("3s"), export)
    app.add("invoice", every("1s"), invoice)
    app.add("ledger", every("700ms"), ledger, overlap="ALLOW", max_concurrency=3)
    return app


def _pause(begin: Plan, end: Plan, name: str, luck: random.Random) -> None:
    begin.pause(name)
    end.resume(name)


def _cut(begin: Plan, end: Plan, name: str, luck: random.Random) -> None:
    begin.partition(name, luck.choice(("both", "requests", "replies")))
    end.heal(name)


def _kill(begin: Plan, end: Plan, name: str, luck: random.Random) -> None:
    begin.kill(name)
    end.restart(name)


def _drain(begin: Plan, end: Plan, name: str, luck: random.Random) -> None:
    begin.terminate(name)
    end.restart(name)


def _slow(begin: Plan, end: Plan, name: str, luck: random.Random) -> None:
    begin.slow(name, luck.uniform(0.05, 0.3))
    end.heal(name)


FAULTS = (_pause, _cut, _kill, _drain, _slow)


def run(seed: int, *, messages: bool = False) -> Recording:
    """The run of that seed: two to four faults, each undone within 5 s."""
    luck = random.Random(f"hunt {seed}")
    with Simulation(3, seed=seed, app=app(), messages=messages) as sim:
        for t in sorted(luck.uniform(2, TROUBLE - 1.5) for _ in range(luck.randint(2, 4))):
            end = min(t + luck.uniform(0.3, 5), TROUBLE)
            luck.choice(FAULTS)(sim.at(round(t, 3)), sim.at(round(end, 3)), luck.choice(sim.names), luck)
        sim.run(until=TROUBLE)
        for name in sim.names:
            if name not in sim.alive:
                sim.restart(name)
        return sim.run(until=UNTIL)
