"""Jobs that come by chance and take as long as chance has it, on four places: what notebook 13 loads and overloads.

Two instances run two attempts each. A job takes an exponential time of 1 s on average, so that four a second is all
they can do.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import math
import random
from dataclasses import dataclass
from typing import Any

from labsched import BacklogFull, Scheduler, manual
from labsched.config import Settings
from labsched.context import Context
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.simulation import Simulation

PLACES, MEAN = 4, 1.0
SETTINGS = Settings(pool_size=2)


async def job(ctx: Context, *, takes: float) -> None:
    await ctx.work(takes)


def app(max_backlog: int = 1_000_000) -> Scheduler:
    """One task, `job`, that is only ever triggered."""
    made = Scheduler("fake", settings=SETTINGS)
    made.add("job", manual(), job, max_backlog=max_backlog)
    return made


def loaded(load: float, seconds: float, seed: int = 1) -> Recording:
    """Poisson arrivals at `load` (1 is all that four places can do) for that many virtual seconds."""
    luck = random.Random(f"load {load} {seed}")

    async def feed(app: Any) -> None:
        while True:
            await asyncio.sleep(luck.expovariate(load * PLACES / MEAN))
            await app.trigger("job", takes=luck.expovariate(1 / MEAN))

    with Simulation(2, seed=seed, app=app(), messages=False) as sim:
        sim.at(1).call(feed)
        return sim.run(until=1 + seconds)


def ideal(load: float, seconds: float, seed: int = 1) -> list[tuple[float, float]]:
    """The jobs of `loaded` in a queue that costs nothing: when each comes and how long it waits. Each takes the place
    that is free first (Kiefer and Wolfowitz, 1955)."""
    luck, free, told, t = random.Random(f"load {load} {seed}"), [0.0] * PLACES, [], 1.0
    while (t := t + luck.expovariate(load * PLACES / MEAN)) < 1 + seconds:
        begins = max(t, heapq.heappop(free))
        told.append((t, begins - t))
        heapq.heappush(free, begins + luck.expovariate(1 / MEAN))
    return told


def erlang_c(load: float, places: int = PLACES) -> float:
    """The probability that a job has to wait in M/M/c: A. K. Erlang, 1917."""
    offered, term, below = load * places, 1.0, 0.0
    for n in range(places):
        below += term
        term *= offered / (n + 1)
    above = term / (1 - load)
    return above / (below + above)


def mean_wait(load: float, places: int = PLACES) -> float:
    """Seconds that a job waits on average in M/M/c with a mean service time of MEAN."""
    return erlang_c(load, places) * MEAN / (places * (1 - load))


def p99_wait(load: float, places: int = PLACES) -> float:
    """Seconds that 99 of 100 jobs wait less than in M/M/c: whoever waits does so for an exponential time."""
    return max(math.log(erlang_c(load, places) / 0.01) * MEAN / (places * (1 - load)), 0.0)


# --- overload


@dataclass(frozen=True)
class Policy:
    """What the server accepts and what its callers do. Times in seconds.

    `max_backlog`: jobs that may wait. A caller waits `patience` for its job, then asks again after `pause`, `factor`
    times as long after each further try, and gives up after `retries`. `cancel`: it takes back the job that it no
    longer waits for.
    """

    max_backlog: int = 1_000_000
    patience: float = 3.0
    retries: int = 20
    pause: float = 0.0
    factor: float = 1.0
    cancel: bool = False


PULSE = (12.0, 20.0)  # seconds between which three times as many callers come
UNTIL, CALM, HIGH = 50.0, 2.4, 8.0  # callers per second


@dataclass
class Day:
    """What came of it: `calls` as (when, seconds until served or None), and the recording."""

    calls: list[tuple[float, float | None]]
    recording: Recording

    def served(self, start: float, end: float) -> float:
        """The share of those who called in that time and were served in the end."""
        there = [took for at, took in self.calls if start <= at < end]
        return sum(took is not None for took in there) / max(len(there), 1)

    def waiting(self, t: float) -> int:
        """Jobs in the queue at that time."""
        runs = self.recording.executions
        return int(((runs.created <= t) & ~(runs.started <= t) & ~(runs.ended <= t)).sum())

    @property
    def longest_queue(self) -> int:
        return max(self.waiting(float(t)) for t in range(1, round(UNTIL)))


@functools.lru_cache(maxsize=6)
def day(policy: Policy, seed: int = 1) -> Day:
    """50 s with a pulse from 12 s to 20 s."""
    luck, calls = random.Random(f"day {seed}"), list[tuple[float, float | None]]()

    async def caller(app: Any, since: float, takes: float, mine: random.Random) -> None:
        number = len(calls)
        calls.append((since, None))
        pause = policy.pause
        for _ in range(policy.retries + 1):
            try:
                run = await app.trigger("job", takes=takes)
                try:
                    await app.wait(run, timeout=policy.patience)
                    calls[number] = (since, sim.time - since)
                    return
                except TimeoutError:
                    if policy.cancel:
                        await app.cancel(run)
            except BacklogFull:
                pass
            await asyncio.sleep(pause * mine.uniform(0.5, 1.5) + 0.01)
            pause *= policy.factor

    async def feed(app: Any) -> None:
        tasks = set()
        while sim.time < UNTIL - 5:
            rate = HIGH if PULSE[0] <= sim.time < PULSE[1] else CALM
            await asyncio.sleep(luck.expovariate(rate))
            mine = random.Random(luck.random())
            task = asyncio.create_task(caller(app, sim.time, luck.expovariate(1 / MEAN), mine))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(60)

    with Simulation(2, seed=seed, app=app(policy.max_backlog), messages=False) as sim:
        sim.at(1).call(feed)
        rec = sim.run(until=UNTIL)
    return Day(calls, rec)
