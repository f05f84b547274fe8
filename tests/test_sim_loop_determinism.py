"""The same code and seed give the same run: in one process, in others, under any hash seed, on each Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import simpy
from sim_trace import Scene

ROOT = Path(__file__).parent.parent


def told_elsewhere(python: str | Path, hash_seed: str) -> list[str]:
    """The trace of seed 7 from a process of its own. The versions share SimPy, which is pure Python."""
    process = subprocess.run(
        [python, str(ROOT / "tests" / "sim_trace.py"), "7"],
        env={
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(simpy.__file__).parents[1])]),
        },
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def interpreter(version: str) -> str | None:
    """CPython of that version on the path or under pyenv."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for found in (shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return str(found)
    return None


@pytest.fixture(scope="module")
def told() -> list[str]:
    return Scene(7).run()


def test_the_trace_tells_of_everything_that_the_scene_holds(told):
    text = "\n".join(told)
    for what in (
        "put",
        "got",
        "tired",
        "hopped",
        "aborted",
        "timed out",
        "leaves",
        "done",
        "completed",
        "numbers",
        "fault",
    ):
        assert f" {what}" in text
    assert len(told) > 500


def test_a_second_run_tells_the_same(told):
    assert Scene(7).run() == told


def test_another_seed_tells_something_else(told):
    assert Scene(8).run() != told


def test_a_run_is_not_changed_by_another_that_takes_turns_with_it(told):
    one, two = Scene(7), Scene(8)
    order: list[Scene] = []
    two.loop.call_at(15, lambda: order.append(two))
    for scene in (one, two):
        scene.loop.run(until=0)
    two.run()
    assert one.run() == told


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_a_new_process_tells_the_same_under_any_hash_seed(told, hash_seed):
    assert told_elsewhere(sys.executable, hash_seed) == told


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_each_python_tells_the_same(told, version):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no CPython {version} was found on the path or under pyenv")
    assert told_elsewhere(python, "random") == told
