"""A simulation made again from its recording tells the same story."""

from __future__ import annotations

import msgspec
import pytest

from labsched import Scheduler, every
from labsched.errors import ConfigError
from labsched.worlds import Recording, load
from labsched.worlds.simulated.network import Constant, Exponential, Recorded
from labsched.worlds.simulated.rebuild import lasted, performed, rebuild
from labsched.worlds.simulated.simulation import Simulation

TASKS = "data/tasks.yml"


def again(rec, *args, **options):
    with rebuild(rec, *args, **options) as sim:
        return sim.run(until=lasted(rec))


def test_planned_called_and_missed_faults_happen_again_also_from_a_file(tmp_path):
    with Simulation(3, seed=7, tasks=TASKS) as sim:
        sim.at(4).pause("i2").at(6.5).resume("i2").at(9).kill("leader").at(9.5).kill("i1").at(9.5).kill("i1")
        sim.at(12).restart("i3").at(13).failover(0.3, offset=-0.25, down=0.5).at(15).slow("i3", 0.05)
        sim.at(16).skew("server", -1.5)
        sim.run(until=7.25)
        sim.partition("i3", "replies")
        sim.run(until=8)
        sim.heal("i3")
        rec = sim.run(until=20)
    rec.save(tmp_path / "run.json")
    from_file = again(load(tmp_path / "run.json"))
    assert from_file.digest == again(rec).digest == rec.digest
    told = [{**fault, "by": ""} for fault in from_file.fault_log]
    assert told == [{**fault, "by": ""} for fault in rec.fault_log]
    assert lasted(rec) == 20 != rec.ended - rec.started


def test_the_restart_of_one_that_lives_is_one_fault_that_kills_first():
    with Simulation(2, seed=3, tasks=TASKS) as sim:
        rec = sim.at(5).restart("i1")._sim.run(until=12)
    assert [(f["kind"], f["by"]) for f in rec.fault_log] == [("kill", "restart"), ("restart", "plan")]
    assert [f["kind"] for f in performed(rec)] == ["restart"]
    # The restart ended the kill: i1 takes part again, so the cluster counts as healthy.
    assert [span.end for span in rec.health.down if span.kind == "kill"] != [None]
    assert again(rec).digest == rec.digest


@pytest.mark.parametrize(
    "latency", [Constant(0.001), Exponential(0.002, least=0.0005), Recorded((0.001, 0.003))]
)
def test_the_latency_is_made_again(latency):
    with Simulation(2, seed=1, tasks=TASKS, network=latency, service=0.0001) as sim:
        rec = sim.run(until=5)
    with rebuild(rec) as sim:
        assert sim.network.latency == latency and sim.service == 0.0001
        assert sim.run(until=5).digest == rec.digest


async def quick(ctx):
    await ctx.work(0.1)


def own_app(*names):
    app = Scheduler("fake")
    for name in names:
        app.add(name, every("1s"), quick)
    return app


def test_an_app_brings_its_tasks_and_some_may_be_left_out():
    with Simulation(2, seed=1, app=own_app("a", "b")) as sim:
        rec = sim.run(until=5)
    assert again(rec, own_app("b", "c", "a")).digest == rec.digest
    fewer = again(rec, own_app("a", "b"), tasks=["b"], instances=["i2"], faults=[])
    assert set(fewer.executions.task) == {"b"} and set(fewer.attempts.instance) == {"i2"}
    assert again(fewer, own_app("a", "b")).digest == fewer.digest


def test_what_is_not_in_a_recording_can_be_brought_back():
    def trigger(sim):
        sim.at(2.5).call(lambda app: app.trigger("a"))

    with Simulation(2, seed=1, app=own_app("a")) as sim:
        trigger(sim)
        rec = sim.run(until=5)
    assert again(rec, own_app("a"), prepare=trigger).digest == rec.digest
    assert again(rec, own_app("a")).digest != rec.digest


def test_what_cannot_be_run_again_gets_one_line():
    with Simulation(2, seed=1, app=own_app("a", "b")) as sim:
        rec = sim.run(until=2)
    options = rec.options

    def but(**other):
        return msgspec.structs.replace(rec, options={**options, **other})

    unknown = {"t": 1.0, "kind": "explode", "target": "i1", "by": "plan"}
    for wrong, said in (
        (lambda: rebuild(Recording(world="real", namespace="x", started=0, ended=1)), "of a real world"),
        (lambda: rebuild(rec), "the recording ran a, b: pass the app that has them"),
        (lambda: rebuild(but(network="Own(2)"), own_app("a", "b")), r"latency is Own\(2\)"),
        (lambda: rebuild(but(network="__import__('os')"), own_app("a", "b")), "only Constant, Uniform"),
        (lambda: rebuild(msgspec.structs.replace(rec, options={})), "does not say its"),
        (lambda: rebuild(rec, own_app("a", "b"), faults=[unknown]), "a fault 'explode', there are kill"),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            wrong()
        assert "\n" not in str(caught.value)
