"""`python -m labsched.lab.stored.n09`: 1,000 invoices sent in each of four ways, while instances are killed.

A row per customer in `data/sweeps/09-letters.csv.gz`: way, seed, customer, letters.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from labsched.lab.exercises.n09_bodies import BODIES
from labsched.lab.exercises.n09_world import invoices

FILE = Path(__file__).resolve().parents[3] / "data" / "sweeps" / "09-letters.csv.gz"
SEEDS, CUSTOMERS = 10, 100


def frame() -> pd.DataFrame:
    rows = []
    for way, body in BODIES.items():
        for seed in range(SEEDS):
            got = invoices(body, CUSTOMERS, seed)[0].letters()
            rows += [
                {"way": way, "seed": seed, "customer": n, "letters": got[f"customer {n}"]}
                for n in range(CUSTOMERS)
            ]
    return pd.DataFrame(rows)


def main() -> None:
    FILE.parent.mkdir(parents=True, exist_ok=True)
    found = frame()
    # Without a time in the file's head the same rows give the same bytes.
    found.to_csv(FILE, index=False, compression={"method": "gzip", "mtime": 0})
    print(found.groupby("way", sort=False).letters.value_counts().unstack(fill_value=0))
    print(f"{FILE.name}: {len(found)} rows, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
