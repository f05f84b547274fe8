"""The picture of a server's load, by the bars that it says it drew."""

from __future__ import annotations

import pandas as pd
import pytest

from labsched.errors import ConfigError
from labsched.lab.pictures.loads import loads


def some(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["t", "what", "requests"])


def test_kinds_are_stacked_and_the_peak_is_told():
    picture = loads(some((0.0, "heartbeat", 3), (0.1, "heartbeat", 2), (0.1, "lead", 40), (0.9, "other", 1)))
    tops = {}
    for bar in picture.axes[0].patches:
        left = round(bar.get_x(), 3)
        tops[left] = max(tops.get(left, 0), bar.get_y() + bar.get_height())
    assert tops == {0.0: 3, 0.1: 42, 0.9: 1}
    assert "at most 42 within 0.1 s, at 0.1 s" in picture.alt and "46 per second" in picture.alt


def test_data_has_a_row_per_bin_and_kind():
    twice = some((0.0, "lead", 1), (0.0, "lead", 2), (0.1, "other", 5))
    assert loads(twice).data.values.tolist() == [[0.0, "lead", 3], [0.1, "other", 5]]


def test_what_happened_is_marked_and_named():
    picture = loads(some((0.0, "lead", 1), (3.0, "lead", 1)), {"leader killed": 2.0})
    assert [text.get_text().strip() for text in picture.axes[0].texts] == ["leader killed"]
    assert [list(line.get_xdata()) for line in picture.axes[0].lines] == [[2.0, 2.0]]
    assert "At 2 s: leader killed." in picture.alt


def test_the_same_frame_gives_the_same_bytes():
    frame = some((0.0, "lead", 1), (0.1, "$x$", 2))
    assert loads(frame).png() == loads(frame).png()


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (some(), "no row"),
        (pd.DataFrame({"t": [1.0], "what": ["lead"]}), "no column requests"),
        (some(*((0.0, name, 1) for name in "abcde")), "5 kinds of requests"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(frame, told):
    with pytest.raises(ConfigError, match=told):
        loads(frame)
