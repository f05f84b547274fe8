"""Switches the safeguards off one by one, and prints which guarantee falls at which seed of the swarm.

python tests/mutation_table.py [--seeds 200] [NAME ...]

NAME is a safeguard of tests/safeguards.py, or one of its pairs, "a + b".
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from mutation import Safeguard, broken, record
from safeguards import PAIRS, SAFEGUARDS


def first_seed(safeguard: Safeguard, seeds: int) -> tuple[int | None, float]:
    """The first seed at which its guarantee falls, and how many seeds an hour were run to find it."""
    began = time.perf_counter()
    for seed in range(seeds):
        if safeguard.breaks in broken(record(seed, safeguard)):
            return seed, (seed + 1) / (time.perf_counter() - began) * 3600
    return None, seeds / (time.perf_counter() - began) * 3600


def row(safeguard: Safeguard, seeds: int) -> str:
    seed, speed = first_seed(safeguard, seeds)
    found = f"none in {seeds}" if seed is None else str(seed)
    return f"| {safeguard.name} | `{safeguard.breaks}` | {found} | {speed:.0f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    known = SAFEGUARDS | PAIRS
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="all that break a guarantee, unless given")
    parser.add_argument("--seeds", type=int, default=200, help="tried for each (default 200)")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in known]
    if unknown or given.seeds < 1:
        parser.error(f"there is no safeguard {unknown[0]!r}" if unknown else "--seeds is 1 or more")
    print("| without | falls | first seed | seeds per hour |\n|---|---|---|---|")
    missed = 0
    for safeguard in [known[name] for name in given.names] or [s for s in known.values() if s.breaks]:
        line = row(safeguard, given.seeds)
        missed += "none in" in line
        print(line, flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
