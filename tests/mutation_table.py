"""Switches the safeguards off one by one, and prints which guarantee falls at which seed of the swarm.

python tests/mutation_table.py [--seeds 200] [--jobs 1] [NAME ...]

NAME is a safeguard of tests/safeguards.py, or one of its pairs, "a + b".
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from mutation import Safeguard, broken, record
from safeguards import PAIRS, SAFEGUARDS


def first_seed(safeguard: Safeguard, seeds: int) -> tuple[int | None, float]:
    """The first seed at which its guarantee falls, and how many seeds an hour were run to find it."""
    began = time.perf_counter()
    for seed in range(seeds):
        if safeguard.breaks in broken(record(seed, safeguard)):
            return seed, (seed + 1) / (time.perf_counter() - began) * 3600
    return None, seeds / (time.perf_counter() - began) * 3600


def row(name: str, seeds: int) -> str:
    safeguard = (SAFEGUARDS | PAIRS)[name]
    seed, speed = first_seed(safeguard, seeds)
    found = f"none in {seeds}" if seed is None else str(seed)
    return f"| {name} | `{safeguard.breaks}` | {found} | {speed:.0f} |"


def rows(names: Sequence[str], seeds: int, jobs: int) -> Iterator[str]:
    """In the order of `names`."""
    if jobs == 1:
        yield from (row(name, seeds) for name in names)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(row, names, itertools.repeat(seeds))


def main(arguments: Sequence[str] | None = None) -> int:
    known = SAFEGUARDS | PAIRS
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="all that break a guarantee, unless given")
    parser.add_argument("--seeds", type=int, default=200, help="tried for each (default 200)")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the rows (default 1)")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in known]
    if unknown or min(given.seeds, given.jobs) < 1:
        parser.error(
            f"there is no safeguard {unknown[0]!r}" if unknown else "--seeds and --jobs are 1 or more"
        )
    print("| without | falls | first seed | seeds per hour |\n|---|---|---|---|")
    missed = 0
    for line in rows(given.names or [s.name for s in known.values() if s.breaks], given.seeds, given.jobs):
        missed += "none in" in line
        print(line, flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
