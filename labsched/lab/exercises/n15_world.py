"""The same incident in both worlds: three instances, six long backups, and the leader gets SIGKILL at work."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import labsched
from labsched.config import Settings
from labsched.worlds.processes import ProcessCluster
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.simulation import Simulation

TASKS = Path(labsched.__file__).with_name("tasks.yml")  # the same as data/tasks.yml
BACKUPS, LONG = 6, "5s"
# Leases of 2 s: whoever waits for one on a real machine waits for seconds, not for a coffee.
SETTINGS = Settings(
    pool_size=2, instance_lease=2.0, heartbeat_every=0.5, lease_margin=0.5, cancel_grace=0.2, sweep_every=0.5,
    leader_lease=2.0, leader_renew_deadline=1.2, leader_retry=0.4, drain_timeout=8.0,
)  # fmt: skip


def simulated(seed: int) -> Recording:
    """The incident on virtual time; the seed decides when, within two seconds, the leader is killed."""
    with Simulation(3, seed=seed, tasks=TASKS, settings=SETTINGS, messages=False) as sim:
        sim.run(until=2)
        sim.call(ask)
        sim.run(until=3.2 + seed * 0.618 % 1.5)
        sim.kill("leader")
        return sim.run(until=sim.time + 8)


async def ask(app: Any) -> None:
    await app.trigger_many("data-backup", [{"duration": LONG}] * BACKUPS)


async def real(cluster: ProcessCluster) -> str:
    """The incident on a running cluster; returns who was killed. The work is taken up again when this is over."""
    app = cluster.app
    await ask(app)
    while True:
        members = await app.instances()
        if all(member.running for member in members) and any(member.leader for member in members):
            break
        await asyncio.sleep(0.1)
    leader = next(member.name for member in members if member.leader)
    await cluster.kill(leader)
    await cluster.ready()
    while True:
        if not any(run.instance == leader for run in await app.executions("data-backup", "RUNNING")):
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(SETTINGS.sweep_every)
    return leader


def ready_again(rec: Recording) -> float | None:
    """Seconds from the first kill until all that was held is in the queue again; None when nothing was held."""
    kill = rec.faults[rec.faults.kind == "kill"].iloc[0]
    tries = rec.attempts
    held = tries[(tries.instance == kill.target) & (tries.outcome == "LOST") & (tries.started < kill.t)]
    return float(held.ended.max()) - float(kill.t) if len(held) else None


def hard_bound(settings: Settings) -> float:
    """Seconds in which what a killed instance held is READY again: docs/design.md, `bounded-recovery`."""
    return max(settings.instance_lease, settings.leader_lease) + settings.sweep_every
