"""What notebook 12 stands on: a queue of jobs and a server that takes its time; many instances and a leader's death."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Generator
from typing import Any

from labsched import Scheduler, Settings, every, manual
from labsched.context import Context
from labsched.worlds import Recording, Simulation

MOST_AT_ONCE = 100  # instances that a Simulation makes by itself
START_WITHIN = 5.0  # seconds in which the instances of a crowd are started, one after the other
KILL_AT, UNTIL = 16.0, 30.0
BIN = 0.1  # seconds


def worked(instances: int, service: float, jobs: int = 400, seed: int = 1) -> Recording:
    """So many jobs of about 0.1 s in one go, four at once on each instance; the server works `service` seconds for
    each command."""

    async def job(ctx: Context) -> None:
        await ctx.work(random.Random(ctx.execution).uniform(0.05, 0.15))

    app = Scheduler("fake", settings=Settings(pool_size=4))
    app.add("job", manual(), job)
    with Simulation(instances, seed=seed, app=app, service=service) as sim:
        sim.run(until=2)
        sim.call(lambda app: app.trigger_many("job", [{}] * jobs, keys=[str(n) for n in range(jobs)]))
        return sim.run(until=sim.time + jobs * (0.1 / 4 / instances + service * 2) + 2)


def throughput(rec: Recording) -> float:
    """Jobs per second between the first start and the last end."""
    began = min(event.at for event in rec.history if event.kind == "RUNNING")
    ended = [event.at for event in rec.history if event.kind == "SUCCEEDED"]
    return len(ended) / (max(ended) - began)


def crowd(instances: int, service: float = 0.0, seed: int = 1) -> Recording:
    """So many instances, started over five seconds; the leader is killed at 16 s. A quick task keeps them company."""

    async def tick(ctx: Context) -> None: ...

    app = Scheduler("fake", settings=Settings(pool_size=1))
    app.add("tick", every("1s"), tick)
    with Simulation(1, seed=seed, app=app, service=service) as sim:
        luck = random.Random(f"starts {seed}")
        starts = sorted(round(luck.uniform(0.1, START_WITHIN), 4) for _ in range(instances - 1))
        sim.process(_start(sim, starts))
        sim.at(KILL_AT).kill("leader")
        return sim.run(until=UNTIL)


def _start(sim: Simulation, starts: list[float]) -> Generator[Any, Any, None]:
    for number, t in enumerate(starts, 2):
        yield sim.env.timeout(t - sim.time)
        sim.start_life(f"i{number}")


def load(rec: Recording) -> dict[tuple[float, str], int]:
    """Requests by when they were sent, in bins of 0.1 s, and by what they ask for: heartbeat, lead, other."""
    found: Counter[tuple[float, str]] = Counter()
    for m in rec.message_log:
        if m.kind == "request":
            name = m.name.partition(" ")[0]
            found[int(m.sent / BIN) * BIN, name if name in ("heartbeat", "lead") else "other"] += 1
    return dict(found)


def gap(rec: Recording) -> float:
    """Seconds from the kill to the next election."""
    elected = [event.at - rec.started for event in rec.history if event.kind == "LEADER_ELECTED"]
    return min(t for t in elected if t > KILL_AT) - KILL_AT


def slowest(rec: Recording, start: float, end: float) -> float:
    """The longest that an answer took, of requests sent in that stretch."""
    asked: dict[str, float] = {}
    worst = 0.0
    for m in rec.message_log:
        if m.kind == "request" and m.name == "heartbeat" and start <= m.sent < end:
            asked[m.source] = m.sent
        elif m.kind == "reply" and m.name == "heartbeat" and m.destination in asked:
            worst = max(worst, m.arrived - asked.pop(m.destination)) if m.arrived else worst
    return worst
