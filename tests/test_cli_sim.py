"""`labsched sim`: one seed or many, judged, kept and run again; exit codes as everywhere."""

from __future__ import annotations

import random
import shlex

import pytest
from clikit import call, process

from labsched.coordinator import Coordinator
from labsched.worlds import load, swarm_tasks

KILLED = """
instances: 2
tasks: swarm
faults:
  - {at: 3s, verb: kill, target: i1}
until: 30s
"""


@pytest.fixture
def forgetful(monkeypatch):
    """A scheduler that never recovers what the dead held."""

    async def never(self):
        self._sweep_at = self._host.clock.monotonic() + 1000
        return True

    monkeypatch.setattr(Coordinator, "_recover", never)


def test_alone_it_lists_what_there_is():
    shown = call("sim")
    assert shown.code == 0 and "swarm" in shown.out and "pause-past-lease" in shown.out
    assert {"name", "about"} == set(call("sim", "--json").json[0])


def test_one_seed_is_judged_and_the_same_seed_is_the_same_run():
    first, again = (call("sim", "demo", "--seed", "3", "--until", "20s") for _ in range(2))
    assert first.code == 0 and first.out == again.out
    assert "one-execution-per-slot" in first.out and "held" in first.out and "seed 3" in first.out
    other = call("sim", "demo", "--seed", "4", "--until", "20s", "--json").json
    assert (
        other["ok"]
        and other["digest"] not in first.out
        and other["command"].endswith("demo --seed 4 --until 20s")
    )


def test_explain_tells_the_faults_and_what_was_not_done():
    shown = call("sim", "leader-kill", "--seed", "1", "--explain", "--until", "14s")
    assert "kill" in shown.out and "plan" in shown.out and "SUCCEEDED" in shown.out


def test_a_run_is_saved_and_replayed(tmp_path):
    path = tmp_path / "run.json.gz"
    assert call("sim", "swarm", "--seed", "2", "--until", "20s", "--save", str(path)).code == 0
    assert load(path).message_log
    again = call("sim", "--replay", str(path))
    assert again.code == 0 and load(path).digest in again.out


def test_twice_says_that_the_runs_are_the_same():
    shown = call("sim", "demo", "--twice", "--until", "8s")
    assert shown.code == 0 and "the same digest twice" in shown.out


def test_runs_that_differ_exit_1_and_show_where(monkeypatch):
    shared = random.Random(1)  # which the first run leaves in another state than it found it
    monkeypatch.setattr(swarm_tasks, "luck", lambda ctx: shared)
    shown = call("sim", "swarm", "--seed", "1", "--twice", "--until", "16s")
    assert shown.code == 1 and "the runs differ from event" in shown.out


def test_a_violation_exits_1_and_prints_the_seed_and_the_command_that_runs_it_again(forgetful, tmp_path):
    file = tmp_path / "two words.yml"
    file.write_text(KILLED)
    shown = call("sim", str(file), "--seed", "6")
    command = f"labsched sim {shlex.quote(str(file))} --seed 6"
    assert (
        shown.code == 1 and f"seed 6 failed; run it again: {command}" in shown.out and "VIOLATED" in shown.out
    )
    told = call("sim", str(file), "--seed", "6", "--json")
    assert told.code == 1 and not told.json["ok"] and told.json["command"] == command
    assert shlex.split(command)[2] == str(file)
    assert call(*shlex.split(command)[1:]).out == shown.out


def test_many_seeds_are_summed_up_and_failures_saved(forgetful, tmp_path):
    file = tmp_path / "s.yml"
    file.write_text(KILLED)
    words = ("sim", str(file), "--seed", "5", "--seeds", "2", "--jobs", "1", "--save", str(tmp_path / "bad"))
    shown = call(*words)
    assert shown.code == 1 and "2 of 2 seeds failed" in shown.out and "--seed 5" in shown.out
    assert sorted(path.name for path in (tmp_path / "bad").iterdir()) == ["seed-5.json.gz", "seed-6.json.gz"]
    told = call(*words, "--json").json
    assert [one["seed"] for one in told["failures"]] == [5, 6] and told["seeds"] == 2


def test_many_good_seeds_on_two_processes_exit_0():
    shown = process("sim", "demo", "--seeds", "4", "--jobs", "2", "--until", "10s", timeout=120)
    assert shown.code == 0 and "4 seeds, no guarantee violated" in shown.out and shown.err == ""
    row = next(line for line in shown.out.splitlines() if line.startswith("legal-transitions")).split()
    assert row[2:] == ["4", "0", "0.00%", "to", "48.99%"] and int(row[1]) > 100


def test_a_seed_that_raises_is_a_failure_with_its_command(monkeypatch):
    async def broken(self):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Coordinator, "run", broken)
    shown = call("sim", "demo", "--seed", "9", "--until", "5s")
    assert (
        shown.code == 1
        and "seed 9 raised" in shown.err
        and "labsched sim demo --seed 9 --until 5s" in shown.err
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "no scenario is named 'nonsense'"),
        (["demo", "--seed", "-1"], "-1"),
        (["demo", "--until", "soon"], "--until 'soon'"),
        (["demo", "--jobs", "2"], "--jobs goes with --seeds"),
        (["demo", "--seeds", "2", "--twice"], "--twice goes with one seed"),
        (["--seed", "2"], "which SCENARIO?"),
        (["demo", "--replay", "x.json"], "--replay takes no SCENARIO"),
        (["--replay", "x.json", "--seed", "2"], "--replay takes no --seed"),
        (["--replay", "nowhere.json"], "cannot read recording nowhere.json"),
        (
            ["demo", "--until", "2s", "--save", "/nowhere/at/all.json"],
            "--save '/nowhere/at/all.json' cannot be written",
        ),
    ],
)
def test_a_wrong_call_exits_2_with_one_line(words, said):
    shown = call("sim", *words)
    assert shown.code == 2 and said in shown.err and shown.err.count("\n") == 1
