"""The history of one lock, told without names that give anything away: what an invariant of notebook 16 gets to see."""

from __future__ import annotations

import functools
import gzip
import json
from pathlib import Path
from typing import TypedDict

from labsched.worlds.recording import Recording

FILE = Path(__file__).resolve().parents[3] / "data" / "sweeps" / "16-ledgers.json.gz"
KINDS = {"LOCK_ACQUIRED": "acquired", "LOCK_EXTENDED": "extended", "LOCK_RELEASED": "released"}


class Line(TypedDict):
    """`at` and `until` are seconds; `token` counts the grants from 1; `until` is when the lock may be taken again."""

    at: float
    kind: str
    holder: str
    token: int
    until: float


Ledger = list[Line]


def ledger(rec: Recording, lock: str = "ledger") -> Ledger:
    """Every line of that lock, in the order of the server."""
    told: Ledger = []
    names: dict[str, str] = {}
    ranks: dict[int, int] = {}
    for e in rec.history:
        if e.kind not in KINDS or e.data["lock"] != lock:
            continue
        who = names.setdefault(str(e.instance), f"holder {len(names) + 1}")
        token = ranks.setdefault(e.token or 0, len(ranks) + 1)
        ends = max(e.data["until"], e.data.get("least_until", 0)) / 1000
        told.append({
            "at": round(e.at - rec.started, 3), "kind": KINDS[e.kind], "holder": who, "token": token,
            "until": round(ends - rec.started, 3),
        })  # fmt: skip
    return told


def broken(lines: Ledger) -> str:
    """The reference: why this is not the history of a lock with one holder at a time; empty when it is."""
    token, until, held = 0, float("-inf"), False
    for line in lines:
        at, told = line["at"], f"{line['holder']} (#{line['token']}) at {line['at']:.3f} s"
        if line["kind"] == "acquired":
            if at < until:
                return f"{told} was given the lock, which #{token} had until {until:.3f} s"
            token, held = line["token"], True
        elif line["token"] != token or not held:
            return f"{told} {line['kind']} it, though #{token} was the last to be given it"
        elif at >= until:
            return f"{told} {line['kind']} it, though its time had been over since {until:.3f} s"
        until, held = line["until"], line["kind"] != "released"
    return ""


@functools.cache
def stored() -> dict[str, list[Ledger]]:
    """Ledgers of healthy runs under `healthy`, of each mutant under its name (`labsched/lab/stored/n16.py`)."""
    found: dict[str, list[Ledger]] = json.loads(gzip.decompress(FILE.read_bytes()))
    return found
