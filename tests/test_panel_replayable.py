"""The live panel's world: steps, replays and branches, wholly in virtual time."""

import pytest
from vandal import let_in

from labsched import ConfigError, Kind, Settings
from labsched.lab.panel.replayable import Replayable
from labsched.lab.panel.script import asked
from labsched.lab.panel.session import stepped
from labsched.worlds import Simulation

TASKS = "data/tasks.yml"


@pytest.fixture
def world():
    with Simulation(3, seed=7, tasks=TASKS) as sim:
        made = Replayable(sim)
        yield made
        made.close()


def run(code: str):
    names = {}
    exec(code, names)
    names["sim"].close()
    return names["rec"]


def test_a_run_in_short_steps_with_looks_in_between_is_the_run_that_the_code_gives(world):
    while world.time < 20:
        world.advance(world.time + 0.0503)
        world.instances()
        world.read()
    world.act(asked("kill", "leader"))
    world.advance(23.5)
    world.act(asked("partition", "i2", direction="replies"))
    world.advance(40)
    assert run(world.code()).digest == world.recording().digest


LOSSES = [("restart_server", {"keep": False, "down": 1}), ("failover", {"lag": 1}), ("restart_server", {})]


@pytest.mark.parametrize(("verb", "args"), LOSSES)
@pytest.mark.parametrize("planned", [False, True])
def test_a_server_that_lost_its_data_is_in_the_code_and_can_be_replayed_and_branched(
    world, verb, args, planned
):
    world.advance(11.2)
    if planned:
        world.plan(stepped(asked(verb, **args), 12.0371))
    else:
        world.advance(12.0371)
        world.act(asked(verb, **args))
    world.advance(40)
    told = len(world.recording().events)
    assert run(world.code()).digest == world.recording().digest
    story = [event.id for event in world.told] + [event.id for event in world.read()]
    for t in (30, 5, 20):
        world.seek(t)
        ids = [event.id for event in world.told]
        assert ids == story[: len(ids)]
    world.seek(40)
    assert len(world.recording().events) == told
    world.seek(20)
    world.act(asked("kill", "leader"))
    world.advance(40)
    assert world.branch == 1
    assert run(world.code()).digest == world.recording().digest


def test_what_was_lost_before_the_panel_came_can_be_sought_as_well():
    with Simulation(3, seed=7, tasks=TASKS) as sim:
        sim.at(8).restart_server(keep=False).run(until=15)
        world = Replayable(sim)
        before = world.recording().digest
        world.seek(10)
        world.seek(4)
        assert world.told
        world.seek(12)
        world.seek(3)
        world.seek(15)
        assert world.recording().digest == before
        world.close()


def test_a_look_sends_no_message_and_takes_no_time(world):
    world.advance(5)
    before = len(world.sim.network.messages()), world.time
    world.instances()
    world.read()
    assert (len(world.sim.network.messages()), world.time) == before


def test_the_code_names_who_led_and_leaves_out_what_has_its_default(world):
    world.advance(3)
    world.act(asked("partition", world.sim.leader))
    world.act(asked("slow", "server", "10ms"))
    assert [line for line in world.code().splitlines() if line.startswith("sim.at")] == [
        'sim.at(3.000001).partition("i3")', 'sim.at(3.000002).slow("server", added=0.01)',
    ]  # fmt: skip


def test_what_code_has_done_and_planned_before_the_panel_is_in_its_script():
    sim = Simulation(2, seed=3, tasks=TASKS, settings=Settings(leader_lease=6))
    sim.at(4).pause("i1").at(30).resume("i1")
    sim.run(until=10)
    sim.kill("i2").restart("i1")
    code = Replayable(sim).code()
    assert "settings=Settings(leader_lease=6.0)" in code
    assert [line for line in code.splitlines() if line.startswith("sim.at")] == [
        'sim.at(4).pause("i1")', 'sim.at(10).kill("i2")', 'sim.at(10).restart("i1")',
        'sim.at(30).resume("i1")',
    ]  # fmt: skip


def test_a_step_ends_just_behind_the_next_event(world):
    world.advance(1.5)
    before = len(world.told)
    assert world.run_to("event")
    assert len(world.told) > before
    assert world.time - (world.told[-1].at - world.recording().started) < 0.002


def test_run_to_the_next_leader_change_ends_at_the_failover(world):
    world.advance(8)
    first = world.sim.leader
    world.act(asked("kill", "leader"))
    assert world.run_to("leader")
    assert world.told[-1].kind is Kind.LEADER_ELECTED
    assert world.sim.leader not in (first, None)
    assert world.time < 8 + 2 * world.sim.settings.leader_lease


def test_run_to_a_violation_ends_where_the_check_first_finds_one():
    sim = Simulation(3, seed=1, tasks=TASKS)
    let_in(sim, 3.0)
    world = Replayable(sim)
    assert world.run_to("violation", stop=lambda: world.time > 10)
    assert not world.recording().check()["legal-transitions"].ok
    assert 3 < world.time <= 4
    sim.close()


def test_run_to_stops_when_somebody_wants_something_else(world):
    world.advance(2)
    assert not world.run_to("leader", stop=lambda: world.time > 20)
    assert 20 < world.time < 25


def test_seeking_back_shows_the_world_as_it_was_and_playing_on_tells_the_same_story(world):
    world.advance(6)
    world.act(asked("kill", "leader"))
    world.advance(30)
    world.read()
    digest, rows = world.recording().digest, len(world.told)
    world.seek(5.0)
    assert (world.time, world.end, world.branch) == (5.0, 30, 0)
    assert set(world.sim.alive) == {"i1", "i2", "i3"}
    assert len(world.told) < rows
    world.advance(30)
    assert world.recording().digest == digest


def test_acting_in_the_past_begins_a_branch_without_the_old_future(world):
    world.advance(6)
    world.act(asked("kill", "leader"))
    world.advance(30)
    world.seek(5.0)
    world.act(asked("pause", "i1"))
    assert (world.branch, world.end) == (1, world.time)
    world.advance(20)
    assert len(world.sim.alive) == 3, "the kill at 6 s was of the old future"
    assert run(world.code()).digest == world.recording().digest


def test_a_branch_keeps_what_was_planned_beyond_the_end_of_the_old_story(world):
    world.plan(stepped(asked("kill", "i2"), 50.0))
    world.plan(stepped(asked("kill", "i1"), 8.0))
    world.advance(10)
    world.seek(5.0)
    world.act(asked("pause", "i3"))
    assert [(step.kind, step.t) for step in world.steps] == [("pause", 5.000001), ("kill", 50.0)]


def test_seeking_leaves_the_simulation_that_was_given_as_it_was():
    sim = Simulation(3, seed=7, tasks=TASKS)
    world = Replayable(sim)
    world.advance(10)
    world.seek(2)
    world.advance(4)
    world.close()
    assert sim.time == 10
    assert sim.run(until=12).check().ok


def test_a_world_driven_by_code_outside_of_its_recording_says_that_it_cannot_be_replayed(world):
    world.advance(2)
    world.sim.call(lambda app: app.trigger("daily-report"))
    world.advance(6)
    with pytest.raises(ConfigError, match="cannot be replayed"):
        world.seek(4)
    assert world.time == 6, "it stays where it was"


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda world: asked("explode", "i1"), "there is no verb 'explode'"),
        (lambda world: asked("_do", "i1"), "there is no verb '_do'"),
        (lambda world: asked("kill"), "kill: "),
        (lambda world: asked("partition", "i1", "sideways"), "sideways"),
        (lambda world: world.act(asked("kill", "i9")), "nothing is named 'i9'"),
        (lambda world: world.plan(stepped(asked("kill", "i9"), 50)), "nothing is named 'i9'"),
        (lambda world: world.plan(stepped(asked("kill", "i1"), 1)), "lies in the past"),
        (lambda world: world.run_to("lunch"), "there is no next 'lunch'"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line_and_leaves_no_step(world, act, why):
    world.advance(3)
    with pytest.raises(ConfigError, match=why) as caught:
        act(world)
    assert "\n" not in str(caught.value)
    assert world.steps == []
