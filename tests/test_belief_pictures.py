"""The pictures of notebooks 06 and 08: who believed that they held a lock, and what became of each job."""

from __future__ import annotations

import pytest

from labsched.errors import ConfigError
from labsched.lab.exercises.n06_designs import Span, Trial, trial
from labsched.lab.exercises.n08_ways import acknowledge_and_claim, acknowledge_last
from labsched.lab.exercises.n08_world import Death, Job, day
from labsched.lab.pictures.beliefs import beliefs
from labsched.lab.pictures.deliveries import deliveries


def rows(picture, *columns):
    found = picture.data[list(columns)].astype(object)
    return [tuple(round(v, 1) if isinstance(v, float) else v for v in row) for row in found.values.tolist()]


def test_a_clash_is_when_two_believe_at_once():
    made = Trial("server", "pause", (Span("a", 0.0, 18.2), Span("b", 14.3, 20.0)), 20.0)
    assert made.clashes == ((14.3, 18.2),) and not made.held
    picture = beliefs([made])
    assert rows(picture, "who", "start", "end", "kind") == [
        ("a", 0.0, 18.2, "believes"), ("b", 14.3, 20.0, "believes"), ("both", 14.3, 18.2, "clash"),
    ]  # fmt: skip
    assert "two believe at once, from 14 s on" in picture.alt
    assert picture.png()[:4] == b"\x89PNG"


def test_one_after_the_other_is_no_clash():
    made = Trial("server", "none", (Span("a", 0.0, 5.0), Span("b", 5.0, 20.0)), 20.0)
    assert made.held and set(beliefs([made]).data.kind) == {"believes"}


@pytest.mark.parametrize("seed", range(3))
def test_the_three_designs_break_under_the_clocks_that_they_look_at(seed):
    held = {design: trial(design, "offset", seed).held for design in ("wall clock", "duration", "server")}
    assert held == {"wall clock": False, "duration": True, "server": True}
    assert not trial("server", "server jump", seed).held and trial("wall clock", "server jump", seed).held


def test_a_job_of_a_dead_worker_is_lost_or_taken_over():
    jobs = [Job(1.0, 2.0), Job(1.0, 1.0)]
    lost, taken = (
        day(way.__name__, lambda way=way: way, jobs, [Death("a", 1.5)], until=15)
        for way in (acknowledge_last, acknowledge_and_claim)
    )
    assert len(lost.lost) == 1 and lost.pending == 1 and taken.lost == [] and taken.pending == 0
    picture = deliveries([lost, taken])
    fates = {
        (name, fate): count for (name, fate), count in picture.data.groupby(["day", "fate"]).size().items()
    }
    assert fates == {
        (repr(lost), "died"): 1,
        (repr(lost), "done"): 1,
        (repr(taken), "died"): 1,
        (repr(taken), "done"): 2,
    }
    assert picture.png()[:4] == b"\x89PNG"


def test_a_job_that_takes_longer_than_the_patience_is_worked_on_twice():
    told = day("long", lambda: acknowledge_and_claim, [Job(1.0, 6.0)], until=15)
    assert told.doubled == [0] and told.lost == []
    data = deliveries([told]).data
    assert list(data.fate) == ["done", "done"] and list(data.start.round()) == [1, 5]


def test_a_job_that_was_done_and_not_acknowledged_is_done_again():
    told = day("unlucky", lambda: acknowledge_and_claim, [Job(1.0, 1.0)], [Death("a", 2.01)], until=12)
    assert [delivery.end is not None for delivery in told.deliveries] == [True, True]
    assert told.doubled == [0] and told.lost == []


def test_without_anything_to_show_there_is_no_picture():
    for draw in (beliefs, deliveries):
        with pytest.raises(ConfigError, match="needs a"):
            draw([])
