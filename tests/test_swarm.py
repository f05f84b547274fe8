"""`swarm`: chaos drawn from a seed, after which the cluster has to recover by itself."""

from __future__ import annotations

import pytest

from labsched.coordinator import Coordinator
from labsched.errors import ConfigError
from labsched.worlds import sweep
from labsched.worlds.swarm import CALM, FAULTS, cure, swarm, swarm_world
from labsched.worlds.swarm_tasks import REGULARS, swarm_app

SHORT = {"until": 36.0, "healthy": 14.0}


def test_the_same_seed_is_the_same_run_and_each_seed_leaves_something_out():
    assert swarm(4, until=20, healthy=8).digest == swarm(4, until=20, healthy=8).digest
    kinds, tasks, sizes = [], [], set()
    for seed in range(12):
        with swarm_world(seed, 30) as sim:
            kinds.append({step["kind"] for step in sim.planned})
            tasks.append(set(sim.handlers))
            sizes.add((len(sim.names), sim.settings.pool_size, sim.settings.instance_lease))
    assert len({frozenset(one) for one in kinds}) > 8 and len({frozenset(one) for one in tasks}) > 8
    assert len(sizes) > 8
    assert set.union(*tasks) == {*REGULARS, "job"} and all(one < {*REGULARS, "job"} for one in tasks)
    assert len(set.union(*kinds)) > 12
    for seed in range(3):
        with swarm_world(seed, 600) as some, swarm_world(seed, 600, faults=FAULTS) as all_of_them:
            drawn = [{step["kind"] for step in sim.planned} for sim in (some, all_of_them)]
        assert len(drawn[0]) < len(drawn[1])


def test_all_faults_lie_between_the_calm_start_and_the_healthy_end():
    for seed in range(12):
        with swarm_world(seed, 30) as sim:
            times = [step["t"] for step in sim.planned]
            assert times and min(times) >= CALM and max(times) < 30
            unplanned = {step["kind"] for step in sim.planned} - {"heal", "resume", "restart"}
            assert len(unplanned) <= len(FAULTS)


def test_half_of_the_faults_come_when_slots_are_due_and_some_hit_the_leader_or_every_link():
    steps = []
    for seed in range(12):
        with swarm_world(seed, 60, instances=3, faults=["pause", "slow"]) as sim:
            steps += [step for step in sim.planned if step["kind"] in ("pause", "slow")]
    due = [step for step in steps if step["t"] % 0.5 <= 0.0051]
    assert 0.3 < len(due) / len(steps) < 0.7
    assert {"pause", "slow"} <= {step["kind"] for step in steps if step["target"] == "leader"}
    at = [(step["t"], step["kind"]) for step in steps]
    assert {kind for (t, kind) in at if at.count((t, kind)) == 3} == {"slow"}


def test_whoever_was_paused_as_leader_is_awake_when_that_fault_is_over():
    with swarm_world(1, 600, instances=3, faults=["pause"]) as sim:
        led = [
            i for i, step in enumerate(sim.planned) if (step["kind"], step["target"]) == ("pause", "leader")
        ]
        for i in led:
            after = [(step["kind"], step["target"]) for step in sim.planned[i + 1 : i + 6]]
            assert after[1:] == [("heal", "all"), *(("resume", name) for name in sim.names)]
    assert led


def test_what_is_dead_is_restarted_for_the_healthy_spell_and_what_lives_is_left_to_itself():
    with swarm_world(3, 10, instances=3, faults=["skew"]) as sim:
        sim.run(until=4)
        sim.kill("i1").pause("i2").partition("i3")
        sim.run(until=10)
        cure(sim)
        rec = sim.run(until=24)
    assert [f["target"] for f in rec.fault_log if f["kind"] == "restart"] == ["i1"]
    late = rec.attempts[rec.attempts.started > 14]
    assert set(late.instance) == {"i1", "i2", "i3"} and rec.check().ok


def test_a_swarm_can_be_told_what_to_draw():
    rec = swarm(2, until=16, healthy=6, instances=2, faults=["pause"], tasks=["steady"])
    assert rec.options["instances"] == ["i1", "i2"] and rec.options["handlers"] == ["steady", "job"]
    assert {f["kind"] for f in rec.fault_log} <= {"pause", "resume", "heal"}


def test_what_ring_one_forgets_is_found(monkeypatch):
    async def never(self):
        self._sweep_at = self._host.clock.monotonic() + 1000
        return True

    monkeypatch.setattr(Coordinator, "_recover", never)
    found = sweep(lambda seed: swarm(seed, faults=["kill", "pause"], **SHORT), range(6), jobs=1, stop_after=2)
    assert len(found.failures) == 2 and {"bounded-recovery", "nothing-lost"} & set(found.failures[0].broken)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: swarm(1, until=20), "2 s for faults: until - healthy must be 3 s or more"),
        (lambda: swarm(1, faults=["explosion"]), "no fault 'explosion', there are kill, drain"),
        (lambda: swarm_app(tasks=["nonsense"]), "a swarm has no task 'nonsense'"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(call, said):
    with pytest.raises(ConfigError, match=said):
        call()


def test_an_instance_that_finds_a_server_without_writes_gives_up_and_another_start_is_a_process_of_its_own():
    # Found by swarms: the first was taken for a defect, the second for a process that had hushed up its lost lease.
    with swarm_world(1, 10, instances=2, faults=["skew"]) as sim:
        sim.run(until=5)
        sim.make_read_only().restart("i1")
        sim.run(until=6)
        assert sim.alive == ("i2",)
        sim.heal().restart("i1")
        rec = sim.run(until=12)
    pids = [e.data["pid"] for e in rec.history if e.kind == "INSTANCE_JOINED" and e.instance == "i1"]
    assert sim.alive == ("i1", "i2") and len(set(pids)) == len(pids) == 2
