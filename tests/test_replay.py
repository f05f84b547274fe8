"""The same run again: from its recording, from its seed in other processes and on other Pythons, beside other loops."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from labsched import Scheduler, every, manual
from labsched.errors import ConfigError
from labsched.worlds import Simulation, load
from labsched.worlds.replay import difference, twice
from labsched.worlds.swarm import swarm

ROOT = Path(__file__).parent.parent
TASKS = str(ROOT / "data" / "tasks.yml")
SCRIPT = "from labsched.worlds.swarm import swarm; print(swarm(5, until=16, healthy=6).digest)"


@pytest.fixture(scope="module")
def digest():
    return swarm(5, until=16, healthy=6).digest


def printed(python: str = sys.executable, **env: str) -> str:
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run([python, "-c", SCRIPT], capture_output=True, text=True, timeout=120, env=kept)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_digest_is_the_same_in_five_processes_and_under_any_hash_seed(digest):
    assert {printed(PYTHONHASHSEED=seed) for seed in ("0", "1", "4294967295", "random", "random")} == {digest}


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_digest_is_the_same_on_every_python(digest, version):
    """Tries this one, those that LABSCHED_PYTHONS names and those on PATH, if they have the packages."""
    named = os.environ.get("LABSCHED_PYTHONS", "").split(os.pathsep)
    python = next(
        (
            path
            for path in [sys.executable, *named, shutil.which(f"python{version}")]
            if path and fits(path, version)
        ),
        None,
    )
    if python is None:
        pytest.skip(f"no Python {version} with labsched's packages on PATH or in LABSCHED_PYTHONS")
    assert printed(python) == digest


def fits(python: str, version: str) -> bool:
    ask = "import sys, fakeredis, simpy, lupa, msgspec, cronsim, redis; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", ask], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() == version


def test_the_digest_is_the_same_in_a_thread_beside_a_running_loop(digest):
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        found = await asyncio.to_thread(lambda: swarm(5, until=16, healthy=6).digest)
        ticking.cancel()
        return found, ticks

    found, ticks = asyncio.run(main())
    assert found == digest and ticks > 0


# --- recordings


def by_plan(sim):
    sim.at(5).kill("leader").at(9.5).restart("i2").at(11).failover(lag=0.3, down=1)
    return sim.run(until=20)


def by_call(sim):
    sim.run(until=5)
    sim.kill("leader")
    sim.run(until=9.123456)
    sim.lossy("i2", 0.3).restart("i1")
    return sim.run(until=20)


def by_hand(sim):
    # From inside an instance's own turn: other things of that microsecond have happened already.
    async def press():
        await asyncio.sleep(4.2)
        sim.press("hog", "i2", duration=1.5)
        await asyncio.sleep(4)
        sim.press("kill", "leader")

    sim.life("i3").node.create_task(press())
    return sim.run(until=20)


@pytest.mark.parametrize("faults", [by_plan, by_call, by_hand])
def test_a_recording_runs_again_whoever_made_its_faults(faults, tmp_path):
    with Simulation(3, seed=7, tasks=TASKS) as sim:
        rec = faults(sim)
    assert rec.fault_log
    rec.save(tmp_path / "run.json.gz")
    again = load(tmp_path / "run.json.gz").replay()
    assert again.digest == rec.digest and difference(rec, again) is None
    assert len(again.message_log) == len(rec.message_log)


def test_a_swarm_runs_again_from_its_recording():
    rec = swarm(3, until=25, healthy=8)
    assert rec.fault_log and rec.replay().digest == rec.digest


def test_a_press_happens_one_tick_later_so_that_its_time_says_all_of_its_place():
    with Simulation(2, seed=1, tasks=TASKS) as sim:
        sim.loop.call_at(3.0, lambda: sim.press("kill", "i1"))
        sim.run(until=4)
        assert [round(fault["t"], 7) for fault in sim.faults] == [3.000001]


async def body(ctx):
    await ctx.work(0.2)


def test_tasks_of_ones_own_come_with_the_app(tmp_path):
    app = Scheduler("fake")
    app.add("mine", every("1s"), body)
    with Simulation(2, seed=3, app=app) as sim:
        rec = sim.run(until=8)
    assert rec.replay(app).digest == rec.digest
    with pytest.raises(ConfigError, match="the recording ran mine: pass the app"):
        rec.replay()


def test_what_cannot_be_run_again_is_refused_in_one_line():
    with Simulation(1, seed=1, tasks=TASKS) as sim:
        rec = sim.run(until=3)
    app = Scheduler("fake")
    app.add("mine", manual(), body)
    with Simulation(1, seed=1, app=app) as sim:
        sim.call(lambda app: app.trigger("mine"))
        called = sim.run(until=3)
    real = msgspec.structs.replace(rec, world="real")
    old = msgspec.structs.replace(rec, versions={**rec.versions, "fakeredis": "1.0", "python": "3.9"})
    for wrong, said in (
        (called, r"code of its own \(sim.call\), which no recording holds"),
        (real, "of a real world"),
        (old, r"of fakeredis 1.0 \(here [0-9.]+\): only the same versions"),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            wrong.replay()
        assert "\n" not in str(caught.value)


def test_running_twice_shows_the_first_event_that_differs():
    luck = iter(range(100))

    def careless(seed):
        app = Scheduler("fake")
        app.add("t", every("1s"), lucky)
        with Simulation(1, seed=seed, app=app) as sim:
            return sim.run(until=5)

    async def lucky(ctx):
        await ctx.work(0.1 + 0.01 * next(luck))  # luck of its own: the second run goes on drawing

    rec, found = twice(careless, 1)
    assert found is not None and "SUCCEEDED" in found.first and found.first != found.second
    assert (
        "runs differ from event" in str(found) and list(rec.story())[found.number - 1].decode() == found.first
    )
    assert twice(lambda seed: swarm(seed, until=12, healthy=5), 1)[1] is None
    shorter = msgspec.structs.replace(rec, history=rec.history[:-1])
    end = difference(rec, shorter)
    assert end.number == len(rec.history) and end.second is None and "nothing more" in str(end)
