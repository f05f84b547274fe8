"""How long `explore` takes for two clients of six commands each, and with deaths and pauses.

python tests/benchmarks/bench_explore.py
"""

from __future__ import annotations

import time

from labsched.worlds import explore

TARGET = 3.0  # seconds, for the 924 plain orders


async def six(client, redis):
    for _ in range(6):
        await redis.incr("n")


def main() -> None:
    for options in ({}, {"crashes": True}, {"pauses": True}):
        began, worked = time.perf_counter(), time.process_time()
        found = explore(six, invariant=lambda outcome: True, **options)
        took, busy = time.perf_counter() - began, time.process_time() - worked
        told = ", ".join(options) or "plain"
        each = busy / found.total * 1e3
        print(f"{told:<8} {found.total:>6} orders  {took:6.2f} s, {busy:6.2f} s of work, {each:.2f} ms each")
        if not options:
            print(f"{'':<8} target: under {TARGET:g} s: {'reached' if took < TARGET else 'MISSED'}")


if __name__ == "__main__":
    main()
