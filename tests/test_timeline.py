"""The timeline, by the bars that it says it drew and by the words that go with it."""

import html
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from histories import History, T, X, quiet

from labsched import lab
from labsched.errors import ConfigError
from labsched.lab.pictures.ink import inks
from labsched.worlds import ProcessCluster

COLUMNS = [
    *(
        "band",
        "kind",
        "start",
        "end",
        "halt",
        "row",
        "task",
        "execution",
        "attempt",
        "outcome",
        "token",
        "rank",
    ),
    *("count", "duplicate", "label"),
]
PNG = b"\x89PNG\r\n\x1a\n"


def attempts(picture, **where):
    data = picture.data[picture.data.kind == "attempt"]
    for column, value in where.items():
        data = data[data[column] == value]
    return data


def three() -> History:
    h = History()
    for n, name in enumerate(("i1", "i2", "i3"), 1):
        h.at(0.1 * n).join(name, n)
    return h.elect("i1", 9, token=1)


def leader_killed() -> History:
    """i1 leads, holds a backup from 10 s on, and is killed at 12 s; i2 runs the backup, i3 leads from 17 s on."""
    h, x = three(), X(10, "backup")
    h.at(10).ready(x, slot=10).take("task:backup", 20, "i1", until=1800, x=x).run(x, 20, "i1")
    h.at(12).fault("kill", "i1")
    h.at(16).gone("i1", 1, until=15.9).lose(x, 20, "i1").release("task:backup", 20, "i1", x=x)
    h.run(x, 21, "i2", attempt=2).at(17).elect("i3", 30, token=3)
    h.at(20).add("SUCCEEDED", x, attempt=2, token=21, instance="i2")
    h.at(22).fault("restart", "i1").at(23).join("i1", 40)
    return h


def test_every_attempt_is_a_bar_in_the_lane_of_its_instance():
    rec = quiet(60).rec(61)
    drawn = attempts(lab.timeline(rec)).sort_values("start")
    assert list(drawn.execution) == list(rec.attempts.execution)
    assert list(drawn.band) == list(rec.attempts.instance)
    assert drawn.start.tolist() == pytest.approx(rec.attempts.started.tolist())
    assert drawn.end.tolist() == pytest.approx(rec.attempts.ended.tolist())
    assert set(drawn.outcome) == {"SUCCEEDED"} and set(drawn["count"]) == {1}


def test_a_killed_leader_leaves_a_lease_that_runs_out_and_work_that_moves():
    picture = lab.timeline(leader_killed().rec(30))
    lost = attempts(picture, outcome="LOST").iloc[0]
    assert (lost.band, lost.start, lost.halt, lost.end) == ("i1", 10.0, 12.0, 16.0)
    again = attempts(picture, attempt=2).iloc[0]
    assert (again.band, again.start, again.outcome, again.execution) == (
        "i2",
        16.0,
        "SUCCEEDED",
        lost.execution,
    )

    leaders = picture.data[picture.data.kind == "leader"]
    assert leaders[["label", "rank"]].values.tolist() == [["i1", 1], ["i3", 2]]
    assert leaders.halt.tolist()[0] == 12.0 and leaders.halt.isna().tolist() == [False, True]
    assert leaders.end.tolist() == [17.0, 30.0]

    faults = picture.data[picture.data.kind == "fault"]
    assert faults[["band", "outcome", "start"]].values.tolist() == [
        ["i1", "kill", 12.0],
        ["i1", "restart", 22.0],
    ]
    members = picture.data.query("kind == 'alive' and band == 'i1'")
    assert members.start.tolist() == [0.1, 23.0] and members.halt.tolist()[0] == 12.0
    lock = picture.data.query("kind == 'lock'").iloc[0]
    assert (lock.band, lock.label, lock.halt, lock.end) == ("task:backup", "i1", 12.0, 16.0)


def test_the_words_tell_the_story_of_a_killed_leader():
    alt = lab.timeline(leader_killed().rec(30)).alt
    assert alt.startswith(
        "Timeline of 30.0 seconds on 3 instances (i1, i2, i3); 1 execution of 1 task: 1 succeeded."
    )
    assert "Leader: i1 from 0.3 s, then i3 from 17.0 s." in alt
    assert "Faults: i1 killed 12.0 s, i1 restarted 22.0 s." in alt
    assert "i1 was killed at 12.0 s while it led, i3 took over 5.0 s later." in alt
    assert "1 attempt lost, 1 run again by another instance." in alt


def test_a_pause_that_ends_in_time_costs_no_leadership_and_no_attempt():
    h, x = three(), X(10, "backup")
    h.at(10).ready(x, slot=10).run(x, 20, "i1").fault("pause", "i1").at(11.5).fault("resume", "i1")
    h.at(13).done(x, 20, "i1")
    picture = lab.timeline(h.rec(30))
    assert picture.data[picture.data.kind.isin(["leader", "attempt"])].halt.isna().all()
    pause = picture.data[picture.data.kind == "fault"]
    assert pause[["band", "outcome", "start", "end"]].values.tolist() == [["i1", "pause", 10.0, 11.5]]


def test_concurrent_attempts_of_one_instance_never_share_a_row():
    h = three()
    for n in range(60):
        x = f"job~{n}"
        h.at(1 + n * 0.1).ready(x, source="trigger", task="job").run(x, 100 + n, "i2")
    for n in range(60):
        h.at(8 + n * 0.1).add("SUCCEEDED", f"job~{n}", attempt=1, token=100 + n, instance="i2", task="job")
    drawn = attempts(lab.timeline(h.rec(20)))
    assert drawn.row.nunique() == 60
    for _, row in drawn.sort_values("start").groupby("row"):
        assert all(
            earlier <= later for (_, earlier), (later, _) in pairwise(zip(row.start, row.end, strict=True))
        )


@pytest.mark.parametrize(
    ("kind", "data", "outcome"),
    [
        ("FAILED", {"outcome": "FAILED"}, "FAILED"),
        ("FAILED", {"outcome": "TIMED_OUT"}, "TIMED_OUT"),
        ("RETRYING", {"outcome": "FAILED", "retry_at": T(5)}, "FAILED"),
        ("CANCELLED", {}, "CANCELLED"),
    ],
)
def test_what_became_of_an_attempt_is_told(kind, data, outcome):
    h, x = three(), X(1, "job")
    h.at(1).ready(x, slot=1).run(x, 20, "i1").at(2).done(x, 20, "i1", kind, **data)
    assert attempts(lab.timeline(h.rec(10))).outcome.tolist() == [outcome]


def test_an_attempt_without_an_end_is_still_running():
    h, x = three(), X(1, "job")
    h.at(1).ready(x, slot=1).run(x, 20, "i1")
    drawn = attempts(lab.timeline(h.rec(10))).iloc[0]
    assert (drawn.outcome, drawn.end) == ("RUNNING", 10.0)


def test_one_slot_that_ran_twice_is_marked_in_both_lanes():
    h = three()
    for name, token in (("i1", 20), ("i2", 21)):
        x = f"{X(5)}#{name}"
        h.at(5).ready(x, slot=5).run(x, token, name).at(5.2).done(x, token, name)
    h.at(10).ready(X(10), slot=10).run(X(10), 22, "i1").at(10.2).done(X(10), 22, "i1")
    picture = lab.timeline(h.rec(20))
    assert attempts(picture, execution=X(10)).duplicate.tolist() == [False]
    assert attempts(picture, start=5.0).duplicate.tolist() == [True, True]
    assert "2 attempts ran the same slot as another one." in picture.alt


def test_locks_are_ranked_by_name_and_show_the_rest_of_at_least_for():
    h = three()
    h.at(1).take("export", 20, "i1", until=9, least=5).at(3).release("export", 20, "i1", until=5)
    h.at(6).take("other", 21, "i2", until=8).at(7).take("export", 22, "i3", until=12)
    data = lab.timeline(h.rec(20)).data
    locks = data[data.kind.isin(["lock", "rest"])]
    assert locks[["band", "kind", "start", "end", "rank"]].values.tolist() == [
        ["export", "lock", 1.0, 3.0, 1],
        ["export", "rest", 3.0, 5.0, 1],
        ["export", "lock", 7.0, 12.0, 2],
        ["other", "lock", 6.0, 8.0, 1],
    ]


def test_faults_of_the_server_have_a_band_of_their_own():
    picture = lab.timeline(three().at(5).fault("restart_server", "server", down=1.5).rec(10))
    fault = picture.data[picture.data.kind == "fault"].iloc[0]
    assert (fault.band, fault.start, fault.end) == ("server", 5.0, 6.5)
    assert "server restarted 5.0 s" in picture.alt


def busy(n: int) -> History:
    h = three()
    for k in range(n):
        x, name = f"job~{k}", f"i{k % 3 + 1}"
        h.at(1 + k * 28 / n).ready(x, source="trigger", task="job").add(
            "RUNNING", x, task="job", attempt=1, token=100 + k, instance=name, until=T(99)
        )
        kind = "FAILED" if k % 500 == 7 else "SUCCEEDED"
        h.at(h.now + 0.002).add(kind, x, task="job", attempt=1, token=100 + k, instance=name)
    h.events.sort(key=lambda event: event.at)
    return h


def test_two_thousand_short_attempts_are_drawn_as_fewer_bars_and_none_is_forgotten():
    drawn = attempts(lab.timeline(busy(2000).rec(30)))
    assert drawn["count"].sum() == 2000 and len(drawn) < 200
    assert (
        len(drawn[drawn.outcome == "FAILED"]) == 4 and (drawn[drawn.outcome == "FAILED"]["count"] == 1).all()
    )
    assert drawn.groupby("band")["count"].sum().tolist() == [667, 667, 666]


def test_a_stretch_of_a_recording_shows_only_what_meets_it():
    picture = lab.timeline(leader_killed().rec(30), start=11, end=15)
    assert attempts(picture).outcome.tolist() == ["LOST"]
    assert picture.data.query("kind == 'leader'").label.tolist() == ["i1"]
    assert picture.axes[0].get_xlim() == (11, 15)
    assert picture.alt.startswith("Timeline of 11.0 to 15.0 of 30.0 seconds")
    with pytest.raises(ConfigError, match="nothing lies between start 31 s and end 30 s"):
        lab.timeline(leader_killed().rec(30), start=31)


def test_an_empty_recording_is_drawn_and_has_the_same_columns():
    empty, full = lab.timeline(History().rec(10)), lab.timeline(leader_killed().rec(30))
    assert list(empty.data.columns) == list(full.data.columns) == COLUMNS
    assert empty.data.dtypes.tolist() == full.data.dtypes.tolist()
    assert empty.alt == "Timeline of 10.0 seconds on 0 instances; 0 executions."
    assert empty.png().startswith(PNG)


def test_ten_instances_are_ordered_as_people_count():
    h = History().at(0.1)
    for n in range(10, 0, -1):
        h.join(f"i{n}", n)
    picture = lab.timeline(h.rec(5))
    assert picture.data.band.tolist() == [f"i{n}" for n in range(1, 11)]
    assert picture.get_size_inches()[1] < 12


def test_sixty_tasks_look_different_even_without_colour():
    looks = list(inks([f"t{n:02}" for n in range(63)]).values())
    assert len(set(looks)) == 63
    for n in range(60):  # neighbours share neither colour nor hatch nor marker
        first, second = looks[n], looks[n + 1]
        assert first.colour != second.colour and first.hatch != second.hatch and first.marker != second.marker


def test_a_picture_shows_itself_as_the_same_png_each_time():
    rec = leader_killed().rec(30)
    picture, other = lab.timeline(rec), lab.timeline(rec)
    image, about = picture._repr_png_()
    assert image.startswith(PNG) and image == other.png() and about == {"alt": picture.alt}
    assert picture.alt.encode("latin-1") in image
    assert repr(picture) == repr(other) and "0x" not in repr(picture)


def test_a_notebook_shows_a_picture_and_below_it_the_same_in_words(monkeypatch):
    rec, shown = leader_killed().rec(30), []
    monkeypatch.setattr("IPython.display.display", lambda data, **how: shown.append((data, how)))
    picture = lab.timeline(rec)
    picture.alt += " <i1>"
    picture._ipython_display_()
    (image, about), (words, _) = shown
    assert image["image/png"].startswith(PNG) and about["metadata"]["image/png"] == {"alt": picture.alt}
    assert html.escape(picture.alt) in words["text/html"] and "<i1>" not in words["text/html"]


def test_names_are_never_read_as_mathematics():
    h, x = three(), "a$\\b$c$"
    h.at(1).ready(x, source="trigger", task=x).add(
        "RUNNING", x, task=x, attempt=1, token=9, instance="i1", until=T(9)
    )
    h.take("$$", 20, "$x_i$", until=8)
    assert lab.timeline(h.rec(3)).png().startswith(PNG)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_picture_is_saved_in_the_format_of_its_name(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    lab.timeline(leader_killed().rec(30)).savefig(path)
    assert path.stat().st_size > 10_000


def test_a_dark_style_of_the_user_changes_nothing():
    import matplotlib

    rec = leader_killed().rec(30)
    before = lab.timeline(rec).png()
    with matplotlib.rc_context({"axes.facecolor": "black", "text.color": "white", "font.size": 30}):
        assert lab.timeline(rec).png() == before


def test_the_lab_costs_nothing_until_it_draws_and_never_loads_pyplot():
    program = """
import json, sys
from labsched import lab
before = [name for name in ("matplotlib", "pandas") if name in sys.modules]
lab.timeline, lab.Picture
import labsched.lab.pictures.timeline
print(json.dumps([before, "matplotlib.pyplot" in sys.modules, callable(lab.timeline)]))
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(output.stdout) == [[], False, True]


def test_the_lab_names_what_it_has():
    assert set(lab.__all__) <= set(dir(lab))
    with pytest.raises(AttributeError, match="no attribute 'spacetime_machine'"):
        _ = lab.spacetime_machine


async def test_a_real_cluster_is_drawn_as_it_was():
    tasks = Path(__file__).parent.parent / "data" / "tasks.yml"
    async with ProcessCluster(2, tasks=tasks) as cluster:
        run = await cluster.app.trigger("daily-report")
        done = await cluster.app.wait(run, timeout=20)
        (leader,) = [info.name for info in await cluster.app.instances() if info.leader]
        await cluster.kill(leader)
        rec = await cluster.recording()
    picture = lab.timeline(rec)
    drawn = attempts(picture, execution=run).iloc[0]
    assert (drawn.band, drawn.outcome, drawn.task) == (done.instance, "SUCCEEDED", "daily-report")
    leads = picture.data[picture.data.kind == "leader"].iloc[0]
    killed = picture.data[picture.data.kind == "fault"].iloc[0]
    assert (leads.label, killed.band, killed.outcome) == (leader, leader, "kill")
    assert leads.start < killed.start <= leads.end and leads.halt == killed.start
    assert picture.png().startswith(PNG)


def test_a_fault_of_the_server_is_drawn_below_the_names_that_it_crosses():
    h = three().take("book", 20, "i1", until=9).at(3).fault("failover", "server").at(8)
    axes = lab.timeline(h.rec(10)).axes[0]
    name = next(text for text in axes.texts if text.get_text() == "i1 #1" and text.get_color() == "white")
    crossing = [line for line in axes.lines if list(line.get_xdata()) == [3.0, 3.0]]
    assert crossing and all(line.get_zorder() < name.get_zorder() for line in crossing)
