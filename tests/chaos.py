"""Chaos on real processes: kills, pauses, cut links, drains and server restarts, drawn from a seed.

    python -m tests.chaos --seconds 60 --seed 7

After the faults comes a healthy spell, in which everything must come to an end; then every guarantee is
checked. A run that violates one is saved, and its seed printed. Real processes do not replay exactly: the
seed gives the same faults at the same times, the recording says what came of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labsched import Settings
from labsched.errors import LabschedError
from labsched.model import State
from labsched.worlds import ProcessCluster, Recording

APP = f"{Path(__file__).with_name('chaos_app.py')}:app"
SETTINGS = Settings(
    pool_size=8, leader_lease="1.5s", leader_renew_deadline="1s", leader_retry="300ms", heartbeat_every="300ms",
    instance_lease="1.5s", lease_margin="400ms", cancel_grace="200ms", sweep_every="500ms", drain_timeout="3s",
    request_timeout="500ms", web_enabled=False,
)  # fmt: skip
SPARED_FOR = 10.0  # seconds that one instance is left in peace, before it is another's turn
QUIET_WITHIN = 45.0  # seconds after the last fault by which all triggered work must have ended


async def _kill(cluster: ProcessCluster, name: str, rng: random.Random) -> None:
    await cluster.kill(name)
    await asyncio.sleep(rng.uniform(0.1, 3))
    await cluster.restart(name)


async def _pause(cluster: ProcessCluster, name: str, rng: random.Random) -> None:
    await cluster.pause(name)
    await asyncio.sleep(rng.uniform(0.2, 4))
    await cluster.resume(name)


async def _cut(cluster: ProcessCluster, name: str, rng: random.Random) -> None:
    await cluster.partition(name, rng.choice(["both", "requests", "replies"]))
    await asyncio.sleep(rng.uniform(0.2, 4))
    await cluster.heal(name)


async def _drain(cluster: ProcessCluster, name: str, rng: random.Random) -> None:
    await cluster.terminate(name)
    await asyncio.sleep(rng.uniform(0, 1))
    await cluster.restart(name)


VERBS = [_kill, _kill, _pause, _cut, _cut, _drain]


class Spared:
    """Whose turn it is to be left in peace: a promise of recovery needs somebody who can keep it.

    A fault that began before goes on, so that now and then nobody is well.
    """

    def __init__(self, names: Sequence[str], rng: random.Random) -> None:
        self._names, self._began = rng.sample(names, len(names)), time.monotonic()

    def now(self) -> str:
        turn = int((time.monotonic() - self._began) / SPARED_FOR)
        return self._names[turn % len(self._names)]


async def _hurt(cluster: ProcessCluster, name: str, spared: Spared, rng: random.Random, until: float) -> None:
    """Faults for one instance, one after the other; the last is undone before this returns."""
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(rng.uniform(0.5, 6), left))
        verb, luck = rng.choice(VERBS), random.Random(rng.random())
        if time.monotonic() < until and name != spared.now():
            await verb(cluster, name, luck)


async def _restart_server(cluster: ProcessCluster, rng: random.Random, until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(rng.uniform(12, 25), left))
        if time.monotonic() < until:
            if rng.random() < 0.5:
                await cluster.kill_server()
                await asyncio.sleep(rng.uniform(0, 0.5))
            await cluster.restart_server()


async def _load(cluster: ProcessCluster, rng: random.Random, until: float) -> list[str]:
    """Triggers of every kind; each key is sent again until the server has answered for it."""
    ids: list[str] = []
    batch = 0
    while time.monotonic() < until:
        batch += 1
        name = rng.choice(["job", "job", "job", "limited", "threaded", "apart"])
        size = {"job": rng.randint(1, 20), "limited": rng.randint(1, 20)}.get(name, 2)
        payloads: list[dict[str, Any]] = [{} for _ in range(size)]
        if name == "job":
            payloads = [{"n": n, "takes": rng.choice([0.0, 0.0, 0.01, 0.05, 0.5])} for n in range(size)]
        keys = [f"{batch}-{n}" for n in range(size)]
        while True:
            with contextlib.suppress(LabschedError):
                ids += await cluster.app.trigger_many(name, payloads, keys)
                break
            await asyncio.sleep(0.2)
        if rng.random() < 0.3:
            with contextlib.suppress(LabschedError):
                await cluster.app.cancel(rng.choice(ids), force=rng.random() < 0.3)
        await asyncio.sleep(rng.uniform(0, 0.6))
    return ids


async def _all_quiet(cluster: ProcessCluster, within: float) -> dict[str, int]:
    """Wait until nothing triggered is left; what is left otherwise, by state."""
    until = time.monotonic() + within
    while True:
        sizes = await cluster.app.registry.sizes()
        left = {str(s): n for s, n in sizes.items() if not s.terminal and n}
        # Slots go on: only a backlog that shrinks to the few runs of the moment counts as quiet.
        waiting = sum(left.values()) - sizes[State.RUNNING]
        if waiting <= 2 or time.monotonic() > until:
            return left if waiting > 2 else {}
        await asyncio.sleep(0.2)


async def run(seconds: float, seed: int, instances: int = 3) -> tuple[Recording, dict[str, int]]:
    """One chaos run: its recording, and what was still waiting after the healthy spell."""
    rng = random.Random(seed)
    async with ProcessCluster(
        instances, app=APP, settings=SETTINGS, namespace="chaos", appendonly="always"
    ) as cluster:
        until = time.monotonic() + seconds
        spared = Spared(cluster.names, random.Random(rng.random()))
        async with asyncio.TaskGroup() as group:
            for name in cluster.names:
                group.create_task(_hurt(cluster, name, spared, random.Random(rng.random()), until))
            group.create_task(_restart_server(cluster, random.Random(rng.random()), until))
            group.create_task(_load(cluster, random.Random(rng.random()), until))
        await cluster.ready()
        left = await _all_quiet(cluster, QUIET_WITHIN)
        # An undisturbed spell, so that what is owed can be judged (`nothing-lost` settles for some 6 s).
        await asyncio.sleep(9)
        return await cluster.recording(), left


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--instances", type=int, default=3)
    parser.add_argument("--out", default="chaos.json.gz")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    recording, left = asyncio.run(run(options.seconds, seed, options.instances))
    recording.save(options.out)
    report = recording.check()
    print(report)
    print(f"{len(recording.history)} events, {len(recording.faults)} faults, recording in {options.out}")
    if left:
        print(f"still waiting {QUIET_WITHIN:g} s after the last fault: {left}")
    for violation in report.violations[:20]:
        print(f"VIOLATED {violation.guarantee}: {violation.sentence}")
    return 0 if report.ok and not left else 1


if __name__ == "__main__":
    sys.exit(main())
