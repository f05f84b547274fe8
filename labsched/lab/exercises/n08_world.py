"""A stream of jobs, a group of workers, and what became of each job: what notebook 08 kills and mends.

The stream is `jobs`, its group `workers`. A feeder puts jobs in; each worker is a machine that runs
`await worker(machine, work)` for ever. `await work(id, fields)` does the job, whoever calls it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from labsched.worlds.simulated.guest import Machine
from labsched.worlds.simulated.simulation import Simulation

from .guests import Stopped

STREAM, GROUP = "jobs", "workers"
Work = Callable[[Any, Any], Awaitable[None]]
Worker = Callable[[Machine, Work], Awaitable[Any]]
STEP = 0.5  # seconds
LAST_BIT = 0.02  # seconds from when the work has had its effect to when its function returns
MOST_COMMANDS = 60  # per STEP and machine: beyond it a worker asks without ever waiting


class Job(NamedTuple):
    """Put in at `at` seconds, takes `takes` seconds of work."""

    at: float
    takes: float


class Death(NamedTuple):
    """`who` is killed at `at`, and started again at `back` (0: never). Seconds."""

    who: str
    at: float
    back: float = 0.0


@dataclass
class Delivery:
    """One time that a job was worked on. `end` is None when it was never finished. Seconds."""

    job: int
    who: str
    start: float
    end: float | None = None


@dataclass
class Day:
    """What became of all jobs."""

    about: str
    jobs: Sequence[Job]
    deaths: Sequence[Death]
    until: float
    deliveries: list[Delivery] = field(default_factory=list)
    requests: list[tuple[float, str, str]] = field(default_factory=list)  # when, by whom, which command
    pending: int = 0  # entries that were delivered and not acknowledged, at the end
    restless: str = ""  # who asked without ever waiting, if somebody did

    def __repr__(self) -> str:
        return (
            f"{self.about}: {len(self.jobs)} jobs, {len(self.lost)} lost, {len(self.doubled)} worked on twice"
        )

    @property
    def lost(self) -> list[int]:
        """Jobs that nobody finished."""
        done = {delivery.job for delivery in self.deliveries if delivery.end is not None}
        return [job for job in range(len(self.jobs)) if job not in done]

    @property
    def doubled(self) -> list[int]:
        """Jobs that were finished more than once, or begun anew although whoever had them lived and worked."""
        return sorted(
            {
                later.job
                for earlier in self.deliveries
                for later in self.deliveries
                if self._again(earlier, later)
            }
        )

    def _again(self, earlier: Delivery, later: Delivery) -> bool:
        if earlier is later or earlier.job != later.job or later.start < earlier.start:
            return False
        return earlier.end is not None or self.died(earlier) > later.start

    def died(self, delivery: Delivery) -> float:
        """When whoever had it was killed at it; the end of the day for who was not."""
        after = [
            death.at for death in self.deaths if death.who == delivery.who and death.at >= delivery.start
        ]
        return min(after, default=self.until)


def day(
    about: str, worker: Callable[[], Worker], jobs: Sequence[Job], deaths: Sequence[Death] = (), *,
    until: float = 30.0, names: Sequence[str] = ("a", "b"), seed: int = 1,
    go: Callable[[Simulation, float], Any] | None = None,
) -> Day:  # fmt: skip
    """Workers of these names on these jobs. `worker()` is a worker for one life of one machine."""
    told = Day(about, jobs, deaths, until)
    with Simulation(0, seed=seed) as sim:

        async def feeder(machine: Machine) -> None:
            redis: Any = machine.redis
            await redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
            for number, job in enumerate(jobs):
                await machine.sleep(max(0.0, job.at - sim.time))
                await redis.xadd(STREAM, {"job": number, "takes": job.takes})

        async def live(machine: Machine) -> None:
            async def work(id: Any, fields: Any) -> None:
                plain = {_text(name): _text(value) for name, value in fields.items()}
                delivery = Delivery(int(plain["job"]), machine.name, sim.time)
                told.deliveries.append(delivery)
                await machine.sleep(float(plain["takes"]))
                delivery.end = sim.time
                await machine.sleep(LAST_BIT)

            if sim.time < 0.1:
                await machine.sleep(0.1 + 0.01 * names.index(machine.name))  # the group is there by then
            with contextlib.suppress(Stopped):
                await worker()(machine, work)

        async def auditor(machine: Machine) -> None:
            redis: Any = machine.redis
            await machine.sleep(until - 0.01)
            told.pending = (await redis.xpending(STREAM, GROUP))["pending"]

        sim.guest("feeder", feeder)
        sim.guest("auditor", auditor)
        for name in names:
            sim.guest(name, live)
        for death in deaths:
            sim.at(death.at).kill(death.who)
            if death.back:
                sim.at(death.back).restart(death.who)
        _watched(sim, told, go or _advance, names)
    return told


def _advance(sim: Simulation, until: float) -> None:
    sim.advance(until)
    sim.check_troubles()


def _watched(
    sim: Simulation, told: Day, go: Callable[[Simulation, float], Any], names: Sequence[str]
) -> None:
    """Step by step: a worker that asks without end would make the world crawl."""
    seen = 0
    while sim.time < told.until:
        go(sim, min(sim.time + STEP, told.until))
        sent = sim.network.messages(seen)
        seen += len(sent)
        asked = [(at.sent, at.source, at.name) for at in sent if at.kind == "request" and at.source in names]
        told.requests += asked
        busiest = max(names, key=lambda name: sum(who == name for _, who, _ in asked))
        if sum(who == busiest for _, who, _ in asked) > MOST_COMMANDS:
            told.restless, told.until = busiest, sim.time
            return


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
