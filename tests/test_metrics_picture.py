"""The metrics picture, by the numbers that it says it drew."""

from __future__ import annotations

import pytest
from histories import History, T, X

from labsched import lab
from labsched.errors import ConfigError

COLUMNS = ["panel", "series", "t", "value"]


def ran(
    h: History, at: float, token: int, instance="i1", takes=0.5, kind="SUCCEEDED", late_ms=0, **data
) -> History:
    """One execution, READY at `at`, RUNNING `late_ms` later."""
    x = X(at)
    h.at(at).ready(x, slot=at).at(at + late_ms / 1000)
    h.add("RUNNING", x, attempt=1, token=token, instance=instance, until=T(at + 99), late_ms=late_ms)
    return h.at(at + late_ms / 1000 + takes).done(x, token, instance, kind, **data)


def two() -> History:
    return History().at(0.1).join("i1", 1).join("i2", 2)


def series(picture, panel, name):
    data = picture.data
    found = data[(data.panel == panel) & (data.series == name)]
    return list(zip(found.t, found.value, strict=True))


def test_rates_count_attempts_by_how_they_ended():
    h = ran(ran(two(), 1, 20), 2, 21)
    ran(h, 12.2, 22, kind="FAILED", outcome="FAILED")
    picture = lab.metrics(h.rec(120))  # bins of 2 s
    assert {t: v for t, v in series(picture, "rates", "succeeded") if v} == {1.0: 0.5, 3.0: 0.5}
    assert {t: v for t, v in series(picture, "rates", "failed") if v} == {13.0: 0.5}
    assert len(series(picture, "rates", "failed")) == 60  # where nothing happened stands 0
    assert "2 attempts succeeded, 1 failed, timed out or were lost." in picture.alt


def test_a_lost_attempt_counts_as_failed_and_a_cancelled_one_as_neither():
    h, x, y = two(), X(1), X(2)
    h.at(1).ready(x, slot=1).run(x, 20, "i1").at(2).ready(y, slot=2).run(y, 21, "i1")
    h.at(5).lose(x, 20, "i1").at(6).done(y, 21, "i1", "CANCELLED")
    picture = lab.metrics(h.rec(10))
    assert sum(value for _, value in series(picture, "rates", "failed")) > 0
    assert "0 attempts succeeded, 1 failed" in picture.alt


def test_what_the_data_says_is_on_the_paper():
    h = ran(ran(two(), 1, 20), 2, 21, kind="FAILED", outcome="FAILED")
    h.at(5).ready(X(5), slot=5)
    picture = lab.metrics(h.rec(60))
    bars = [
        patch for patch in picture.axes[0].patches if patch.get_height() and round(patch.get_width(), 6) == 1
    ]
    assert [(bar.get_x(), bar.get_height()) for bar in bars if bar.get_hatch()] == [(2.0, 1.0)]
    assert [(bar.get_x(), bar.get_height()) for bar in bars if not bar.get_hatch()] == [(1.0, 1.0)]
    filled = picture.axes[3].collections[0].get_paths()[0].vertices
    assert filled[:, 1].max() == 1 and (filled[filled[:, 1] == 1, 0] >= 5).any()


def test_the_last_bin_counts_only_the_time_that_is_there():
    picture = lab.metrics(ran(two(), 60.1, 20, takes=0.2).rec(60.5))  # bins of 2 s, the last is 0.5 s wide
    assert series(picture, "rates", "succeeded")[-1] == (pytest.approx(60.25), pytest.approx(2.0))


def test_durations_are_quantiles_by_nearest_rank_in_bins():
    h = two()
    for n in range(20):
        x, token = f"job~{n}", 100 + n
        h.at(1).ready(x, source="trigger", task="job")
        h.add("RUNNING", x, task="job", attempt=1, token=token, instance="i1", until=T(99), late_ms=10 * n)
    for n in range(20):
        h.at(2 + n * 0.01).add("SUCCEEDED", f"job~{n}", task="job", attempt=1, token=100 + n, instance="i1")
    picture = lab.metrics(h.rec(60))
    assert series(picture, "durations", "p50") == [(2.5, pytest.approx(1.09))]
    assert series(picture, "durations", "p95") == [(2.5, pytest.approx(1.18))]
    assert series(picture, "lateness", "p50") == [(1.5, pytest.approx(0.09))]
    assert series(picture, "lateness", "p95") == [(1.5, pytest.approx(0.18))]


def test_the_queue_is_how_many_wait_in_ready():
    h = two().at(1).ready(X(1), slot=1).at(2).ready(X(2), slot=2)
    h.at(3).run(X(1), 20, "i1").at(4).lose(X(1), 20, "i1").at(6).run(X(2), 21, "i1")
    steps = series(lab.metrics(h.rec(10)), "ready", "ready")
    assert steps == [(0, 0), (1, 1), (2, 2), (3, 1), (4, 2), (6, 1), (10, 1)]


def test_what_waited_before_the_recording_began_counts():
    before = {"state": "READY", "task": "tick", "attempt": 0, "token": None, "instance": None, "slot": T(-5)}
    h = two().at(3).run(X(-5), 20, "i1")
    h_rec = h.rec(10, snapshot={
        "executions": {X(-5): before}, "tasks": {}, "locks": {}, "leader": None, "instances": {}, "at": T(0),
        "last_event": "0-0",
    })  # fmt: skip
    assert series(lab.metrics(h_rec), "ready", "ready") == [(0, 1), (3, 0), (10, 0)]


def test_running_is_counted_for_each_instance():
    h = ran(two(), 1, 20, "i1", takes=3)
    h.at(2).ready(X(2), slot=2).run(X(2), 21, "i1").at(3).ready(X(3), slot=3).run(X(3), 22, "i2")
    h.events.sort(key=lambda event: event.at)
    picture = lab.metrics(h.rec(10))
    assert series(picture, "running", "i1") == [(0, 0), (1, 1), (2, 2), (4, 1), (10, 1)]
    assert series(picture, "running", "i2") == [(0, 0), (3, 1), (10, 1)]


def test_a_window_begins_with_the_level_that_it_finds():
    h = ran(ran(two(), 1, 20, takes=5), 8, 21)
    picture = lab.metrics(h.rec(20), start=3, end=10)
    assert series(picture, "running", "i1") == [(3, 1), (6, 0), (8, 1), (8.5, 0), (10, 0)]
    assert picture.axes[0].get_xlim() == (3, 10)
    with pytest.raises(ConfigError, match="nothing lies between start 30 s and end 20 s"):
        lab.metrics(h.rec(20), start=30)


def test_faults_are_shaded_in_every_panel_and_named_once():
    h = two().at(5).fault("pause", "i1").at(8).fault("resume", "i1").at(12).fault("kill", "i2")
    picture = lab.metrics(h.rec(20))
    for axes in picture.axes:
        assert [patch.get_x() for patch in axes.patches if round(patch.get_width(), 3) == 3] == [5]
        assert [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1][:2] == [5, 12]
    written = [text.get_text() for axes in picture.axes for text in axes.texts]
    assert written.count("i1 paused for 3.0 s") == 1 and written.count("i2 killed 12.0 s") == 1
    assert "Faults: i1 paused for 3.0 s, i2 killed 12.0 s." in picture.alt


def test_no_line_is_drawn_across_bins_in_which_nothing_ended():
    h = ran(ran(ran(two(), 1, 20), 2, 21), 30, 22)
    lines = [line for line in lab.metrics(h.rec(60)).axes[1].lines if len(line.get_xdata()) > 2]
    assert [sum(value != value for value in line.get_ydata()) for line in lines] == [1, 1]


def test_an_empty_recording_has_the_same_columns_and_the_same_bytes_each_time():
    empty, full = lab.metrics(History().rec(10)), lab.metrics(ran(two(), 1, 20).rec(10))
    assert list(empty.data.columns) == list(full.data.columns) == COLUMNS
    assert empty.data.dtypes.tolist() == full.data.dtypes.tolist()
    assert full.png() == lab.metrics(ran(two(), 1, 20).rec(10)).png() != empty.png()
