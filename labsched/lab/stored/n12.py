"""`python -m labsched.lab.stored.n12`: up to 500 instances, whose leader is killed, and how fast a queue is worked off.

`data/sweeps/12-crowds.csv.gz`: instances, t (start of a bin of 0.1 s), what (heartbeat, lead, other), requests.
`data/sweeps/12-answers.csv.gz`: instances, gap (s without a leader), before, after (s of the slowest heartbeat).
`data/sweeps/12-throughput.csv.gz`: instances, service (s per command), seed, throughput (jobs per second).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from labsched.lab.exercises.n12_world import KILL_AT, UNTIL, crowd, gap, load, slowest, throughput, worked

FOLDER = Path(__file__).resolve().parents[3] / "data" / "sweeps"
CROWDS = (10, 30, 100, 200, 500)
SERVICE = 0.001  # seconds that the server works for a command in a crowd
INSTANCES, SERVICES, SEEDS = (1, 2, 3, 4, 5, 6, 7, 8), (0.0, 0.005, 0.01), 3


def crowds() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    loads, answers = [], []
    for instances in CROWDS:
        rec = crowd(instances, SERVICE)
        for (t, what), requests in sorted(load(rec).items()):
            loads.append({"instances": instances, "t": round(t, 1), "what": what, "requests": requests})
        slow = {"before": slowest(rec, 8, KILL_AT), "after": slowest(rec, KILL_AT, UNTIL)}
        answers.append({"instances": instances, "gap": gap(rec), **slow})
    return loads, answers


def queues() -> Iterator[dict[str, Any]]:
    for service in SERVICES:
        for instances in INSTANCES:
            for seed in range(SEEDS):
                found = throughput(worked(instances, service, seed=seed))
                yield {
                    "instances": instances,
                    "service": service,
                    "seed": seed,
                    "throughput": round(found, 1),
                }


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    loads, answers = crowds()
    for name, rows in (("crowds", loads), ("answers", answers), ("throughput", list(queues()))):
        frame, path = pd.DataFrame(rows).round(4), FOLDER / f"12-{name}.csv.gz"
        frame.to_csv(path, index=False, compression={"method": "gzip", "mtime": 0})
        print(f"{path.name}: {len(frame)} rows, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
