"""`sweep`: many seeds, few words about each, and nothing that one seed does ends the others."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
import pytest
from outside import ended

import labsched
from labsched.errors import ConfigError
from labsched.worlds import Simulation, load, sweep
from labsched.worlds.outcomes import SeedOutcome, SweepResult
from labsched.worlds.proportions import rule_of_three, wilson
from labsched.worlds.sweeper import ELSEWHERE

TASKS = str(Path(__file__).parent.parent / "data" / "tasks.yml")


def calm(seed):
    with Simulation(2, seed=seed, tasks=TASKS, messages=False) as sim:
        return sim.run(until=6)


def holed(rec):
    """The same recording, but one run ends that never began."""
    first = next(e for e in rec.history if e.kind == "RUNNING")
    return msgspec.structs.replace(rec, history=[e for e in rec.history if e is not first])


def odd(seed):
    """Seed 1 violates, seed 2 raises."""
    if seed == 2:
        raise RuntimeError("no luck")
    return holed(calm(seed)) if seed == 1 else calm(seed)


def test_every_seed_is_judged_and_told_in_a_row():
    result = sweep(calm, 3, jobs=1)
    assert result.ok and len(result) == 3 and not result.stopped
    frame = result.frame
    assert list(frame.index) == [0, 1, 2] and frame.ok.all() and (frame.events > 10).all()
    assert frame.digest.tolist() == [calm(seed).digest for seed in range(3)]
    assert frame.seconds.between(5.9, 6.1).all()
    assert frame["tested one-execution-per-slot"].gt(0).all()
    assert "3 seeds, no guarantee violated: too few to say more" in str(result)
    many = SweepResult(result.outcomes * 67, 201, "", 1.0)
    assert "201 seeds, no guarantee violated: with 95 % certainty under 1.5 % of all do" in str(many)


def test_what_a_seed_violates_or_raises_is_its_result_and_the_others_go_on(tmp_path):
    result = sweep(odd, [3, 1, 2, 0], jobs=1, save=tmp_path / "bad")
    assert [one.seed for one in result.failures] == [1, 2] and len(result) == 4
    violated, raised = result.failures
    assert "legal-transitions" in violated.broken and violated.violations
    assert raised.error == "RuntimeError: no luck" and "in odd" in raised.trace
    assert [path.name for path in (tmp_path / "bad").iterdir()] == ["seed-1.json.gz"]
    assert load(violated.saved).check().violations[0] == violated.violations[0]
    assert all(one.recording == b"" for one in result)
    row = result.guarantees.loc["legal-transitions"]
    assert (row.violated, row.exercised) == (1, 3) and math.isnan(row.at_most)
    assert row.low == pytest.approx(wilson(1, 3)[0])
    assert result.guarantees.loc["one-holder"].at_most == 1.0
    assert "2 of 4 seeds failed (1 raised)" in str(result) and "seed 2: RuntimeError: no luck" in str(result)


def test_processes_are_spawned_and_functions_of_a_notebook_reach_them():
    space = {"__name__": "__main__", "tasks": TASKS}
    code = """
def body(seed):
    import multiprocessing
    from labsched.worlds import Simulation
    assert multiprocessing.parent_process() is not None and bound == 4
    with Simulation(2, seed=seed, tasks=tasks, messages=False) as sim:
        return sim.run(until=bound)
bound = 4
measured = lambda rec: {"runs": len(rec.executions)}
"""
    exec(code, space)
    result = sweep(space["body"], 4, jobs=2, measure=space["measured"])
    assert result.ok, str(result)
    assert (result.frame.runs > 2).all() and result.frame.digest.nunique() > 1


def test_ctrl_c_returns_what_is_there():
    def stop(done, total, failed):
        if done == 2:
            raise KeyboardInterrupt

    result = sweep(calm, 50, jobs=1, progress=stop)
    assert len(result) == 2 and result.stopped == "interrupted"
    assert "stopped after 2 of 50 seeds: interrupted" in str(result)


def test_ctrl_c_leaves_no_process_behind():
    import multiprocessing

    def stop(done, total, failed):
        raise KeyboardInterrupt

    before = set(multiprocessing.active_children())
    assert 1 <= len(sweep(calm, 50, jobs=2, progress=stop)) < 50
    assert set(multiprocessing.active_children()) == before


FOREVER = """
import os, time
from pathlib import Path
from labsched.worlds import sweep

def told(seed):
    Path(f"pid-{os.getpid()}").touch()
    time.sleep(600)

if __name__ == "__main__":
    sweep(told, 4, jobs=2)
"""


def test_processes_of_a_sweep_end_when_the_one_that_called_is_killed(tmp_path):
    (tmp_path / "forever.py").write_text(FOREVER)
    where = {**os.environ, "PYTHONPATH": str(Path(labsched.__file__).parent.parent)}
    caller = subprocess.Popen([sys.executable, "forever.py"], cwd=tmp_path, env=where)
    try:
        until = time.monotonic() + 60
        while len(pids := [int(f.name[4:]) for f in tmp_path.glob("pid-*")]) < 2:
            assert time.monotonic() < until and caller.poll() is None
            time.sleep(0.02)
    finally:
        caller.kill()
        caller.wait()
    assert all(ended(pid) for pid in pids)


class Counting(Executor):
    """Has every result at once, and counts what it was asked for."""

    def __init__(self):
        self.submitted, self.closed = 0, False

    def submit(self, fn, /, *args, **kwargs):
        self.submitted += 1
        future = Future()
        future.set_result(SeedOutcome(seed=args[1]))
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        self.closed = True


def test_any_executor_will_do_it_stays_open_and_is_handed_few_seeds_at_a_time():
    with ThreadPoolExecutor(1) as pool:
        assert sweep(calm, 2, pool).ok
        assert pool.submit(lambda: 7).result() == 7
    counting, ahead = Counting(), []
    told = sweep(calm, 500, counting, progress=lambda done, *_: ahead.append(counting.submitted - done))
    assert len(told) == 500 and not counting.closed and max(ahead) <= ELSEWHERE


def test_enough_failures_end_it():
    result = sweep(odd, [1, 2, 3, 4], jobs=1, stop_after=1)
    assert len(result) == 1 and result.stopped == "1 failures were enough"


def test_a_process_that_dies_ends_the_sweep_with_what_is_there_and_one_that_cannot_start_says_why():
    space = {"__name__": "__main__"}
    exec("def dies(seed):\n    import os\n    os._exit(3)", space)
    with pytest.raises(ConfigError, match='under `if __name__ == "__main__":`'):
        sweep(space["dies"], 4, jobs=2)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: sweep(calm, 0), "seeds is 0"),
        (lambda: sweep(calm, ["x"]), "seeds is"),
        (lambda: sweep(calm, True), "seeds is True"),
        (lambda: sweep(calm, 1, jobs=0), "jobs is 0"),
        (lambda: sweep(partial(calm, threading.Lock()), 1), "cannot be sent"),
        (lambda: sweep(calm, 1, save="/dev/null/x"), "folder /dev/null/x cannot be made"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(call, said):
    with pytest.raises(ConfigError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_scenario_that_returns_no_recording_is_told_so():
    assert (
        sweep(lambda seed: None, 1, jobs=1)
        .outcomes[0]
        .error.startswith("TypeError: the scenario returned NoneType")
    )


def test_wilsons_interval_and_the_rule_of_three_are_the_published_ones():
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    for k, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (29, 29, 0.8830, 1),
    ):
        assert wilson(k, n) == pytest.approx((low, high), abs=5e-5)
    assert (
        wilson(0, 0) == (0, 1) and rule_of_three(1000) == 0.003 and rule_of_three(0) == rule_of_three(2) == 1
    )
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


def test_a_dask_cluster_runs_a_sweep():
    distributed = pytest.importorskip("distributed", reason="the extra labsched[dask] is not installed")
    space = {"__name__": "__main__", "tasks": TASKS}
    exec(
        "def body(seed):\n"
        "    from labsched.worlds import Simulation\n"
        "    with Simulation(2, seed=seed, tasks=tasks, messages=False) as sim:\n"
        "        return sim.run(until=5)\n",
        space,
    )
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        result = sweep(space["body"], 4, client.get_executor())
    assert result.ok and len(result) == 4, str(result)
    assert result.frame.digest.tolist() == [space["body"](seed).digest for seed in range(4)]
