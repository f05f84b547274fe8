"""The grader of 10-alert: nine stored days, looked at once a second, and whether somebody is woken in time."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

from .answers import rebuilt
from .grading import Verdict

FILE = Path(__file__).resolve().parents[3] / "data" / "sweeps" / "10-watch.csv.gz"
SEEN, WITHIN = 30, 25.0  # looks that an alert is shown at most; seconds


class Look(NamedTuple):
    """What `app.metrics()` and one listing tell at a second `t`.

    leader     somebody leads
    instances  members whose lease is not over
    running    attempts, as far as the cluster believes
    waiting    executions that are READY
    oldest     seconds since the oldest of them was made, 0 when nothing waits
    succeeded  executions since the last look
    failed     attempts that failed or were lost since the last look
    """

    t: float
    leader: bool
    instances: int
    running: int
    waiting: int
    oldest: float
    succeeded: int
    failed: int


@functools.cache
def days() -> dict[str, tuple[float | None, tuple[Look, ...]]]:
    """By name: when the trouble begins (None on a harmless day), and the looks."""
    import pandas as pd

    found: dict[str, tuple[float | None, tuple[Look, ...]]] = {}
    for name, rows in pd.read_csv(FILE).groupby("day", sort=False):
        begins = rows.trouble.iloc[0]
        told = rows[list(Look._fields)].to_dict("records")
        looks = tuple(Look(**{str(field): value for field, value in row.items()}) for row in told)
        found[str(name)] = (None if pd.isna(begins) else float(begins), looks)
    return found


def alert(answer: Any) -> Verdict:
    """`alert(looks)`: whether to wake somebody. In time on a bad day, never on a harmless one."""
    wakes = rebuilt(answer)
    for name, (begins, looks) in days().items():
        rung = next(
            (look.t for n, look in enumerate(looks, 1) if wakes(list(looks[max(0, n - SEEN) : n]))), None
        )
        if begins is None and rung is not None:
            return Verdict(False, f"{name}: somebody was woken at {rung:g} s for nothing", "no-false-alarm")
        if begins is not None and rung is not None and rung < begins:
            sentence = f"{name}: somebody was woken at {rung:g} s, and the trouble began at {begins:g} s"
            return Verdict(False, sentence, "no-false-alarm")
        if begins is not None and (rung is None or rung > begins + WITHIN):
            said = "nobody was woken" if rung is None else f"somebody was woken after {rung - begins:g} s"
            return Verdict(False, f"{name}: {said}; allowed are {WITHIN:g} s", "alert-in-time")
    return Verdict(True, f"woken within {WITHIN:g} s on each of the bad days, and on no other")
