"""`python -m labsched.lab.stored.n10`: five bad days, made by simulation, stored as `data/incidents/DAY.json.gz`.

A recording of a real cluster knows what happened, not why. So what was done to these is left out: faults, plan,
messages and journals.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec

from labsched.context import Context
from labsched.lab.exercises.n10_world import Day, luck
from labsched.runners import Registered
from labsched.worlds import Recording

FOLDER = Path(__file__).resolve().parents[3] / "data" / "incidents"
MOMENT = 35.0  # seconds: when it begins, on each day


class BadDay(Day):
    """A day with something wrong in it."""

    seed_of_the_day = 1

    def __init__(self) -> None:
        super().__init__(seed=self.seed_of_the_day)

    def late(self) -> bool:
        """Whether it has begun."""
        return self.sim.time >= MOMENT

    def change(self) -> None:
        """Plan what happens from outside."""

    def live(self) -> Recording:
        """All of the day, with everything that the world knows of it."""
        with self.world() as sim:
            self.change()
            return sim.run(until=self.until)


class Monday(BadDay):
    """What tasks wait for, a database say, takes six times as long."""

    seed_of_the_day = 11

    async def order(self, ctx: Context, *, n: int) -> None:
        await ctx.work(0.25 * luck(ctx).uniform(0.7, 1.3) * (6 if self.late() else 1))

    async def report(self, ctx: Context) -> None:
        await ctx.work(0.8 * luck(ctx).uniform(0.8, 1.2) * (6 if self.late() else 1))


class Tuesday(BadDay):
    """One order ends every process that runs it. Somebody restarts the processes."""

    seed_of_the_day = 12

    async def order(self, ctx: Context, *, n: int) -> None:
        if n == 170:
            await ctx.work(0.4)
            self.sim.press("kill", ctx.instance)
        await super().order(ctx, n=n)

    def change(self) -> None:
        self.sim.process(self._restarts())

    def _restarts(self) -> Generator[Any, Any, None]:
        while True:
            yield self.sim.env.timeout(6.0)
            for name in self.sim.names:
                if name not in self.sim.alive:
                    self.sim.press("restart", name)


class Wednesday(BadDay):
    """A new version of one task came with one instance, which then left again. The others have the old one."""

    seed_of_the_day = 13

    def change(self) -> None:
        self.sim.at(MOMENT).terminate("i2").at(MOMENT + 20).terminate("i2").at(MOMENT + 24).restart("i2")
        self.sim.process(self._deploy())

    def _deploy(self) -> Generator[Any, Any, None]:
        yield self.sim.env.timeout(MOMENT + 4 - self.sim.time)
        old = self.sim.handlers["report"]
        new = msgspec.structs.replace(old.task, version=old.task.version + 1)
        self.sim.handlers["report"] = Registered(new, old.function)
        self.sim.press("restart", "i2")
        yield self.sim.env.timeout(1.0)
        self.sim.handlers["report"] = old


class Thursday(BadDay):
    """One backup never ends, and it has no timeout."""

    seed_of_the_day = 14

    async def backup(self, ctx: Context) -> None:
        await ctx.work(1e5 if self.late() and self.sim.time < MOMENT + 10 else 1.5)


class Friday(BadDay):
    """The report computes for five seconds without awaiting, so its instance cannot renew its lease meanwhile."""

    seed_of_the_day = 15

    async def report(self, ctx: Context) -> None:
        if self.late() and luck(ctx).random() < 0.7:
            await ctx.hog(6.0)
        await super().report(ctx)


DAYS: dict[str, type[BadDay]] = {
    day.__name__.lower(): day for day in (Monday, Tuesday, Wednesday, Thursday, Friday)
}


def anonymous(rec: Recording) -> Recording:
    """The same without what a cluster cannot know of itself."""
    told = msgspec.structs.replace(
        rec, plan=[], journals=[], fault_log=[], message_log=[], seed=None,
        options={"settings": rec.options["settings"]},
    )  # fmt: skip
    for event in told.history:
        if event.kind == "INSTANCE_JOINED":
            event.data["hostname"] = f"{event.instance}.shop.example"
    return told


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, day in DAYS.items():
        rec, path = anonymous(day().live()), FOLDER / f"{name}.json.gz"
        rec.save(path)
        print(f"{path.name}: {len(rec.history)} events, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
