"""Two processes of `labsched instance` under one name."""

from __future__ import annotations

from pathlib import Path

import pytest
from clikit import APP, Cli, empty, instance, wait_for


@pytest.fixture
def cli(valkey_process):
    empty(valkey_process.url)
    return Cli(valkey_process.url, "names")


def test_the_older_process_ends_with_1_and_one_line_that_says_where_the_newer_runs(cli, tmp_path: Path):
    (tmp_path / "handlers.py").write_text(APP)
    app, folders = f"{tmp_path / 'handlers.py'}:app", [tmp_path / "old", tmp_path / "new"]
    for folder in folders:
        folder.mkdir()
    with instance(cli, folders[0], "--name", "i1", "--app", app) as old:
        wait_for(lambda: pids(cli) == [old.pid], "the older does not join")
        with instance(cli, folders[1], "--name", "i1", "--app", app) as new:
            assert old.wait(20) == 1
            said = (folders[0] / "instance.log").read_text()
            (line,) = [line for line in said.splitlines() if "superseded" in line]
            assert f"pid {new.pid} on" in line and "'i1'" in line and "name of its own" in line
            assert "Traceback" not in said
            assert pids(cli) == [new.pid]
            assert cli("trigger", "quick", "--wait=10s").code == 0


def pids(cli) -> list[int]:
    return [i["pid"] for i in cli("instances", "--json").json]
