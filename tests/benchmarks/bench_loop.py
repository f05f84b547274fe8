"""The bare simulated loop: what a hop costs, and how much faster than real time ticking tasks run.

    python tests/benchmarks/bench_loop.py [--rounds 5]

Aims: 4 us for a queue hand-off in a ring of 100 tasks; 2,500 x real time for 100 tasks that tick every 1 to 2 s.
The best of the rounds counts, as other work on the machine only ever makes a round slower.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]

from labsched.worlds.simulated.loop import SimLoop

TASKS, HOPS, SPELL = 100, 20_000, 600


async def ring() -> None:
    """A token goes from queue to queue until it has made HOPS hops."""
    queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(TASKS)]
    done = asyncio.get_running_loop().create_future()

    async def pass_on(i: int) -> None:
        while True:
            hops = await queues[i].get()
            if hops == HOPS:
                done.set_result(None)
                return
            queues[(i + 1) % TASKS].put_nowait(hops + 1)

    tasks = [asyncio.create_task(pass_on(i)) for i in range(TASKS)]
    queues[0].put_nowait(0)
    await done
    for task in tasks:
        task.cancel()


async def ticking() -> None:
    """TASKS tasks that tick every 1 to 2 virtual seconds."""
    rng = random.Random(1)

    async def tick() -> None:
        while True:  # noqa: ASYNC110  (the sleep is what is measured)
            await asyncio.sleep(rng.uniform(1, 2))

    tasks = [asyncio.create_task(tick()) for _ in range(TASKS)]
    await asyncio.sleep(SPELL)
    for task in tasks:
        task.cancel()


def seconds(program) -> float:
    loop = SimLoop()
    began = time.perf_counter()
    loop.run(program())
    took = time.perf_counter() - began
    loop.close()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    hop = min(seconds(ring) for _ in range(rounds)) / HOPS * 1e6
    speed = SPELL / min(seconds(ticking) for _ in range(rounds))
    print(f"{HOPS:,} hand-offs in a ring of {TASKS} tasks   {hop:.2f} us each   (aim: at most 4)")
    print(f"{TASKS} tasks ticking every 1 to 2 s        {speed:,.0f} x real time   (aim: at least 2,500)")


if __name__ == "__main__":
    main()
