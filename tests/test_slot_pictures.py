"""The pictures of notebook 02: what became of each slot, and which steps between states were taken."""

from __future__ import annotations

import pytest

from labsched import Scheduler, Settings, every, misfire
from labsched.errors import ConfigError
from labsched.lab.pictures.slots import slots
from labsched.lab.pictures.states import NEW, states
from labsched.model import TRANSITIONS
from labsched.worlds import Simulation


def recorded(takes=0.5, stop=None, until=38, **policies):
    app = Scheduler("fake", settings=Settings(pool_size=6))

    async def job(ctx):
        await ctx.work(takes)

    app.add("job", every("5s"), job, **policies)
    with Simulation(1, seed=1, app=app, messages=False) as sim:
        if stop:
            sim.at(stop[0]).terminate("i1").at(stop[1]).restart("i1")
        return sim.run(until=until)


def rows(picture, kind, *columns):
    found = picture.data[picture.data.kind == kind][list(columns)]
    return [
        tuple(round(value, 1) if isinstance(value, float) else value for value in row) for row in found.values
    ]


def test_each_slot_is_a_run_or_a_cross_with_its_reason():
    picture = slots({"skip": recorded(7)})
    assert rows(picture, "ran", "slot", "start", "outcome") == [
        (5.0, 5.0, "SUCCEEDED"), (15.0, 15.0, "SUCCEEDED"), (25.0, 25.0, "SUCCEEDED"), (35.0, 35.0, "RUNNING"),
    ]  # fmt: skip
    assert rows(picture, "skipped", "slot", "reason") == [
        (10.0, "overlap"),
        (20.0, "overlap"),
        (30.0, "overlap"),
    ]
    assert "skip: ran the slots of 5, 15, 25, 35; skipped 10, 20, 30" in picture.alt


def test_slots_skipped_as_one_event_are_one_cross_each_and_an_outage_is_grey():
    rec = recorded(stop=(7.5, 27.5), misfire=misfire("SKIP", grace="3s"), overlap="ALLOW")
    picture = slots({"outage": rec})
    assert rows(picture, "skipped", "slot", "reason") == [
        (10.0, "misfire"),
        (15.0, "misfire"),
        (20.0, "misfire"),
    ]
    assert rows(picture, "ran", "slot", "start")[1] == (25.0, 27.5)
    assert rows(picture, "nobody", "start", "end") == [(7.5, 27.5)]


def test_runs_of_the_same_time_have_levels_of_their_own():
    picture = slots({"allow": recorded(7, overlap="ALLOW")})
    assert rows(picture, "ran", "slot", "level")[:4] == [(5.0, 0), (10.0, 1), (15.0, 0), (20.0, 1)]


def test_a_picture_shows_several_recordings_and_only_its_window():
    picture = slots({"a": recorded(), "b": recorded(7)}, start=9, end=21)
    assert rows(picture, "ran", "row", "slot") == [
        ("a", 10.0), ("a", 15.0), ("a", 20.0), ("b", 5.0), ("b", 15.0),
    ]  # fmt: skip
    assert picture.png()[:4] == b"\x89PNG"


def test_without_a_recording_there_is_nothing_to_show():
    with pytest.raises(ConfigError, match="needs a recording"):
        slots({})


def test_every_legal_step_is_an_arrow():
    drawn = {(before, after) for before, after, _ in states().data.itertuples(index=False)}
    assert drawn == {(before or NEW, str(after)) for before, ends in TRANSITIONS.items() for after in ends}


def test_steps_are_counted_by_what_the_history_tells():
    data = states(recorded(7)).data.set_index(["before", "after"])["count"]
    assert data[NEW, "READY"] == 4 and data["READY", "RUNNING"] == 4 and data["RUNNING", "SUCCEEDED"] == 3
    assert data[NEW, "SKIPPED"] == 3 and data.sum() == 14
