"""The session behind the live panel: what it tells and when. Time is a number that the tests move."""

import itertools

import pytest
from vandal import let_in

from labsched import ConfigError
from labsched.errors import LabschedError
from labsched.lab.panel.picture import of_violation
from labsched.lab.panel.script import asked
from labsched.lab.panel.simulated import SimulatedSession
from labsched.worlds import Simulation


class Bench:
    """A session without its thread: `pass_time` makes the rounds that the thread would make."""

    def __init__(self, sim: Simulation, **options) -> None:
        self.now = 100.0
        self.session = SimulatedSession(sim, clock=lambda: self.now, **options)
        self.told: list[tuple[float, str, dict]] = []
        self.session.listen(lambda kind, body, buffers: self.told.append((self.now, kind, body)))

    def pass_time(self, real: float, frame: float = 0.05) -> None:
        for _ in range(round(real / frame)):
            self.now += frame
            self.session.turn(0)

    def settle(self) -> None:
        """As the thread does while time stands still: it wakes when something is due, and only then."""
        while (wait := self.session._wait()) is not None:
            self.now += wait
            self.session.turn(0)

    def send(self, do: str, **args):
        """Send it and let the session take one round, in no time."""
        outcome = self.session.send(do, **args)
        self.session.turn(0)
        return outcome.result(0)

    @property
    def state(self) -> dict:
        return self.session.state

    def row(self, name: str) -> dict:
        return next(row for row in self.state["rows"] if row["name"] == name)

    def server(self) -> dict:
        (row,) = self.state["servers"]
        return row

    def batches(self) -> list[dict]:
        return [body for _, kind, body in self.told if kind == "events"]

    def lamp(self, name: str) -> dict:
        return next(lamp for lamp in self.state["lamps"] if lamp["id"] == name)


@pytest.fixture
def bench():
    with Simulation(3, seed=7, tasks="data/tasks.yml") as sim:
        made = Bench(sim)
        yield made
        made.session.replayable.close()


def leader(bench: Bench) -> dict:
    return next(row for row in bench.state["rows"] if row["leader"])


def spoken(bench: Bench) -> list[str]:
    return [line for batch in bench.batches() for line in batch["spoken"]]


def test_a_playing_world_keeps_pace_with_real_time_and_the_pace_changes_while_it_runs(bench):
    bench.pass_time(4)
    assert bench.session.replayable.time == pytest.approx(4, abs=0.1)
    bench.send("pace", pace=20)
    bench.pass_time(1)
    assert bench.session.replayable.time == pytest.approx(24, abs=1.1)
    bench.send("pace", pace=0.25)
    bench.pass_time(4)
    assert bench.session.replayable.time == pytest.approx(25, abs=1.2)


def test_a_paused_world_stands_still_and_goes_on_from_there(bench):
    bench.pass_time(2)
    bench.send("pause")
    there = bench.session.replayable.time
    bench.pass_time(60)
    assert bench.session.replayable.time == there
    assert bench.state["playing"] is False
    bench.send("play")
    bench.pass_time(1)
    assert bench.session.replayable.time == pytest.approx(there + 1, abs=0.1)


def test_a_machine_that_was_asleep_does_not_make_the_world_rush(bench):
    bench.pass_time(1)
    bench.now += 3600
    bench.session.turn(0)
    bench.pass_time(1)
    assert bench.session.replayable.time < 3


def test_a_press_shows_in_the_state_of_the_same_round(bench):
    bench.pass_time(3)
    name = leader(bench)["name"]
    bench.send("press", step=asked("kill", name))
    assert (bench.row(name)["process"], bench.row(name)["alive"]) == ("killed", False)
    assert bench.row(name)["state"] == "killed, not yet missed"
    fault = bench.session.replayable.sim.faults[-1]
    assert (fault["kind"], fault["target"], fault["by"]) == ("kill", name, "hand")


def test_after_the_leader_was_killed_another_one_has_the_crown_of_the_second_election(bench):
    bench.pass_time(3)
    name = leader(bench)["name"]
    assert leader(bench)["epoch"] == 1
    bench.send("press", step=asked("kill", "leader"))
    bench.pass_time(8)
    assert leader(bench)["name"] != name
    assert leader(bench)["epoch"] == 2
    assert bench.row(name)["lease"] is None, "the cluster has given it up"


@pytest.mark.parametrize(
    ("verbs", "process", "state"),
    [
        (["pause"], "paused", "paused"),
        (["pause", "resume"], "running", "running"),
        (["partition"], "running", "cut off"),
        (["partition", "heal"], "running", "running"),
        (["kill", "restart"], "running", "running"),
    ],
)
def test_each_button_shows_as_a_state_in_words_and_its_inverse_takes_it_back(bench, verbs, process, state):
    bench.pass_time(3)
    for verb in verbs:
        bench.send("press", step=asked(verb, "i2"))
    assert (bench.row("i2")["process"], bench.row("i2")["state"]) == (process, state)


SERVER_STATES = [
    ([("kill", {})], "down"),
    ([("kill", {}), ("restart_server", {})], "up"),
    ([("restart_server", {"down": 2})], "down until 5.0 s"),
    ([("failover", {"lag": 0, "down": 3})], "down until 6.0 s"),
    ([("pause", {})], "paused"),
    ([("pause", {}), ("resume", {})], "up"),
    ([("partition", {})], "cut off"),
    ([("partition", {"direction": "replies"})], "cut off (replies lost)"),
    ([("slow", {"added": 0.05})], "slow"),
    ([("fill", {})], "full"),
    ([("make_read_only", {}), ("partition", {})], "read-only, cut off"),
    ([("fill", {}), ("slow", {"added": 1}), ("partition", {}), ("heal", {})], "up"),
]


@pytest.mark.parametrize(("verbs", "state"), SERVER_STATES)
def test_each_verb_of_the_server_shows_in_its_row_in_words_and_its_inverse_takes_it_back(bench, verbs, state):
    bench.pass_time(3.05)
    for verb, args in verbs:
        bench.send("press", step=asked(verb, name="server", **args))
    row = bench.server()
    assert row["state"] == state
    assert row["trouble"] == (state != "up")


def test_the_row_of_the_server_says_when_it_is_back_and_what_it_has_lost(bench):
    bench.pass_time(3.05)
    bench.send("press", step=asked("restart_server", keep=False, down=1))
    assert (bench.server()["state"], bench.server()["note"]) == ("down until 4.0 s", "lost its data at 3.0 s")
    assert bench.server()["off"]["kill"] == "it is down: restart it"
    bench.pass_time(8)
    assert (bench.server()["state"], bench.server()["off"]) == ("up", {})
    assert leader(bench)["epoch"] == 2, "the new server knows of none"
    assert bench.lamp("one-holder")["text"] == "history reset"
    bench.send("press", step=asked("failover", lag=1))
    assert bench.server()["note"].startswith("lost ")
    assert bench.server()["note"].endswith("at 10.9 s")
    told = next(line for line in spoken(bench) if "server" in line)
    assert told.endswith("server was restarted, which lost its data")


def test_what_ran_when_the_server_lost_its_data_no_longer_runs_on_any_row(bench):
    bench.pass_time(10.6)
    assert any(row["running"] for row in bench.state["rows"])
    bench.send("press", step=asked("restart_server", keep=False, down=60))
    bench.pass_time(2)
    assert not any(row["running"] for row in bench.state["rows"])


def test_a_failover_forgets_what_began_within_its_lag_and_nothing_older(bench):
    bench.pass_time(10.6)
    before = [row["running"] for row in bench.state["rows"]]
    assert any(before)
    bench.send("press", step=asked("failover", lag=0.1))
    assert [row["running"] for row in bench.state["rows"]] == before
    bench.send("press", step=asked("failover", lag=5))
    assert not any(row["running"] for row in bench.state["rows"])


def test_each_of_five_servers_has_a_row_and_is_hurt_by_its_name():
    with Simulation(2, seed=7, tasks="data/tasks.yml", servers=5) as sim:
        bench = Bench(sim)
        bench.pass_time(3.05)
        bench.send("press", step=asked("restart_server", name="server2", keep=False, down=5))
        bench.send("press", step=asked("failover", name="server4", down=2))
        bench.send("press", step=asked("fill", name="server5"))
        bench.send("press", step=asked("kill", name="server"))
        states = {row["name"]: row["state"] for row in bench.state["servers"]}
        assert states == {
            "server1": "down", "server2": "down until 8.0 s", "server3": "up", "server4": "down until 5.0 s",
            "server5": "full",
        }  # fmt: skip
        code = bench.send("code")
        assert '.failover(name="server4", down=2.0)' in code
        assert '.restart_server("server2", keep=False, down=5.0)' in code
        names = {}
        exec(code, names)
        assert names["rec"].digest == bench.session.replayable.recording().digest
        names["sim"].close()
        bench.session.replayable.close()


def test_a_row_says_what_runs_how_much_lease_is_left_and_by_how_much_the_clock_is_wrong(bench):
    bench.send("press", step=asked("skew", "i2", 90))
    bench.pass_time(10.6)
    rows = bench.state["rows"]
    assert any("data-backup" in row["running"] for row in rows)
    assert sum(len(row["running"]) for row in rows) <= 3, "what has ended is gone"
    assert all(2.5 < row["lease"] <= row["lease_of"] for row in rows)
    assert [row["offset"] for row in rows] == [0.0, 90.0, 0.0]


def test_state_and_events_are_told_four_times_a_second_at_most_beside_what_is_pressed(bench):
    bench.pass_time(10)
    for kind in ("state", "events"):
        times = [at for at, what, _ in bench.told if what == kind]
        assert 10 < len(times) <= 41, kind
        assert min(b - a for a, b in itertools.pairwise(times)) > 0.24, kind


def test_the_batches_hold_every_attempt_once_and_faults_in_their_place(bench):
    bench.pass_time(4)
    bench.send("press", step=asked("pause", "i1"))
    bench.pass_time(4)
    drawn = [event for batch in bench.batches() for event in batch["events"]]
    runs = [event for event in drawn if event[1] == "RUNNING"]
    told = [event for event in bench.session.replayable.told if event.kind == "RUNNING"]
    assert [event[3] for event in runs] == [event.execution for event in told]
    assert [event[2:5] for event in drawn if event[1] == "FAULT"] == [["i1", "", "pause"]]
    assert [batch["reset"] for batch in bench.batches()].count(True) == 1


def test_a_new_view_is_given_all_that_is_shown(bench):
    bench.pass_time(5)
    before = sum(len(batch["events"]) for batch in bench.batches())
    bench.send("hello")
    last = bench.batches()[-1]
    assert last["reset"]
    assert len(last["events"]) >= before > 5


def test_a_voice_says_who_leads_and_what_was_done_but_not_everyday_work(bench):
    bench.pass_time(3)
    bench.send("press", step=asked("kill", "leader"))
    bench.pass_time(8)
    heard = spoken(bench)
    assert any(line.endswith("was killed") for line in heard)
    assert any("leads, election #2" in line for line in heard)
    assert not any("cleanup-temp-files" in line for line in heard)


def test_a_lamp_is_grey_until_its_guarantee_was_exercised_and_then_says_how_often_it_held(bench):
    bench.pass_time(0.5)
    assert bench.lamp("one-leader-per-epoch") == {
        "id": "one-leader-per-epoch", "light": "grey", "text": "not exercised",
    }  # fmt: skip
    bench.send("press", step=asked("kill", "leader"))
    bench.pass_time(12)
    lamp = bench.lamp("one-leader-per-epoch")
    assert lamp["light"] == "green"
    assert lamp["text"].startswith("held ")
    assert len(bench.state["lamps"]) == 12


def test_a_violated_guarantee_is_a_red_lamp_with_the_sentence_and_is_spoken():
    sim = Simulation(3, seed=1, tasks="data/tasks.yml")
    let_in(sim, 3.0)
    bench = Bench(sim)
    bench.pass_time(6)
    lamp = bench.lamp("legal-transitions")
    assert lamp["light"] == "red"
    assert "forged@1 went from nothing to SUCCEEDED" in lamp["text"]
    assert sum("legal-transitions is violated" in batch["spoken"] for batch in bench.batches()) == 1
    sim.close()


def test_the_guarantees_are_judged_once_a_second_at_most(bench, monkeypatch):
    judged = []
    judge = bench.session._judge
    monkeypatch.setattr(bench.session, "_judge", lambda *args: (judged.append(bench.now), judge(*args)))
    bench.pass_time(10)
    assert 8 <= len(judged) <= 11


def test_when_time_stands_still_the_last_state_is_judged_once_more_and_then_nothing_is_done(bench):
    bench.pass_time(2.1)
    bench.send("pause")
    assert bench.session._wait() is not None
    bench.pass_time(3)
    assert bench.session._judged_to == bench.session.replayable.time
    assert bench.session._wait() is None


def test_stepping_and_running_to_the_next_leader_change_stop_the_clock(bench):
    bench.pass_time(3)
    bench.send("run_to", what="event")
    assert bench.state["playing"] is False
    there = bench.state["time"]
    bench.send("press", step=asked("kill", "leader"))
    bench.send("run_to", what="leader")
    assert bench.state["time"] > there
    assert leader(bench)["epoch"] == 2


def test_seeking_back_resets_the_timeline_and_acting_there_is_shown_as_a_branch(bench):
    bench.pass_time(10)
    bench.send("seek", t=4.0)
    assert bench.state["time"] == 4.0
    assert bench.state["end"] > 9
    bench.pass_time(0.5)
    last = bench.batches()[-1]
    assert last["reset"]
    assert max(event[0] for event in last["events"]) <= 4.0
    bench.send("press", step=asked("kill", "i1"))
    assert (bench.state["branch"], bench.state["end"]) == (1, bench.state["time"])


def test_finish_runs_the_rest_at_full_speed_and_is_the_script_with_the_same_presses(bench):
    bench.pass_time(2)
    bench.send("press", step=asked("kill", "leader"), at=12.0)
    rec = bench.send("finish", until=60)
    assert bench.state["time"] == 60
    sim = Simulation(3, seed=7, tasks="data/tasks.yml")
    sim.at(12).kill("leader")
    assert rec.digest == sim.run(until=60).digest
    sim.close()


def test_finish_returns_what_there_is_when_its_time_is_over_already(bench):
    bench.send("finish", until=20)
    assert bench.send("finish", until=10).ended == bench.send("finish", until=None).ended


@pytest.mark.parametrize(
    ("do", "args", "why"),
    [
        ("press", {"step": asked("kill", "i9")}, "nothing is named 'i9'"),
        ("press", {"step": asked("kill", "i1"), "at": -1}, "lies in the past"),
        ("pace", {"pace": 21}, "allowed are 0.25 to 20"),
        ("run_to", {"what": "lunch"}, "there is no next"),
    ],
)
def test_what_cannot_be_done_is_told_to_whoever_asked_and_as_a_notice(bench, do, args, why):
    with pytest.raises(ConfigError, match=why):
        bench.send(do, **args)
    assert why in bench.state["notice"]
    bench.send("pause")
    assert bench.state["notice"] == "", "it goes with the next command"


def test_a_defect_stops_the_clock_and_shows_and_finish_raises_it(bench):
    bench.pass_time(1)

    async def broken(app):
        raise ZeroDivisionError("a bug")

    bench.session.replayable.sim.start_call(broken)
    bench.pass_time(1)
    assert bench.state["playing"] is False
    assert "ZeroDivisionError" in bench.state["notice"]
    with pytest.raises((ExceptionGroup, LabschedError)):
        bench.send("finish", until=5)


def test_a_listener_that_fails_does_not_stop_the_world(bench, caplog):
    bench.session._listeners.insert(0, lambda *_: 1 / 0)
    bench.pass_time(1)
    assert bench.told
    assert "a listener of the panel failed" in caplog.text


def test_a_closed_session_refuses_what_comes_later_and_ends_its_thread():
    session = SimulatedSession(Simulation(2, seed=1))
    session.start()
    session.press("kill", "i1")
    session.close()
    session._thread.join(10)
    assert not session._thread.is_alive()
    assert 'kill("i1")' in session.code()
    with pytest.raises(ConfigError, match="the panel is closed"):
        session.press("kill", "i2")
    session.close()


def test_the_picture_of_a_lamp_circles_the_violation_of_that_guarantee():
    with Simulation(3, seed=1, tasks="data/tasks.yml") as sim:
        let_in(sim, 3.0)
        rec = sim.run(until=5)
    broken = [violation.guarantee for violation in rec.check().violations]
    assert {"no-stale-write", "legal-transitions"} <= {*broken}
    for guarantee in ("no-stale-write", "legal-transitions"):
        alt = of_violation(rec, guarantee)[1]
        assert [name for name in broken if name in alt] == [guarantee]


def test_a_picture_that_cannot_be_drawn_is_a_notice(bench, monkeypatch):
    def broken(rec, guarantee):
        raise ConfigError("too many messages")

    monkeypatch.setattr("labsched.lab.panel.picture.of_violation", broken)
    bench.send("picture", guarantee="one-holder")
    bench.session.turn(30)
    assert bench.state["notice"] == "no picture of one-holder: too many messages"


def test_a_violation_lights_its_lamp_also_when_it_was_judged_just_after_the_state_was_told():
    with Simulation(3, seed=1, tasks="data/tasks.yml") as sim:
        let_in(sim, 3.0)
        bench = Bench(sim)
        bench.pass_time(1)
        session, now = bench.session, bench.now  # it is judged when events are due, 50 ms after the state
        session._judged, session._events_told, session._state_told = now - 0.97, now - 0.2, now - 0.1
        bench.send("run_to", what="violation")
        bench.settle()
        assert bench.lamp("legal-transitions")["light"] == "red"
        bench.session.replayable.close()
