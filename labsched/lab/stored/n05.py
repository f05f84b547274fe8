"""`python -m labsched.lab.stored.n05`: which pauses still hurt, for three intervals of renewal.

A row per run in `data/sweeps/05-pauses.csv`: renew (seconds between renewals), pause (seconds), phase (how far into the
interval the pause began, 0 to 1), hurt (whether the paused holder wrote over its successor).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from labsched.lab.exercises.reports import Report
from labsched.model import Kind
from labsched.worlds.recording import Recording

FILE = Path(__file__).resolve().parents[3] / "data" / "sweeps" / "05-pauses.csv"
RENEWALS, PHASES = (5.0, 3.0, 1.0), 12
PAUSES = [4 + 0.5 * n for n in range(17)]
SOME_TIME = 6.0  # when the first renewals are over


def hurt(rec: Recording) -> bool:
    """Whether a, the first holder, wrote although b had taken the lock."""
    taken = False
    for event in rec.history:
        taken = taken or (event.kind == Kind.LOCK_ACQUIRED and event.instance == "b")
        if event.kind == Kind.FENCE_WRITTEN and event.instance == "a":
            return taken
    return False


def one(renew: float, pause: float, phase: float) -> bool:
    """Whether that pause hurts."""
    # a takes the lock at 1 s and renews from then on.
    begins = 1.0 + renew * (SOME_TIME // renew) + phase * renew
    return hurt(Report(renew=renew, work=20.0, poll=0.1).run(begins, pause, until=26.0))


def frame() -> pd.DataFrame:
    phases = [round((n + 0.5) / PHASES, 3) for n in range(PHASES)]
    rows = [
        {"renew": renew, "pause": pause, "phase": phase, "hurt": one(renew, pause, phase)}
        for renew in RENEWALS
        for pause in PAUSES
        for phase in phases
    ]
    return pd.DataFrame(rows)


def main() -> None:
    FILE.parent.mkdir(parents=True, exist_ok=True)
    found = frame()
    found.to_csv(FILE, index=False)
    print(found.groupby(["renew", "pause"]).hurt.mean().unstack(0).round(2))
    print(f"{FILE.name}: {len(found)} rows, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
