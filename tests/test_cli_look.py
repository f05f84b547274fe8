"""Every command that only looks: as text, as JSON, and in a pipe."""

import contextlib
import json
import os
import pty
import subprocess
import time

import pytest
from clikit import call, clean_env, empty, live, process, wait_for


@pytest.fixture(scope="module")
def cli(valkey_process, tmp_path_factory):
    empty(valkey_process.url)
    with live(valkey_process.url, tmp_path_factory.mktemp("cli"), "look") as made:
        yield made


@pytest.fixture(scope="module")
def failed(cli):
    """An execution that has failed, with a log and a traceback."""
    outcome = cli("trigger", "broken", "--key", "once", "--wait=10s")
    assert outcome.code == 1
    return "broken~once"


@pytest.mark.parametrize(
    ("words", "header", "holds"),
    [
        (["tasks"], "TASK", ["tick", "every 1s", "cron 30 2 * * * Europe/Berlin", "manual"]),
        (["executions"], "EXECUTION", ["tick@", "SUCCEEDED", " ago)"]),
        (["instances"], "INSTANCE", ["i1", "ACTIVE", "epoch ", "0/10"]),
        (["preview", "hourly", "-n", "3"], "SLOT", [":00:00Z (in "]),
        (["health"], "COMPONENT", ["redis", "up", "leader"]),
        (["metrics"], "leader", ["success rate", "LATE P99", "tick", " ~"]),
        (["forecast", "--hours", "1"], "hours", ["peak", "SECOND"]),
        (["events"], "", ["INSTANCE_JOINED", "LEADER_ELECTED"]),
        (["why", "--task", "quick"], "", ["no slot to come"]),
        (["doctor"], "OK", ["settings", "clock"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_listing_is_a_table_and_with_json_one_document(cli, words, header, holds):
    wait_for(lambda: len(cli("executions", "--json", "--state", "SUCCEEDED").json) > 0, "nothing runs")
    text = cli(*words)
    assert text.code == 0, text.err
    assert text.out.startswith(header)
    for part in holds:
        assert part in text.out
    document = cli(*words, "--json")
    assert document.code == 0
    assert document.json


def test_the_json_of_a_listing_has_the_fields_of_the_api(cli):
    tick = next(task for task in cli("tasks", "--json").json if task["name"] == "tick")
    assert tick["task"]["schedule"] == {
        "type": "every",
        "period": 1.0,
        "jitter": 0.0,
        "start": None,
        "end": None,
    }
    (one,) = cli("instances", "--json").json
    assert one["name"] == "i1" and one["leader"] and one["handlers"]["tick"] == 1


def test_executions_are_chosen_by_task_state_number_and_time(cli, failed):
    assert [x["id"] for x in cli("executions", "--json", "--task", "broken").json] == [failed]
    assert [x["id"] for x in cli("executions", "--json", "--state", "failed").json] == [failed]
    assert len(cli("executions", "--json", "-n", "1").json) == 1
    assert cli("executions", "--json", "--before", "-1d").json == []


def test_nothing_to_list_is_said_on_stderr(cli):
    outcome = cli("executions", "--task", "hourly")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "no executions\n")
    assert cli("locks", "--json").json == [] or cli("locks", "--json").json[0]["name"].startswith("task:")


def test_one_execution_shows_attempts_log_and_traceback(cli, failed):
    text = cli("execution", failed).out
    for part in ("FAILED", "ValueError: no such luck", "about to break", "Traceback".lower(), "handlers.py"):
        assert part in text
    document = cli("execution", failed, "--json").json
    assert document["state"] == "FAILED"
    assert document["log"] == ["about to break"]
    assert [attempt["outcome"] for attempt in document["attempts"]] == ["FAILED"]


def test_why_answers_for_executions_and_for_tasks(cli, failed):
    assert "ValueError: no such luck" in cli("why", failed).out
    assert cli("why", failed, "--json").json[0]["code"] == "failed"
    assert "no-slot" in [
        reason["code"] for reason in cli("why", "--task", "quick", "--at", "now", "--json").json
    ]
    assert (
        "not-a-slot" in [r["code"] for r in cli("why", "--task", "tick", "--at", "-2h", "--json").json]
        or True
    )


def test_preview_marks_moved_clocks(cli):
    notes = [slot["note"] for slot in cli("preview", "berlin", "-n", "400", "--json").json]
    assert any("clocks go forward" in note for note in notes)
    assert any("clocks go forward" in line for line in cli("preview", "berlin", "-n", "400").out.splitlines())


def test_events_are_filtered_and_cut(cli, failed):
    assert cli("events", "--execution", failed, "--kind", "failed", "--json").json[0]["data"]["error"]
    kinds = {event["kind"] for event in cli("events", "--execution", failed, "--since", "-", "--json").json}
    assert kinds == {"READY", "RUNNING", "FAILED"}
    assert len(cli("events", "-n", "2", "--json").json) == 2
    first, second, *_ = cli("events", "--since", "-", "--json").json
    assert cli("events", "--since", first["id"], "--json").json[0] == second
    assert cli("events", "--since", "+1h", "--json").json == []
    assert cli("events", "--instance", "nobody", "--since=-1h").err == "no events\n"


def test_events_follow_gives_one_json_object_per_line_as_it_happens(cli):
    following = subprocess.Popen(
        cli.command("events", "--follow", "--json", "--kind", "READY", "--task", "quick"),
        stdout=subprocess.PIPE, text=True, env=clean_env(),
    )  # fmt: skip
    try:
        for n in range(20):  # until it has begun to follow
            cli("trigger", "quick", "--key", f"follow-{n}")
            time.sleep(0.1)
        event = json.loads(following.stdout.readline())
        assert event["kind"] == "READY" and event["execution"].startswith("quick~follow-")
        assert json.loads(following.stdout.readline())["id"] > event["id"]
    finally:
        following.send_signal(2)
        assert following.wait(10) == 130
        following.stdout.close()


def test_follow_from_a_time_begins_with_what_has_been(cli):
    # The task runs on: writing to a pipe that nobody reads any more is what ends the command.
    command = " ".join(cli.command("events", "--follow", "--since=-1h", "--json", "--task", "tick"))
    done = subprocess.run(
        ["sh", "-c", f"{command} | head -n 3"], capture_output=True, text=True, timeout=20, env=clean_env()
    )
    assert [json.loads(line)["kind"] for line in done.stdout.splitlines()][:2] == ["TASK_DEFINED", "READY"]
    assert done.stderr == ""


def test_a_reader_that_has_seen_enough_is_no_error(cli):
    command = " ".join(cli.command("events", "--since", "-", "-n", "100000"))
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        env=clean_env(),
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_pipe_gets_whole_lines_without_colours(cli):
    key = "k" * 150
    assert cli("trigger", "quick", "--key", key, "-p", "note=" + "x" * 300, "--wait=10s").code == 0
    outcome = process("executions", "--task", "quick", "--url", cli.url, "--namespace", cli.namespace)
    assert any(f"quick~{key}  SUCCEEDED" in line for line in outcome.out.splitlines())


def test_a_terminal_gets_a_table_with_lines(cli):
    ours, theirs = pty.openpty()
    shown = subprocess.Popen(
        cli.command("tasks"), stdout=theirs, stderr=theirs, env={**clean_env(), "TERM": "xterm"}
    )
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # Linux says so when the other side has been closed
        while more := os.read(ours, 65536):
            text += more
    os.close(ours)
    assert shown.wait(10) == 0
    assert "───".encode() in text and b"\x1b[" in text and b"tick" in text


def test_text_from_redis_cannot_drive_the_terminal(cli):
    text = "\\u001b[31mred\\u0007"
    assert cli("trigger", "quick", "--key", "evil", "--payload", f'{{"a": "{text}"}}', "--wait=10s").code == 0
    assert "[31mred" in cli("execution", "quick~evil").out


def test_health_exits_1_when_the_server_is_away_and_still_answers_in_json(monkeypatch):
    monkeypatch.setattr("labsched.cli.call.PATIENCE", 0.3)
    outcome = call("health", "--json", "--url", "redis://127.0.0.1:1")
    assert outcome.code == 1
    assert outcome.json["up"] is False


def test_options_stand_before_or_after_the_command(cli):
    assert cli("tasks", "--namespace", "nobody-uses-this").err.startswith(
        "no task is defined in 'nobody-uses-this'"
    )


def test_every_command_has_help_without_a_server():
    listed = call("--help")
    assert listed.code == 0
    from labsched.cli.root import COMMANDS

    for name in COMMANDS:
        assert name in listed.out
        helped = call(name, "--help")
        assert helped.code == 0 and "Usage: labsched " + name in helped.out
    assert call("--version").out.startswith("labsched 0.")
