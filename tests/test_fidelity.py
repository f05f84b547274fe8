"""The simulated world against real processes: the same programme, and the comparison that finds a difference."""

import asyncio

import pytest
from clikit import call
from outside import private_runtime  # noqa: F401  (a fixture)

from labsched.worlds import fidelity
from labsched.worlds.fidelity import Findings, compare, simulated

WAYS = Findings(out=[0.0003, 0.0004], back=[0.0003, 0.0005])
SAME = ["executions by state", "events per execution"]


def verdicts(rows):
    return {row.what: row.same for row in rows}


@pytest.fixture(scope="module")
def virtual():
    return simulated(4, WAYS)


def test_a_simulation_ends_executions_and_writes_events_as_real_processes_do(private_runtime):  # noqa: F811
    # A lease that also a busy machine keeps; failover times are the command's matter, on a quiet one.
    found = asyncio.run(fidelity.real(2, lease=2.0))
    rows = compare(found, simulated(2, found, lease=2.0))
    assert [row.same for row in rows if row.what in SAME] == [True, True], rows
    (start,) = [row for row in rows if row.what == "start latency"]
    assert start.note.endswith("ranges overlap"), start


def test_the_programme_meets_every_fate(virtual):
    assert virtual.states == {"SUCCEEDED": 6, "FAILED": 1, "CANCELLED": 1}
    assert ("READY", "RUNNING", "LOST", "READY", "RUNNING", "SUCCEEDED") in virtual.told["long"]
    assert len(virtual.failover) == 4 and len(virtual.start) == 20


def test_a_new_leader_comes_with_the_end_of_the_old_ones_lease(virtual):
    assert all(0 <= late < 0.01 for late in virtual.late)
    # Killed at four points between two renewals, the leader had that much less of its lease left.
    assert max(virtual.failover) - min(virtual.failover) > fidelity.timings().leader_retry / 2


def test_the_simulated_half_is_the_same_each_time(virtual):
    assert simulated(4, WAYS) == virtual


def test_messages_of_the_simulation_take_as_long_as_those_that_were_measured():
    slow = simulated(1, Findings(out=[0.010], back=[0.020]))
    assert {round(way, 3) for way in slow.out} == {0.010} and {round(way, 3) for way in slow.back} == {0.020}
    # A trigger on its way, the hint on its way back, the claim on its way.
    assert {round(start, 3) for start in slow.start} == {0.040}


def test_worlds_that_agree_are_the_same(virtual):
    assert verdicts(compare(virtual, virtual)) == {
        **dict.fromkeys([*SAME, "start latency", "failover minus lease"], True),
        **dict.fromkeys(["request on its way", "leader after the lease's end"], None),
    }


@pytest.mark.parametrize(
    ("differs", "change"),
    [
        ("events per execution", {"told": {"quick": [("READY", "RUNNING", "SUCCEEDED")]}}),
        ("executions by state", {"told": {"quick": [("READY", "CANCELLED")]}}),
        ("start latency", {"start": [0.0010, 0.0013, 0.0030]}),  # the median is 30 % off
        ("start latency", {"start": [0.0007, 0.0008, 0.00085]}),  # near, but no run was ever so quick
        ("failover minus lease", {"failover": [-0.070, -0.065, -0.010]}),
    ],
)
def test_a_difference_between_the_worlds_is_found(differs, change):
    usual = {
        "told": {"quick": [("READY", "RUNNING", "SUCCEEDED")] * 2}, "out": [0.001], "late": [0.001],
        "start": [0.0009, 0.0010, 0.0011], "failover": [-0.090, -0.050, -0.010],
    }  # fmt: skip
    assert verdicts(compare(Findings(**usual), Findings(**{**usual, **change})))[differs] is False


@pytest.mark.parametrize("differ", [False, True])
def test_the_command_prints_a_table_and_exits_1_when_the_worlds_differ(monkeypatch, differ, virtual):
    other = Findings(**{**vars(virtual), "start": [9.0]}) if differ else virtual
    monkeypatch.setattr(fidelity, "run", lambda runs: compare(virtual, other))
    done = call("fidelity", "--runs", "2")
    assert done.code == int(differ)
    assert "failover minus lease" in done.out and ("DIFFERS" in done.out) == differ
