"""`python -m labsched.lab.stored.n10_watch`: nine days of the shop, looked at once a second by `app.metrics()`.

A row per look in `data/sweeps/10-watch.csv.gz`: day, trouble (when it begins; nothing on a harmless day), and the
fields of `labsched.lab.exercises.n10_watch.Look`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from labsched import Scheduler
from labsched.context import Context
from labsched.lab.exercises.n10_world import Day, luck
from labsched.worlds import Simulation

FILE = Path(__file__).resolve().parents[3] / "data" / "sweeps" / "10-watch.csv.gz"
MOMENT = 40.0


class Watched(Day):
    """A day on which orders may become slow, may hang or may fail, from MOMENT on."""

    def __init__(
        self, seed: int, *, slow: float = 1.0, hangs: bool = False, fails: Callable[[int], bool] | None = None
    ):
        super().__init__(seed=seed)
        self.slow, self.hangs, self.fails = slow, hangs, fails

    async def order(self, ctx: Context, *, n: int) -> None:
        late = self.sim.time >= MOMENT
        if late and self.hangs and n % 4 == 0:
            await ctx.work(1e5)
        await ctx.work(0.25 * luck(ctx).uniform(0.7, 1.3) * (self.slow if late else 1))
        if late and self.fails and self.fails(n):
            raise ConnectionError("no answer")


async def look(app: Scheduler) -> dict[str, Any]:
    """What one look tells, totals still as totals."""
    told, now = await app.metrics(), await app.now()
    ready = await app.executions(state="READY", limit=10_000)
    there = [member for member in told.instances if member.state != "EXPIRED"]
    return {
        "leader": any(member.leader for member in there),
        "instances": len(there),
        "running": told.running,
        "waiting": len(ready),
        "oldest": round((now - min((x.created for x in ready), default=now)) / 1000, 1),
        "succeeded": told.succeeded,
        "failed": told.failed + told.dead + told.lost + sum(task.retried for task in told.tasks),
    }


def looks(day: Day, change: Callable[[Simulation], object]) -> Iterator[dict[str, Any]]:
    """One a second, `succeeded` and `failed` since the last."""
    with day.world() as sim:
        change(sim)
        before = {"succeeded": 0, "failed": 0}
        for second in range(2, 90):
            sim.advance(second)
            told = sim.call(look)
            yield {"t": second, **told, **{name: told[name] - before[name] for name in before}}
            before = {name: told[name] for name in before}


def nothing(sim: Simulation) -> None:
    """An ordinary day, seen from outside."""


def burst(sim: Simulation) -> None:
    """100 orders at once: seven seconds of work for six slots."""
    sim.at(MOMENT).call(lambda app: app.trigger_many("order", [{"n": n} for n in range(100)]))


def rolling(sim: Simulation) -> None:
    for number, name in enumerate(sim.names):
        sim.at(MOMENT + 8 * number).terminate(name).at(MOMENT + 8 * number + 4).restart(name)


def failover(sim: Simulation) -> None:
    victim = sim.leader or sim.names[0]
    sim.at(MOMENT).kill(victim).at(MOMENT + 6).restart(victim)


def gone(sim: Simulation) -> None:
    for name in sim.names:
        sim.at(MOMENT).kill(name)


DAYS: dict[str, tuple[Watched, Callable[[Simulation], object], bool]] = {
    "an ordinary day": (Watched(21), nothing, False),
    "a burst of orders": (Watched(22), burst, False),
    "a rolling restart": (Watched(23), rolling, False),
    "a failover": (Watched(24), failover, False),
    "one order in twenty fails at first": (Watched(25, fails=lambda n: n % 20 == 0), nothing, False),
    "a slow database": (Watched(26, slow=6.0), nothing, True),
    "orders that hang": (Watched(27, hangs=True), nothing, True),
    "every instance gone": (Watched(28), gone, True),
    "every order fails": (Watched(29, fails=lambda n: True), nothing, True),
}


def main() -> None:
    FILE.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, (day, change, bad) in DAYS.items():
        trouble = MOMENT if bad else None
        rows += [{"day": name, "trouble": trouble, **told} for told in looks(day, change)]
    frame = pd.DataFrame(rows)
    frame.to_csv(FILE, index=False, compression={"method": "gzip", "mtime": 0})
    print(f"{FILE.name}: {len(frame)} rows, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
