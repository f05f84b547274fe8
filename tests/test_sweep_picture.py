"""The picture of a sweep, by the points that it says it drew."""

from __future__ import annotations

import pandas as pd
import pytest

from labsched import lab
from labsched.errors import ConfigError
from labsched.worlds.outcomes import SeedOutcome, SweepResult


def runs(x, values, **more) -> pd.DataFrame:
    return pd.DataFrame([{"x": x, "y": value, **more} for value in values])


def points(picture, *columns):
    return picture.data[list(columns)].values.tolist()


def test_truth_values_become_shares_with_wilson_intervals():
    frame = pd.concat([runs(1, [True] * 3 + [False] * 7), runs(2, [False] * 10)])
    picture = lab.sweep_picture(frame, x="x", y="y")
    assert points(picture, "x", "n", "k", "value") == [[1, 10, 3, 0.3], [2, 10, 0, 0.0]]
    # Figures of Wilson's interval for 3 of 10 and 0 of 10 as textbooks print them.
    assert points(picture, "low", "high") == [
        pytest.approx([0.1078, 0.6032], abs=1e-4),
        pytest.approx([0.0, 0.2775], abs=1e-4),
    ]
    assert "At x 1: 3 of 10 (11% to 60%)." in picture.alt


def test_numbers_become_medians_with_boxes_and_whiskers():
    picture = lab.sweep_picture(runs(0.5, range(1, 101)), x="x", y="y")
    assert points(picture, "n", "value", "q25", "q75", "low", "high") == [[100, 50, 25, 75, 5, 95]]
    assert picture.data.k.isna().all()
    drawn = [line.get_ydata() for line in picture.axes[0].lines]
    assert [list(ys) for ys in drawn] == [[5, 95], [25, 75], [50]]


def test_of_single_runs_no_box_is_promised():
    picture = lab.sweep_picture(pd.concat([runs(x, [x]) for x in (1, 2)]), x="x", y="y")
    said = [text.get_text() for text in picture.texts]
    assert "At x 2: 2." in picture.alt
    assert "one run at each point" in said and not any("median" in text for text in said)


def test_each_value_of_by_is_a_curve_of_its_own():
    frame = pd.concat([runs(x, [x * lease], lease=lease) for lease in (4, 8) for x in (2, 1)])
    picture = lab.sweep_picture(frame, x="x", y="y", by="lease")
    assert points(picture, "series", "x", "value") == [["4", 1, 4], ["4", 2, 8], ["8", 1, 8], ["8", 2, 16]]
    assert [text.get_text() for text in picture.axes[0].get_legend().get_texts()] == ["lease 4", "lease 8"]


def test_words_stand_in_the_order_in_which_they_came_and_no_line_joins_them():
    frame = pd.concat([runs(name, [1.0, 2.0]) for name in ("redbeat", "ours", "beat")])
    axes = lab.sweep_picture(frame, x="x", y="y").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["redbeat", "ours", "beat"]
    assert axes.lines[-1].get_linestyle() == "None"


def test_settings_that_span_orders_of_magnitude_get_a_logarithmic_axis():
    wide = pd.concat([runs(x, [1.0]) for x in (0.1, 1, 10)])
    narrow = pd.concat([runs(x, [1.0]) for x in (1, 2, 4)])
    scales = [lab.sweep_picture(frame, x="x", y="y").axes[0].get_xscale() for frame in (wide, narrow)]
    assert scales == ["log", "linear"]


def test_the_labels_name_the_units_and_the_title_counts_the_runs():
    picture = lab.sweep_picture(
        runs(1, [1.0, 2.0]), x="x", y="y", xlabel="heartbeat_every (s)", ylabel="failover (s)"
    )
    axes = picture.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("heartbeat_every (s)", "failover (s)")
    assert picture.texts[0].get_text() == "y against x · 2 runs"
    assert "2 runs at each point" in picture.texts[1].get_text()


def test_all_whiskers_lie_inside_the_axes():
    for values in ([-3.0, 5.0, 9.0], [0.0, 0.0], [True, True, False]):
        picture = lab.sweep_picture(runs(1, values), x="x", y="y")
        low, high = picture.axes[0].get_ylim()
        times = 100 if isinstance(values[0], bool) else 1
        assert low <= picture.data.low.min() * times and picture.data.high.max() * times <= high


def test_runs_without_a_value_count_nowhere():
    picture = lab.sweep_picture(runs(1, [1.0, None, 3.0]), x="x", y="y")
    assert points(picture, "n") == [[2]]


def test_the_result_of_a_sweep_is_drawn_like_its_frame():
    outcomes = tuple(
        SeedOutcome(
            seed=seed, figures={"lease": 4.0, "failover": 2.0 + seed}, broken=("one-holder",) * (seed == 0)
        )
        for seed in range(4)
    )
    result = SweepResult(outcomes, 4, "", 0.1)
    assert points(lab.sweep_picture(result, x="lease", y="failover"), "n", "value") == [[4, 3.0]]
    assert points(lab.sweep_picture(result, x="lease", y="ok"), "n", "k") == [[4, 3]]
    assert len(lab.sweep_picture(result, x="seed", y="failover").data) == 4  # the index is a column as well


def test_bad_input_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="^the sweep has no column 'z', it has x, y$"):
        lab.sweep_picture(runs(1, [1.0]), x="x", y="z")
    with pytest.raises(ConfigError, match="no run with a value of 'x' and 'y'"):
        lab.sweep_picture(runs(1, [None]), x="x", y="y")
    with pytest.raises(ConfigError, match="from a data frame or a sweep's result, not from list"):
        lab.sweep_picture([1], x="x", y="y")
    many = pd.concat([runs(1, [1.0], lease=lease) for lease in range(7)])
    with pytest.raises(ConfigError, match="'lease' has 7 values, a picture shows 6 curves at most"):
        lab.sweep_picture(many, x="x", y="y", by="lease")
    with pytest.raises(ConfigError, match="column 'y' holds neither numbers nor truth values"):
        lab.sweep_picture(runs(1, ["fast"]), x="x", y="y")


def test_the_same_frame_gives_the_same_bytes():
    frame = runs(1, [1.0, 2.0, 5.0])
    assert lab.sweep_picture(frame, x="x", y="y").png() == lab.sweep_picture(frame, x="x", y="y").png()
