"""The simulated server and network: what a script and a command cost, and what a simulated second is made of.

    python tests/benchmarks/bench_fakeserver.py [--rounds 5] [--seconds 300]

Aim: 3 instances with the cadence of the sample tasks at 360 x real time. CPU time of this thread; the best of
the rounds counts, as other work on the machine only ever makes a round slower.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import fakeredis
from simnet import World
from test_sim_network_scheduler import cluster

from labsched.worlds.simulated.interpreter import Interpreter
from labsched.worlds.simulated.loop import SimLoop
from labsched.worlds.simulated.mending import MendedServer
from labsched.worlds.simulated.network import Network

CALLS = 2000
ONE = "return redis.call('GET', KEYS[1])"
TWENTY = """
for i = 1, 20 do redis.call('HSET', KEYS[1] .. 'h', 'f', i) end
return redis.call('HGET', KEYS[1] .. 'h', 'f')
"""


def cpu(work: Callable[[], Any]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def on_fakeredis(*command: Any) -> float:
    """Seconds per command through redis-py and fakeredis."""

    async def main() -> float:
        r = fakeredis.FakeAsyncRedis()
        for _ in range(20):
            await r.execute_command(*command)
        began = time.thread_time()
        for _ in range(CALLS):
            await r.execute_command(*command)
        return (time.thread_time() - began) / CALLS

    return asyncio.run(main())


def on_simulated(*command: Any) -> float:
    """Seconds per command through SimRedis, the network, and the mended fakeredis."""
    loop = SimLoop()
    world = World(loop)
    r = world.client(world.server())
    for_all = [0.0]

    async def main() -> None:
        for _ in range(20):
            await r.execute_command(*command)
        began = time.thread_time()
        for _ in range(CALLS):
            await r.execute_command(*command)
        for_all[0] = (time.thread_time() - began) / CALLS

    loop.run(main())
    loop.close()
    return for_all[0]


def simulate(seconds: float) -> None:
    loop = SimLoop()
    cluster(loop)
    loop.run(until=seconds)
    loop.close()


def shares(seconds: float) -> dict[str, tuple[int, float]]:
    """How often, and CPU seconds, within the parts of a run; what is measured costs more than it does otherwise."""
    parts = {
        "scripts": (Interpreter, "run"),
        "commands, scripts included": (MendedServer, "execute"),
        "sending messages": (Network, "send"),
    }
    found: dict[str, tuple[int, float]] = {}
    kept = {}
    for what, (owner, name) in parts.items():
        kept[what] = original = getattr(owner, name)

        def timed(*args: Any, _what: str = what, _original: Any = original) -> Any:
            began = time.thread_time()
            try:
                return _original(*args)
            finally:
                count, total = found.get(_what, (0, 0.0))
                found[_what] = count + 1, total + time.thread_time() - began

        setattr(owner, name, timed)
    try:
        found["everything"] = 1, cpu(lambda: simulate(seconds))
    finally:
        for what, (owner, name) in parts.items():
            setattr(owner, name, kept[what])
    return found


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=300)
    given = options.parse_args()
    commands = {
        "GET": ("GET", "k"),
        "EVAL of one call": ("EVAL", ONE, 1, "k"),
        "EVAL of 21 calls": ("EVAL", TWENTY, 1, "k"),
    }
    for what, command in commands.items():
        before, now = (
            min(run(*command) for _ in range(given.rounds)) for run in (on_fakeredis, on_simulated)
        )
        print(
            f"{what:18} fakeredis {before * 1e6:6.1f} us ({1 / before:6,.0f}/s)"
            f"   simulated {now * 1e6:6.1f} us ({1 / now:6,.0f}/s)"
        )
    simulate(5)  # compile the scripts
    seconds = given.seconds
    best = min(cpu(lambda: simulate(seconds)) for _ in range(given.rounds))
    print(
        f"3 instances: {seconds / best:.0f} x real time; a simulated hour takes {3600 / seconds * best:.1f} s"
    )
    short = min(cpu(lambda: simulate(60)) for _ in range(given.rounds))
    print(f"60 simulated seconds take {short:.3f} s: {1 / short:.1f} seeds/s")
    found = shares(seconds)
    whole = found["everything"][1]
    for what, (count, total) in found.items():
        print(f"  {what:28} {total / whole:4.0%} {count / seconds:6.1f}/s {total / count * 1e6:6.0f} us each")


if __name__ == "__main__":
    main()
