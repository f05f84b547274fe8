"""The fixtures as a user's own tests get them: from a folder of their own, with nothing of ours but the package."""

from __future__ import annotations

import os
import subprocess
import sys

TESTS = """
import asyncio
import pytest
from labsched import Scheduler, every

app = Scheduler("fake")
worlds = []

@app.task("report", every("5s"))
async def report(ctx):
    await ctx.work(1)
    return "done"

def test_a_report_survives_its_instance(simulation):
    sim = simulation(instances=2, seed=1, app=app)
    worlds.append(sim)
    rec = sim.at(3).kill("leader").run(until=20)
    assert rec.check().ok and "SUCCEEDED" in set(rec.executions.state)

def test_the_world_of_the_test_before_is_closed():
    with pytest.raises(Exception, match="closed"):
        worlds[0].run(until=30)

def test_a_minute_takes_no_time(sim_loop):
    sim_loop.run(asyncio.sleep(60))
    assert sim_loop.time() == 60

def test_what_nobody_caught_fails(sim_loop):
    async def forgets():
        task = asyncio.get_running_loop().create_task(fails())
        await asyncio.sleep(1)
    async def fails():
        raise ValueError("nobody looks")
    sim_loop.run(forgets())
"""


def test_a_users_tests_have_worlds_that_close_and_a_loop_that_forgets_no_exception(tmp_path):
    (tmp_path / "test_mine.py").write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:valkey",
        "test_mine.py",
    ]
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=quiet)
    assert "4 passed, 1 error" in ran.stdout, ran.stdout + ran.stderr
    assert "nobody looks" in ran.stdout and "FAILED" not in ran.stdout
