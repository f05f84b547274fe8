"""`labsched up` and `labsched demo`: whole clusters, from the command line, on the embedded server."""

import os
import signal
import subprocess
import sys

import pytest
from clikit import call, clean_env, process, wait_for

from labsched.cli import demo
from labsched.worlds import find_runtime


@pytest.fixture(autouse=True)
def private_runtime(tmp_path, monkeypatch):
    """No test meets the servers of the person who runs the tests."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def up(tmp_path):
    """`labsched up` with two instances, in a folder of its own."""
    command = [sys.executable, "-m", "labsched", "up", "-n", "2", "--namespace", "shop"]
    with open(tmp_path / "up.log", "w") as log:
        running = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=clean_env(), cwd=tmp_path
        )
    try:
        wait_for(lambda: "Ctrl-C drains" in (tmp_path / "up.log").read_text(), "it does not come up", 30)
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()


def test_up_is_found_by_other_commands_and_drains_on_ctrl_c(up, tmp_path):
    log = tmp_path / "up.log"
    assert "namespace  shop" in log.read_text() and "labsched doctor" in log.read_text()
    # The namespace is the one of the cluster that runs, unless another is named.
    assert [i["name"] for i in process("instances", "--json").json] == ["i1", "i2"]
    assert process("tasks", "--namespace", "other").err == "no task is defined in 'other'\n"
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


def test_an_app_that_cannot_be_loaded_is_told_with_its_log(tmp_path):
    outcome = call("up", "-n", "1", "--app", str(tmp_path / "nope.py") + ":app")
    assert outcome.code == 1 and "does not exist" in outcome.err


def test_the_demo_kills_a_leader_checks_every_guarantee_and_leaves_picture_and_recording(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(demo, "GO_ON", 6.0)
    outcome = call("demo", "--out", "shown")
    assert outcome.code == 0, outcome.out
    text = outcome.out
    assert "SIGKILL to " in text and "is started again" in text and "try 2" in text
    for name in ("led", "killed", "taken over", "run again", "executions", "timeline", "recording"):
        assert any(line.startswith(name) for line in text.splitlines()), name
    report = call("check", "shown/run.json.gz", "--json").json
    assert report["ok"]
    tested = {g["id"]: g["tested"] for g in report["guarantees"]}
    assert len(tested) == 12 and all(id in text for id in tested)
    assert tested["bounded-recovery"] > 0 and tested["clean-drain"] == 3
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
