"""A timeline that is cut off tells what lies inside its cut."""

from __future__ import annotations

from labsched import lab
from labsched.worlds import Simulation


def test_a_leader_hit_after_the_end_of_the_picture_is_not_in_its_headline():
    with Simulation(2, seed=1, messages=False) as sim:
        rec = sim.at(8).kill("leader").run(until=16)
    assert "was killed at 8.0 s while it led" in headline(lab.timeline(rec))
    assert "while it led" not in headline(lab.timeline(rec, end=6))


def headline(picture) -> str:
    return " ".join(text.get_text() for text in picture.texts)
