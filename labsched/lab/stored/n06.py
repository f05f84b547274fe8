"""`python -m labsched.lab.stored.n06`: how far the server's clock may jump before an instance loses its lease.

A row per run in `data/sweeps/06-server-jump.csv`: lease and jump (seconds), seed (which moment of a heartbeat is hit),
lost (whether an instance lost its lease), ran_twice (executions with a second attempt), late (seconds, the worst
start), held (whether all guarantees held).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from labsched import Scheduler, Settings, manual
from labsched.worlds import Simulation

FILE = Path(__file__).resolve().parents[3] / "data" / "sweeps" / "06-server-jump.csv"
LEASES, SEEDS = (4.0, 8.0), 10
# Not 3 or 7 itself, where fractions of a millisecond decide.
JUMPS = (0.5, 1.0, 1.5, 2.0, 2.5, 2.8, 3.2, 3.5, 4.0, 5.0, 6.0, 6.5, 6.8, 7.2, 7.5, 8.0, 9.0)


def one(lease: float, jump: float, seed: int) -> dict[str, Any]:
    """Three instances, a job of 12 s on its way, and the server's clock jumps ahead."""
    app = Scheduler("fake", settings=Settings(pool_size=2, instance_lease=lease))

    async def job(ctx: Any) -> None:
        await ctx.work(12)

    app.add("job", manual(), job)
    with Simulation(3, seed=seed, app=app, messages=False) as sim:
        sim.at(1).call(lambda app: app.trigger("job"))
        sim.at(6 + seed / SEEDS).skew("server", jump)
        rec = sim.run(until=30)
    lost = any(event.kind == "INSTANCE_LOST" for event in rec.history)
    runs = rec.executions
    return {
        "lease": lease, "jump": jump, "seed": seed, "lost": lost, "ran_twice": int((runs.attempts > 1).sum()),
        "late": round(float(runs.late.max()), 1), "held": rec.check().ok,
    }  # fmt: skip


def main() -> None:
    rows = [one(lease, jump, seed) for lease in LEASES for jump in JUMPS for seed in range(SEEDS)]
    found = pd.DataFrame(rows)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    found.to_csv(FILE, index=False)
    print(found.groupby(["jump", "lease"])[["lost", "held"]].mean().unstack().round(2))
    print(f"{FILE.name}: {len(found)} rows, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
