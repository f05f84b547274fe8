"""The commands that change something, and the exit codes of what came of it."""

import json
import time

import pytest
from clikit import empty, instance, live, wait_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def cli(valkey_process, folder):
    empty(valkey_process.url)
    with live(valkey_process.url, folder, "steer") as made:
        yield made


def state_of(cli, id: str) -> str:
    return cli("execution", id, "--json").json["state"]


def test_trigger_prints_the_id_and_wait_the_result(cli):
    id = cli("trigger", "quick").out.strip()
    assert id.startswith("quick~")
    done = cli(
        "trigger",
        "quick",
        "-p",
        "day=today",
        "-p",
        "n=3",
        "--payload",
        '{"n": 1, "deep": [true]}',
        "--wait=10s",
    )
    assert done.code == 0
    first, result = done.out.splitlines()
    assert first.startswith("quick~") and first.endswith("  SUCCEEDED")
    assert json.loads(result) == {"got": {"n": 3, "deep": [True], "day": "today"}}
    (x,) = cli("trigger", "quick", "--wait=10s", "--json").json
    assert x["state"] == "SUCCEEDED"


def test_trigger_wait_exits_1_unless_it_succeeded_and_says_why(cli):
    failed = cli("trigger", "broken", "--wait")
    assert failed.code == 1
    assert failed.out.endswith("  FAILED\n")
    assert "is FAILED: ValueError: no such luck" in failed.err


def test_wait_gives_up_in_one_line(cli):
    outcome = cli("trigger", "slow", "-p", "seconds=5", "--wait=300ms")
    assert outcome.code == 1
    assert outcome.err.startswith("labsched: slow~") and "did not end within 0.3 s" in outcome.err
    assert outcome.err.count("\n") == 1


def test_the_same_key_makes_one_run(cli):
    assert (
        cli("trigger", "quick", "--key", "k1").out
        == cli("trigger", "quick", "--key", "k1").out
        == "quick~k1\n"
    )
    assert len([x for x in cli("executions", "--task", "quick", "--json").json if x["id"] == "quick~k1"]) == 1


def test_trigger_later_and_with_priority(cli):
    id = cli("trigger", "quick", "--at", "+1h", "--priority", "high").out.strip()
    x = cli("execution", id, "--json").json
    assert (x["state"], x["priority"]) == ("BUFFERED", "high")
    assert 3_590_000 < x["due"] - x["created"] <= 3_600_000
    assert "waits for its time" in cli("why", id).out
    assert cli("cancel", id).out == "cancelled\n"


def test_many_from_a_file_and_from_stdin(cli, tmp_path):
    (tmp_path / "days.jsonl").write_text('{"day": 1}\n\n{"day": 2}\n')
    ids = cli("trigger", "quick", "--many", str(tmp_path / "days.jsonl")).out.split()
    assert len(set(ids)) == 2
    done = cli("trigger", "quick", "--many", "-", "--wait=10s", stdin='{"day": 3}\n' * 3)
    assert (done.code, done.out) == (0, "3 SUCCEEDED\n")
    mixed = cli("trigger", "broken", "--many", "-", "--wait=10s", stdin="{}\n{}\n")
    assert mixed.code == 1
    assert mixed.out.endswith("2 FAILED\n") and "ValueError: no such luck" in mixed.out
    assert cli("trigger", "quick", "--many", "-", "--json", stdin="{}\n").json[0].startswith("quick~")


def test_backfill_runs_each_slot_once(cli):
    first = cli("backfill", "hourly", "2026-01-01", "2026-01-01 03:00", "--wait=10s")
    assert (first.code, first.out) == (0, "3 SUCCEEDED\n")
    again = cli("backfill", "hourly", "2026-01-01", "2026-01-01T03:00Z", "--json").json
    assert again == [f"hourly@{1767225600000 + n * 3_600_000}~backfill" for n in (1, 2, 3)]
    nothing = cli("backfill", "hourly", "2026-01-01 00:10", "2026-01-01 00:20")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "hourly has no slot in that time\n")
    for words in (["--", "-2h", "now"], ["-2h", "now"], ["-PT2H", "-0h", "--json"]):
        assert len(cli("backfill", "hourly", *words).out.split("hourly@")) == 3, words


def test_pause_and_resume_say_whether_they_changed_anything(cli):
    assert cli("pause", "hourly").out == "hourly is paused\n"
    assert cli("pause", "hourly").out == "hourly was paused already\n"
    assert "PAUSED (by operator)" in cli("tasks").out
    assert "the task is PAUSED" in cli("why", "--task", "hourly").out
    assert cli("resume", "hourly", "--catch-up", "none").out == "hourly is active\n"
    assert cli("resume", "hourly").out == "hourly was active already\n"


def test_cancel_says_what_it_could_do(cli):
    id = cli("trigger", "slow", "-p", "seconds=20").out.strip()
    wait_for(lambda: state_of(cli, id) == "RUNNING", "it does not run")
    assert cli("cancel", id).out in ("requested\n", "cancelled\n")
    wait_for(lambda: state_of(cli, id) == "CANCELLED", "it is not cancelled")
    late = cli("cancel", id)
    assert (late.code, late.out) == (1, "already CANCELLED\n")
    two = cli("cancel", id, id)
    assert (two.code, two.out) == (1, f"{id}  already CANCELLED\n" * 2)


def test_requeue_gives_another_life_and_refuses_what_has_not_failed(cli):
    cli("trigger", "broken", "--key", "again", "--wait=10s")
    assert cli("requeue", "broken~again").out == "broken~again is READY\n"
    wait_for(lambda: len(cli("execution", "broken~again", "--json").json["attempts"]) == 2, "not run again")
    cli("trigger", "quick", "--key", "fine", "--wait=10s")
    refused = cli("requeue", "quick~fine")
    assert (refused.code, refused.out) == (1, "")
    assert "only FAILED and DEAD can be requeued" in refused.err


def test_drain_waits_until_the_instance_has_left(cli, folder):
    app = f"{folder / 'handlers.py'}:app"
    with instance(cli, folder, "--name", "i2", "--app", app, log="i2.log") as second:
        wait_for(lambda: len(cli("instances", "--json").json) == 2, "i2 does not join")
        drained = cli("drain", "i2", "--wait=20s")
        assert (drained.code, drained.out) == (0, "i2 has left\n")
        assert second.wait(10) == 0
    assert [i["name"] for i in cli("instances", "--json").json] == ["i1"]
    assert "no instance 'i2'" in cli("drain", "i2").err


def test_a_disabled_task_is_refused_and_not_a_wrong_call(cli):
    import asyncio

    from labsched import Scheduler

    async def disable() -> None:
        async with Scheduler(cli.url, namespace=cli.namespace) as app:
            await app.disable("berlin")

    asyncio.run(disable())
    refused = cli("trigger", "berlin")
    assert refused.code == 1 and "`labsched resume berlin` allows it again" in refused.err
    assert cli("resume", "berlin").code == 0


def test_waiting_for_many_at_once_is_not_slow(cli):
    began = time.monotonic()
    done = cli("trigger", "quick", "--many", "-", "--wait=30s", stdin="{}\n" * 500)
    assert (done.code, done.out) == (0, "500 SUCCEEDED\n")
    assert time.monotonic() - began < 25


def test_a_disabled_task_takes_neither_slots_nor_triggers_until_it_is_resumed(cli):
    assert cli("disable", "quick").out == "quick is disabled\n"
    assert cli("disable", "quick").out == "quick was disabled already\n"
    refused = cli("trigger", "quick")
    assert refused.code == 1 and "'quick' is DISABLED" in refused.err
    assert cli("resume", "quick").out == "quick is active\n"
    assert cli("trigger", "quick", "--wait=10s").code == 0
    assert cli("disable", "quik").code == 2
