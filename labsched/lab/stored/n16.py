"""`python -m labsched.lab.stored.n16`: a thousand seeds of the hunt, with the scheduler as it is and with the heron.

A row per seed in `data/sweeps/16-hunt.csv`: what the checks found violated, empty when all held. Then the histories of
the ledger lock that the exercise about invariants is judged on (`16-ledgers.json.gz`). Half an hour on two cores.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pandas as pd

from labsched.lab.exercises import hunting, n16_ledgers
from labsched.lab.exercises.mutants import MUTANTS, mutant
from labsched.worlds import sweep
from labsched.worlds.recording import Recording

FOLDER = Path(__file__).resolve().parents[3] / "data" / "sweeps"
SEEDS, HEALTHY, EACH = 1000, 12, 4


def heron(seed: int) -> Recording:
    with mutant("heron"):
        return hunting.run(seed)


def hunts() -> pd.DataFrame:
    found = {"healthy": sweep(hunting.run, SEEDS).frame, "heron": sweep(heron, SEEDS).frame}
    for name, frame in found.items():
        if frame.error.any():
            raise RuntimeError(f"{name}: {frame.error[frame.error != ''].iloc[0]}")
    return pd.DataFrame({name: frame.violated for name, frame in found.items()})


def ledgers() -> dict[str, list[n16_ledgers.Ledger]]:
    """Of healthy runs, and of runs of each lock mutant in which its owner broke the promise."""
    kept = {"healthy": [n16_ledgers.ledger(hunting.run(seed)) for seed in range(500, 500 + HEALTHY)]}
    for name in MUTANTS:
        if name == "heron":
            continue
        kept[name] = []
        with mutant(name):
            for seed in range(600, 700):
                told = n16_ledgers.ledger(hunting.run(seed))
                if n16_ledgers.broken(told) and len(kept[name]) < EACH:
                    kept[name].append(told)
                if len(kept[name]) == EACH:
                    break
    return kept


def main(what: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    if "ledgers" not in what:
        frame = hunts()
        frame.to_csv(FOLDER / "16-hunt.csv")
        print((frame != "").sum())
    if "hunts" not in what:
        body = json.dumps(ledgers(), separators=(",", ":")).encode()
        (FOLDER / "16-ledgers.json.gz").write_bytes(gzip.compress(body, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
