"""`labsched instance`: joins, drains on SIGTERM, waits for its server, stays small."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clikit import APP, Cli, clean_env, empty, free_port, instance, process, wait_for

from labsched.worlds import Server

HEAVY = ("pandas", "numpy", "matplotlib", "rich", "simpy", "fakeredis", "IPython")


@pytest.fixture
def cli(valkey_process):
    empty(valkey_process.url)
    return Cli(valkey_process.url, "one")


@pytest.fixture
def app(tmp_path):
    (tmp_path / "handlers.py").write_text(APP)
    return f"{tmp_path / 'handlers.py'}:app"


def alive(cli) -> list[str]:
    return [i["name"] for i in cli("instances", "--json").json]


def log(folder: Path) -> str:
    return (folder / "instance.log").read_text()


def test_sigterm_drains_and_the_log_tells_the_stages(cli, app, tmp_path):
    with instance(cli, tmp_path, "--name", "i1", "--app", app, "--journal", str(tmp_path / "j")) as running:
        wait_for(lambda: alive(cli) == ["i1"], "it does not join")
        id = cli("trigger", "slow", "-p", "seconds=1").out.strip()
        wait_for(lambda: cli("execution", id, "--json").json["state"] == "RUNNING", "it does not run")
        running.send_signal(signal.SIGTERM)
        assert running.wait(15) == 0
    assert alive(cli) == []
    assert cli("execution", id, "--json").json["state"] == "SUCCEEDED"
    text = log(tmp_path)
    assert "SIGTERM: draining" in text and "Traceback" not in text
    for stage in ("signal", "stepped-down", "claiming-stopped", "returned", "bodies-done", "left"):
        assert f"drain: {stage} after " in text
    assert all(line[:4].isdigit() and line[23] == "Z" for line in text.splitlines()), text
    entries = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()]
    assert {"joined", "proved", "drain"} <= {entry["kind"] for entry in entries}
    assert all(entry["instance"] == "i1" and "mono" in entry for entry in entries)


def test_tasks_of_the_settings_are_added_to_those_of_the_app(cli, app, tmp_path):
    (tmp_path / "tasks.yml").write_text("tasks: [{name: often, handler: quick, schedule: manual}]")
    (tmp_path / "settings.yml").write_text(f"tasks: {tmp_path / 'tasks.yml'}")
    with instance(cli, tmp_path, "--name", "i1", "--app", app, "--config", str(tmp_path / "settings.yml")):
        wait_for(lambda: alive(cli) == ["i1"], "it does not join")
        assert cli("trigger", "often", "--wait=10s").code == 0
        assert "quick" in cli("tasks").out


def test_a_second_sigterm_ends_at_once_with_1(cli, app, tmp_path):
    with instance(cli, tmp_path, "--name", "i1", "--app", app) as running:
        wait_for(lambda: alive(cli) == ["i1"], "it does not join")
        id = cli("trigger", "slow", "-p", "seconds=25").out.strip()
        wait_for(lambda: cli("execution", id, "--json").json["state"] == "RUNNING", "it does not run")
        running.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        running.send_signal(signal.SIGTERM)
        assert running.wait(5) == 1
    assert "SIGTERM again: ending at once" in log(tmp_path)


def test_a_signal_sent_twice_in_a_row_counts_once(cli, app, tmp_path):
    with instance(cli, tmp_path, "--name", "i1", "--app", app) as running:
        wait_for(lambda: alive(cli) == ["i1"], "it does not join")
        running.send_signal(signal.SIGTERM)
        running.send_signal(signal.SIGTERM)
        assert running.wait(15) == 0
    assert alive(cli) == []


def test_drained_from_elsewhere_it_ends_with_0(cli, app, tmp_path):
    with instance(cli, tmp_path, "--name", "i1", "--app", app) as running:
        wait_for(lambda: alive(cli) == ["i1"], "it does not join")
        assert cli("drain", "i1").out == "i1 was asked to leave\n"
        assert running.wait(15) == 0


def test_without_app_and_tasks_it_runs_the_samples(cli, tmp_path):
    with instance(cli, tmp_path, "--name", "i1", "--no-web", "--pool-size", "3"):
        wait_for(lambda: len(cli("executions", "--state", "SUCCEEDED", "--json").json) > 1, "nothing runs")
    assert {t["name"] for t in cli("tasks", "--json").json} == {
        "daily-report",
        "cleanup-temp-files",
        "data-backup",
    }


def test_a_tasks_file_names_handlers_of_the_app_and_of_the_samples(cli, app, tmp_path):
    (tmp_path / "more.yml").write_text(
        "tasks:\n"
        "- {name: quick-too, handler: quick, schedule: manual}\n"
        "- {name: data-backup, schedule: manual}\n"
    )
    with instance(cli, tmp_path, "--name", "i1", "--app", app, "--tasks", str(tmp_path / "more.yml")):
        wait_for(lambda: alive(cli) == ["i1"], "it does not join")
        assert cli("trigger", "quick-too", "--wait=10s").code == 0
    assert "data-backup" in {t["name"] for t in cli("tasks", "--json").json}


def test_the_apps_own_settings_count_where_nothing_else_is_said(cli, tmp_path):
    (tmp_path / "own.py").write_text(
        "from labsched import Scheduler, Settings, manual\n"
        f"app = Scheduler({cli.url!r}, namespace='its-own', settings=Settings(pool_size=7))\n"
        "@app.task('t', manual())\n"
        "async def t(ctx): ...\n"
    )
    command = [sys.executable, "-m", "labsched", "instance", "--name", "i1", "--app", "own:app"]
    running = subprocess.Popen(command, env=clean_env(), cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        own = Cli(cli.url, "its-own")
        wait_for(lambda: own("instances", "--json").json, "it does not join")
        assert own("instances", "--json").json[0]["pool_size"] == 7
    finally:
        running.terminate()
        assert running.wait(15) == 0


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError"),
        ("app = 3", "app is a int, not a Scheduler"),
        (
            "from labsched import Scheduler, every\napp = Scheduler()\napp.task('x', every('nonsense'))",
            "period 'nonsense'",
        ),
    ],
)
def test_code_that_cannot_be_loaded_is_one_line(tmp_path, code, says):
    (tmp_path / "mine.py").write_text(code)
    outcome = process("instance", "--app", f"{tmp_path / 'mine.py'}:app", "--url", "redis://127.0.0.1:1")
    assert outcome.code == 2 and says in outcome.err and outcome.err.count("\n") == 1


def test_a_file_named_like_a_loaded_module_is_refused(tmp_path):
    (tmp_path / "json.py").write_text("app = 1")
    outcome = process("instance", "--app", f"{tmp_path / 'json.py'}:app", "--url", "redis://127.0.0.1:1")
    assert outcome.code == 2 and "rename it" in outcome.err


def test_it_waits_for_its_server_tells_so_and_goes_on_when_it_is_back(app, tmp_path):
    port = free_port()
    with Server(port=port) as server:
        cli = Cli(server.url, "away")
    with instance(cli, tmp_path, "--name", "i1", "--app", app) as running:
        time.sleep(3)
        said = [line for line in log(tmp_path).splitlines() if "server unreachable" in line]
        assert 1 <= len(said) <= 4
        with server:
            wait_for(lambda: alive(cli) == ["i1"], "it does not join once the server is there")
            server.stop()
            time.sleep(2)
            server.start()
            wait_for(lambda: "the server answers again, after" in log(tmp_path), "it does not notice")
            wait_for(lambda: alive(cli) == ["i1"], "it is not back")
            running.terminate()
            assert running.wait(15) == 0
    assert "Traceback" not in log(tmp_path)


def test_sigterm_ends_it_also_while_it_still_waits_for_its_server(tmp_path):
    with instance(Cli("redis://127.0.0.1:1", "x"), tmp_path) as running:
        wait_for(lambda: "unreachable" in log(tmp_path), "it says nothing")
        running.terminate()
        assert running.wait(5) == 0


def test_a_disabled_scheduler_runs_nothing(cli, tmp_path):
    outcome = process("instance", env={"LABSCHED_SCHEDULER_ENABLED": "false", "LABSCHED_REDIS_URL": cli.url})
    assert outcome.code == 0 and "this process runs nothing" in outcome.err


def test_it_loads_nothing_heavy_and_stays_under_60_mib(cli, tmp_path):
    with instance(cli, tmp_path, "--name", "i1") as running:
        wait_for(lambda: len(cli("executions", "--state", "SUCCEEDED", "--json").json) > 1, "nothing runs")
        status = Path(f"/proc/{running.pid}/status")
        if status.exists():
            (resident,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
            assert int(resident.split()[1]) < 60 * 1024
    program = (
        "import sys, labsched.cli.serve, labsched.samples, labsched.worlds.server\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
