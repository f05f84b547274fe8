"""A small shop whose work can be watched, for notebook 10. The five bad days of data/incidents happened in it."""

from __future__ import annotations

import random

from labsched import Scheduler, Settings, every, exponential, manual
from labsched.context import Context
from labsched.worlds import Simulation


def luck(ctx: Context) -> random.Random:
    """Draws of one attempt, alike in every run."""
    return random.Random(f"{ctx.execution} {ctx.attempt}")


class Day:
    """Orders, which customers trigger at `rate` per second until `until`, and three tasks that run by the clock.

    Three instances, two attempts at once on each.
    """

    def __init__(self, rate: float = 5.0, until: float = 90.0, seed: int = 1) -> None:
        self.rate, self.until, self.seed = rate, until, seed

    async def order(self, ctx: Context, *, n: int) -> None:
        await ctx.work(0.25 * luck(ctx).uniform(0.7, 1.3))

    async def report(self, ctx: Context) -> None:
        await ctx.work(0.8 * luck(ctx).uniform(0.8, 1.2))

    async def backup(self, ctx: Context) -> None:
        await ctx.work(1.5)

    async def prices(self, ctx: Context) -> None:
        await ctx.work(0.1)

    def app(self) -> Scheduler:
        app = Scheduler("fake", settings=Settings(pool_size=2))
        app.add("order", manual(), self.order, retries=2, backoff=exponential("500ms", "4s"))
        app.add("report", every("4s"), self.report)
        app.add("backup", every("10s"), self.backup)
        app.add("prices", every("2s"), self.prices)
        return app

    def world(self) -> Simulation:
        """The shop at its first second; customers come as soon as it runs. To be closed by whoever asked for it."""
        self.sim = Simulation(3, seed=self.seed, app=self.app(), messages=False)
        self.sim.run(until=1)
        self.sim.start_call(self._customers)
        return self.sim

    async def _customers(self, app: Scheduler) -> None:
        arrivals, n = random.Random(f"orders {self.seed}"), 0
        while self.sim.time < self.until - 3:
            await app.host.clock.sleep(round(arrivals.expovariate(self.rate), 3))
            n += 1
            await app.trigger("order", _key=str(n), n=n)
