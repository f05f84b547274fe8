"""`python -m labsched.lab.stored.n11`: how soon lost work is taken up, what that costs, how often in vain.

`data/sweeps/11-failover.csv.gz` has a row per kill: heartbeat, lease, renewals (per lease), victim, seed, recovery (s),
requests (per second, of three instances). `data/sweeps/11-alarms.csv.gz` has a row per run of two minutes with hiccups:
heartbeat, lease, renewals, seed, alarms (attempts taken from the living), hours (of instances).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from labsched.lab.exercises.n11_world import false_alarms, hiccups, killed, recovery, requests, timings

FOLDER = Path(__file__).resolve().parents[3] / "data" / "sweeps"
LEASES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
RENEWALS = (2.5, 4, 8)  # per lease
KILLS, RUNS, UNTIL = 20, 10, 120.0


def _grid() -> Iterator[dict[str, float]]:
    for lease in LEASES:
        for renewals in RENEWALS:
            yield {"heartbeat": lease / renewals, "lease": lease, "renewals": renewals}


def failovers() -> Iterator[dict[str, Any]]:
    for spot in _grid():
        settings = timings(spot["heartbeat"], spot["lease"])
        for seed in range(KILLS):
            for victim in ("leader", "follower"):
                rec = killed(settings, seed, victim)
                found = {"recovery": recovery(rec), "requests": round(requests(rec), 2)}
                yield {**spot, "victim": victim, "seed": seed, **found}


def alarms() -> Iterator[dict[str, Any]]:
    for spot in _grid():
        settings = timings(spot["heartbeat"], spot["lease"])
        for seed in range(RUNS):
            rec = hiccups(settings, seed, UNTIL)
            yield {**spot, "seed": seed, "alarms": false_alarms(rec), "hours": 3 * UNTIL / 3600}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, rows in (("11-failover", failovers), ("11-alarms", alarms)):
        frame, path = pd.DataFrame(rows()), FOLDER / f"{name}.csv.gz"
        frame.to_csv(path, index=False, compression={"method": "gzip", "mtime": 0})
        print(f"{path.name}: {len(frame)} rows, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
