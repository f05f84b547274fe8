"""Scenarios from YAML: what a file says happens, and what is wrong in it is told by its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsched.errors import ConfigError
from labsched.worlds.scenarios import SHIPPED, described, names, read, scenario

VISIBLE = Path(__file__).parent.parent / "data" / "scenarios"
GOOD = """
about: everything that a file may say
instances: 2
settings: {instance-lease: 2s, heartbeat-every: 500ms, lease-margin: 500ms, cancel-grace: 200ms, pool-size: 3}
tasks: own.yml
network: {exponential: [1ms, 0.2ms]}
servers: 1
faults:
  - {at: [2s, 3s], verb: lose, target: i1, args: {direction: requests, count: 2}}
  - {at: 4, verb: failover, args: {down: 200ms}}
  - {at: 5s, verb: heal}
until: 8s
"""
OWN = "tasks: [{name: daily-report, schedule: {every: 1s}}, {name: tick, schedule: {every: 1s}}]\n"


@pytest.fixture
def write(tmp_path):
    def make(text):
        (tmp_path / "own.yml").write_text(OWN)
        (tmp_path / "s.yml").write_text(text)
        return tmp_path / "s.yml"

    return make


def test_a_file_says_cluster_tasks_network_and_faults(write):
    found = read(write(GOOD))
    with found.world(3) as sim:
        assert sim.names == ("i1", "i2") and sim.settings.instance_lease == 2 and sim.settings.pool_size == 3
        assert (sim.network.latency.mean, sim.network.latency.least) == (0.001, 0.0002)
        assert [(step["kind"], step["target"]) for step in sim.planned] == [
            ("lose", "i1"), ("failover", "server"), ("heal", "all"),
        ]  # fmt: skip
        first = sim.planned[0]["t"]
        assert 2 <= first <= 3 and sim.planned[1]["down"] == 0.2
    rec = found(3)
    assert set(rec.executions.task) == {"daily-report", "tick"} and 7.9 < rec.ended - rec.started < 8.1
    assert rec.check().ok
    with found.world(4) as other:
        assert other.planned[0]["t"] != first


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("instances: 2", "instances: two", "instances: expected int, got str"),
        ("instances: 2", "instances: -1", "instances is -1"),
        ("instances: 2", "instnces: 2", "instnces is unknown; did you mean instances?"),
        ("pool-size: 3", "pool-sise: 3", "settings.pool-sise is unknown; did you mean pool-size?"),
        ("pool-size: 3", "pool-size: 0", "settings: pool_size 0 is refused"),
        ("own.yml", "other.yml", "tasks: tasks file .*other.yml cannot be read"),
        ("exponential: [1ms, 0.2ms]", "gaussian: 1ms", "network has gaussian: allowed is one of constant"),
        ("exponential: [1ms, 0.2ms]", "uniform: 1ms", "network.uniform is '1ms': it takes 2 durations"),
        ("exponential: [1ms, 0.2ms]", "constant: soon", "network.constant 'soon'"),
        ("verb: failover", "verb: failoverr", r"faults\[1\].verb 'failoverr' is unknown; did you mean failover?"),
        ("verb: failover", "target: i2, verb: failover", r"faults\[1\].target is 'i2': failover is done to the server"),
        ("target: i1", "target: i9", r"faults\[0\]: nothing is named 'i9'"),
        ("target: i1, ", "", r"faults\[0\].target is missing"),
        ("count: 2", "cuont: 2", r"faults\[0\].args: got an unexpected keyword argument 'cuont'"),
        ("count: 2", "count: many", r"faults\[0\].args.count: expected int, got str"),
        ("direction: requests", "direction: up", r"faults\[0\].args.direction: invalid enum value"),
        ("at: 4,", "at: soon,", r"faults\[1\].at 'soon'"),
        ("at: [2s, 3s]", "at: [3s, 2s]", r"faults\[0\].at is .* the first must not be later"),
        ("at: [2s, 3s]", "at: [1s, 2s, 3s]", r"faults\[0\].at is .* or two between which"),
        ("at: 4,", "att: 4,", r"faults\[1\].att is unknown; did you mean at"),
        ("until: 8s", "until: never", "until 'never'"),
        ("until: 8s", "path: here", "path is unknown"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_told_by_its_key_in_one_line(write, line, instead, said):
    text = GOOD.replace(line, instead)
    assert text != GOOD
    path = write(text)
    with pytest.raises(ConfigError, match=said) as caught:
        read(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_the_shipped_scenarios_are_those_of_data_and_hold_every_guarantee():
    files = {path.name: path.read_text() for path in VISIBLE.glob("*.yml")}
    assert files == {path.name: path.read_text() for path in SHIPPED.glob("*.yml")} and len(files) >= 6
    assert (
        {name for name, about in described() if about}
        == set(names())
        == {"swarm", *(name[:-4] for name in files)}
    )
    for name in ("demo", "lagging-failover", "full-server"):
        rec = scenario(name)(1)
        assert rec.check().ok and rec.fault_log, name


def test_every_shipped_scenario_plans_what_it_says():
    for name in set(names()) - {"swarm"}:
        found = scenario(name)
        with found.world(0) as sim:
            assert len(sim.planned) == len(found.faults) > 0 and found.lasts > max(
                s["t"] for s in sim.planned
            )


def test_a_name_that_nothing_has_is_refused_with_what_there_is():
    with pytest.raises(ConfigError, match="no scenario is named 'partitoin', .*did you mean partition"):
        scenario("partitoin")
    with pytest.raises(ConfigError, match=r"scenario file nowhere.yml cannot be read"):
        scenario("nowhere.yml")
    with pytest.raises(ConfigError, match="no scenario is named"):
        scenario("../shipped/demo")
    assert scenario("demo", until=5)(1).ended - scenario("demo", until=5)(1).started < 6
