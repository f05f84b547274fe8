"""`python -m labsched.lab.stored.n13`: waiting times of jobs at seven loads, in batches.

A row per batch of 40 virtual seconds in `data/sweeps/13-waits.csv`: load, batch, jobs; mean, p50, p95, p99 of their
waits, and `ideal`, the mean of the same jobs in a queue that costs nothing; in seconds. Four runs of 440 s per load,
the first 40 s of each left out. Some minutes on one core.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from labsched.lab.exercises.n13_world import ideal, loaded

FILE = Path(__file__).resolve().parents[3] / "data" / "sweeps" / "13-waits.csv"
LOADS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
RUNS, LONG, BATCH = 4, 440.0, 40.0


def rows(load: float, seed: int) -> list[dict[str, float]]:
    runs = loaded(load, LONG, seed).executions
    waits = runs[runs.started.notna() & (runs.created > BATCH) & (runs.created < LONG)]
    batches = waits.groupby((waits.created // BATCH).astype(int)).late
    best = ideals(load, seed)
    return [
        {
            "load": load, "batch": 0, "jobs": len(found), "mean": float(found.mean()), "ideal": best[number],
            **{f"p{percent}": float(found.quantile(percent / 100)) for percent in (50, 95, 99)},
        }
        for number, found in batches
    ]  # fmt: skip


def ideals(load: float, seed: int) -> dict[int, float]:
    """Mean waits of the same jobs, batch by batch, where nothing costs time but the jobs."""
    waits: dict[int, list[float]] = {}
    for t, wait in ideal(load, LONG, seed):
        waits.setdefault(int(t // BATCH), []).append(wait)
    return {batch: sum(found) / len(found) for batch, found in waits.items()}


def main() -> None:
    found = pd.DataFrame([row for load in LOADS for seed in range(RUNS) for row in rows(load, seed)])
    found["batch"] = found.groupby("load").cumcount()
    FILE.parent.mkdir(parents=True, exist_ok=True)
    found.round(4).to_csv(FILE, index=False)
    print(found.groupby("load").mean().round(3))


if __name__ == "__main__":
    main()
