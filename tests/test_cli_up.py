"""`labsched up` and `labsched demo`: whole clusters, from the command line, on the embedded server."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys

import pytest
from clikit import APP, call, clean_env, process, wait_for

from labsched.cli import demo
from labsched.worlds import find_runtime, load


@pytest.fixture(autouse=True)
def private_runtime(tmp_path, monkeypatch):
    """No test meets the servers of the person who runs the tests."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)


@contextlib.contextmanager
def running_up(folder, *words):
    """`labsched up` in a folder of its own, once it is up; killed at the end if it is still there."""
    command = [sys.executable, "-m", "labsched", "up", *words]
    with open(folder / "up.log", "w") as log:
        running = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=clean_env(), cwd=folder)
    try:
        wait_for(lambda: "Ctrl-C drains" in (folder / "up.log").read_text(), "it does not come up", 30)
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()


@pytest.fixture
def up(tmp_path):
    """`labsched up` with two instances of the samples."""
    with running_up(tmp_path, "-n", "2", "--namespace", "shop") as running:
        yield running


def test_up_runs_an_app_in_the_namespace_and_with_the_settings_of_its_code(tmp_path):
    own = 'Scheduler("redis://not-used", namespace="mine", settings=Settings(pool_size=3, leader_election=False))'
    text = APP.replace('Scheduler("redis://not-used", namespace="not-used")', own)
    (tmp_path / "my_app.py").write_text(text.replace("import Scheduler", "import Scheduler, Settings"))
    with running_up(tmp_path, "-n", "1", "--app", "my_app.py:app") as running:
        shown = (tmp_path / "up.log").read_text()
        assert "namespace  mine" in shown and "labsched trigger berlin --wait" in shown
        assert [i["pool_size"] for i in process("instances", "--json").json] == [3]
        assert process("trigger", "quick", "--wait=10s").code == 0
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0


def test_the_command_that_starts_an_ended_instance_again_defines_nothing_new(tmp_path):
    (tmp_path / "my_app.py").write_text(APP)
    log = tmp_path / "up.log"
    with running_up(tmp_path, "-n", "1", "--app", "my_app.py:app", "--namespace", "mine"):
        before = process("tasks", "--json").json
        process("drain", "i1", "--wait=10s")
        wait_for(lambda: "starts it again" in log.read_text(), "its end is not told")
        _, said, _ = log.read_text().partition("i1 has ended: ")[2].split("`")
        words = shlex.split(said)
        assert words[:2] == ["labsched", "instance"]
        command = [sys.executable, "-m", *words]
        again = subprocess.Popen(command, env=clean_env(), cwd=tmp_path, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: process("instances", "--json").json, "it does not join")
            after = process("tasks", "--json").json
        finally:
            again.kill()
            again.wait()
        assert [t["task"]["name"] for t in after] == [t["task"]["name"] for t in before]


def test_up_is_found_by_other_commands_and_drains_on_ctrl_c(up, tmp_path):
    log = tmp_path / "up.log"
    assert "namespace  shop" in log.read_text() and "labsched doctor" in log.read_text()
    # The namespace is the one of the cluster that runs, unless another is named.
    assert [i["name"] for i in process("instances", "--json").json] == ["i1", "i2"]
    assert process("tasks", "--namespace", "other").err.startswith("no task is defined in 'other': ")
    assert process("trigger", "cleanup-temp-files", "--wait=10s").code == 0
    assert process("doctor").code == 0

    victim = next(i for i in process("instances", "--json").json if i["leader"])
    os.kill(victim["pid"], signal.SIGKILL)
    wait_for(lambda: f"{victim['name']} has ended" in log.read_text(), "its end is not told")
    wait_for(lambda: "LEADER_ELECTED" in log.read_text(), "the new leader is not told")

    # A third instance finds the server by itself.
    third = [sys.executable, "-m", "labsched", "instance", "--name", "i3"]
    with subprocess.Popen(third, env=clean_env(), cwd=tmp_path, stderr=subprocess.DEVNULL) as joining:
        wait_for(lambda: "i3" in {i["name"] for i in process("instances", "--json").json}, "i3 does not join")
        joining.terminate()
        assert joining.wait(15) == 0

    up.send_signal(signal.SIGINT)
    assert up.wait(20) == 0
    assert log.read_text().endswith("stopped\n") and "Traceback" not in log.read_text()
    assert find_runtime() is None
    assert "no embedded server runs here" in process("tasks").err


def test_a_password_is_printed_only_when_asked_for(up, tmp_path):
    url = find_runtime().url
    assert url not in (tmp_path / "up.log").read_text()
    assert "redis://:***@127.0.0.1:" in (tmp_path / "up.log").read_text().replace("***@", ":***@", 1).replace(
        "::", ":"
    )
    up.send_signal(signal.SIGTERM)
    assert up.wait(20) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tasks: [{name: daily-report, schedule: manual, retires: 3}]", "unknown option 'retires'"),
        ("tasks: [{name: nope, schedule: manual}]", "no handler 'nope' is registered"),
        ("tasks: [", "line 1"),
    ],
)
def test_a_wrong_tasks_file_is_refused_before_anything_is_started(tmp_path, text, says):
    (tmp_path / "tasks.yml").write_text(text)
    for words in (["--tasks", "tasks.yml"], ["--config", "settings.yml"]):
        (tmp_path / "settings.yml").write_text("tasks: tasks.yml")
        outcome = call("up", "-n", "1", *words)
        assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
        assert says in outcome.err


def test_an_app_that_cannot_be_loaded_is_refused_before_anything_is_started(tmp_path):
    (tmp_path / "broken_app.py").write_text("import labsched\nlabsched.Nope")
    outcome = call("up", "-n", "1", "--app", "broken_app.py:app")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert "broken_app.py' cannot be loaded: AttributeError" in outcome.err and "line 2" in outcome.err


def test_the_demo_kills_a_leader_checks_every_guarantee_and_leaves_picture_and_recording(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(demo, "GO_ON", 6.0)
    outcome = call("demo", "--out", "shown")
    assert outcome.code == 0, outcome.out
    text = outcome.out
    assert "SIGKILL to " in text and "is started again" in text
    # By chance others may have run every backup that was asked for: then the leader dies with idle hands.
    busy = ", in the middle of data-backup" in text
    assert not busy or "try 2" in text
    for name in ("led", "killed", "taken over", "executions", "timeline", "recording", *["run again"] * busy):
        assert any(line.startswith(name) for line in text.splitlines()), name
    # What appears in it is explained before it appears.
    for word, first in (("slot ", "TASK@SLOT"), ("epoch ", "epoch #1"), ("token ", "tokens only grew")):
        assert text.index(f"\n{word}") < text.index(first), word
    report = call("check", "shown/run.json.gz", "--json").json
    assert report["ok"]
    # The text counts its seconds from where recording and picture do.
    rec = load("shown/run.json.gz")
    said = float(re.search(r"([\d.]+)s  SIGKILL to", text).group(1))
    (killed,) = rec.faults.query("kind == 'kill'").t
    assert abs(said - killed) < 0.3
    tested = {g["id"]: g["tested"] for g in report["guarantees"]}
    assert len(tested) == 12 and all(id in text for id in tested)
    idle = [id for id, times in tested.items() if not times]
    assert f"{12 - len(idle)} of 12 guarantees were put to the test, {sum(tested.values())} times" in text
    assert not idle or f"not put to the test in this run: {', '.join(idle)}\n" in text
    assert tested["clean-drain"] == 3 and (tested["bounded-recovery"] > 0 or not busy)
    if (tmp_path / "shown" / "timeline.png").exists():
        assert (tmp_path / "shown" / "timeline.png").read_bytes()[:4] == b"\x89PNG"
    else:
        assert "timeline   none: " in text


def test_the_demo_tells_a_violation(monkeypatch, tmp_path, capsys):
    from histories import History

    rec = History().take("a", 1, "i1", until=10).at(9).take("a", 2, "i2", until=20).rec()
    plot = demo.Plot(killed="i1", states={"SUCCEEDED": 3})
    demo._tell(plot, rec.check(), tmp_path / "run.json", "none")
    text = capsys.readouterr().out
    assert "VIOLATED" in text and "1 times a guarantee was violated" in text
    assert "by nobody within" in text
