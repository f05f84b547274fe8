"""Whether the simulated world tells the truth: the same programme in both worlds, and what came of it compared.

The simulated one is given the latencies that were measured on the real one. All durations are seconds.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labsched.app import Scheduler
from labsched.config import Settings
from labsched.connect import open_url
from labsched.model import Kind

from .fidelity_programme import Findings, next_event, programme
from .fidelity_tasks import app as TASKS
from .processes import ProcessCluster
from .simulated.network import ANY, Recorded
from .simulated.simulation import Simulation

LEASE = 0.5
NEAR = 0.2  # of the real median
TASKS_AT = "labsched.worlds.fidelity_tasks:app"


def timings(lease: float = LEASE) -> Settings:
    """Of a cluster that lives on leases so short."""
    return Settings(
        leader_lease=lease, leader_renew_deadline=0.6 * lease, leader_retry=0.2 * lease, instance_lease=lease,
        heartbeat_every=0.2 * lease, lease_margin=0.4 * lease, cancel_grace=0.1 * lease, sweep_every=0.2 * lease,
        drain_timeout=1.0,
    )  # fmt: skip


# --- the worlds ----------------------------------------------------------------------------------------


class _Real:
    def __init__(self, cluster: ProcessCluster, app: Scheduler) -> None:
        self.cluster, self.app = cluster, app

    async def kill(self, name: str) -> float:
        await self.cluster.kill(name)
        killed: float = self.cluster.faults[-1]["at"]
        return killed

    async def restart(self, name: str) -> None:
        await self.cluster.restart(name)
        await self.cluster.ready()


class _Simulated:
    def __init__(self, sim: Simulation, app: Scheduler) -> None:
        self.sim, self.app = sim, app

    async def kill(self, name: str) -> float:
        self.sim.press("kill", name)
        await asyncio.sleep(0.001)
        killed: float = self.sim.faults[-1]["at"]
        return killed

    async def restart(self, name: str) -> None:
        since = (await self.app.snapshot())["last_event"]
        self.sim.press("restart", name)
        await next_event(self.app, since, lambda e: e.kind is Kind.INSTANCE_JOINED and e.instance == name)


async def real(runs: int, lease: float = LEASE) -> Findings:
    """Three processes on an embedded server. We go through a relay as they do, so that a round trip is what it is
    for them."""
    async with ProcessCluster(3, app=TASKS_AT, settings=timings(lease), namespace="fidelity") as cluster:
        url = cluster._link("fidelity")
        async with Scheduler(url, namespace="fidelity", settings=timings(lease)) as app:
            found = await programme(_Real(cluster, app), runs)
        found.service = await _service(url)
        return found


async def _service(url: str) -> float:
    opened = open_url(url)
    try:
        told: Any = await opened.redis.info("commandstats")
        return float(told["cmdstat_evalsha"]["usec_per_call"]) / 1e6
    finally:
        await opened.close()


def simulated(runs: int, ways: Findings, lease: float = LEASE, seed: int = 1) -> Findings:
    """The same on virtual time, with messages and scripts that take as long as they did in `ways`."""
    with Simulation(
        3,
        seed=seed,
        app=TASKS,
        settings=timings(lease),
        network=_recorded(ways.out),
        namespace="fidelity",
        service=ways.service,
    ) as sim:
        sim.network.set_latency(sim.servers[0].name, ANY, _recorded(ways.back))

        async def use(app: Scheduler) -> Findings:
            return await programme(_Simulated(sim, app), runs)

        return sim.call(use)


def _recorded(durations: Sequence[float]) -> Recorded:
    # Two readings of one clock may come out a microsecond the wrong way round.
    return Recorded(tuple(max(seconds, 0.0) for seconds in durations))


# --- the comparison ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line of the table. `same` is None where nothing was promised."""

    what: str
    real: str
    simulated: str
    same: bool | None
    note: str = ""


def compare(real: Findings, sim: Findings) -> list[Row]:
    """Line by line."""
    return [
        Row("executions by state", _counts(real.states), _counts(sim.states), real.states == sim.states),
        Row("events per execution", *_stories(real, sim), real.told == sim.told),
        _durations("request on its way", real.out, sim.out, judged=False),
        _durations("start latency", real.start, sim.start),
        _durations("failover minus lease", real.failover, sim.failover),
        _durations("leader after the lease's end", real.late, sim.late, judged=False),
    ]


def run(runs: int = 50) -> list[Row]:
    """Both worlds, `runs` failovers and twice as many starts each."""
    found = asyncio.run(real(runs))
    return compare(found, simulated(runs, found))


def _durations(what: str, real: Sequence[float], sim: Sequence[float], *, judged: bool = True) -> Row:
    ours, theirs = statistics.median(sim), statistics.median(real)
    off = abs(ours - theirs) / abs(theirs)
    overlap = min(max(real), max(sim)) >= max(min(real), min(sim))
    note = f"median {off:.0%} off, ranges {'overlap' if overlap else 'do not overlap'}"
    return Row(what, _range(real), _range(sim), off <= NEAR and overlap if judged else None, note)


def _range(values: Sequence[float]) -> str:
    low, mid, high = min(values) * 1e3, statistics.median(values) * 1e3, max(values) * 1e3
    return f"{mid:.2f} ms ({low:.2f} to {high:.2f}, n {len(values)})"


def _counts(states: dict[str, int]) -> str:
    return ", ".join(f"{n} {state}" for state, n in sorted(states.items()))


def _stories(real: Findings, sim: Findings) -> tuple[str, str]:
    def total(found: Findings) -> str:
        return f"{sum(len(run) for runs in found.told.values() for run in runs)} in all"

    return total(real), total(sim)
