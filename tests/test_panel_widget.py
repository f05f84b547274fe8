"""The live panel as a widget, without a front end: what a script may call, and what a browser may send."""

import re
import subprocess
import sys
import textwrap
import time

import pytest

from labsched import ConfigError, lab
from labsched.lab.panel import widget
from labsched.worlds import ProcessCluster, Simulation

TASKS = "data/tasks.yml"


@pytest.fixture
def panel():
    with Simulation(3, seed=7, tasks=TASKS) as sim:
        made = lab.control(sim)
        yield made
        made.close()


def test_a_scripted_panel_never_waits_for_a_person_and_repeats_itself(panel):
    rec = panel.press("kill", "leader", at=12).finish(until=60)
    with Simulation(3, seed=7, tasks=TASKS) as sim:
        sim.at(12).kill("leader")
        assert rec.digest == sim.run(until=60).digest
    assert rec.check().ok


def test_its_repr_has_neither_time_nor_address_and_is_all_that_plain_text_shows(panel):
    assert repr(panel) == "<Panel: 3 instances, simulated, seed 7>"
    data, _ = panel._repr_mimebundle_()
    assert data["text/plain"] == repr(panel)
    assert (
        repr(widget.Panel(panel.session, "1 instance, real processes"))
        == "<Panel: 1 instance, real processes>"
    )


def test_readers_without_a_kernel_see_a_picture_with_its_text_once_something_has_happened(panel):
    panel.pause().finish(until=20)
    data, metadata = panel._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert "20.0 seconds on 3 instances" in metadata["image/png"]["alt"]


def test_what_a_browser_sends_goes_into_the_inbox_and_nothing_else_is_taken(panel):
    panel.pause()
    sent = []
    panel.session.send = lambda do, **args: sent.append((do, args))
    try:
        for content in (
            {"do": "press", "verb": "kill", "target": "i1"},
            {"do": "pace", "pace": 2},
            {"do": "press", "act": "empty", "target": "server"},
            {"do": "press", "verb": "failover", "target": "server"},
            {"do": "press", "act": "__class__", "target": "server"},
            {"do": "finish", "until": 1e9},
            {"do": "_live"},
            {},
            "play",
        ):
            panel._pressed(None, content, [])
    finally:
        del panel.session.send
    assert [do for do, _ in sent] == ["press", "pace", "press"]
    assert (sent[0][1]["step"].kind, sent[0][1]["step"].target) == ("kill", "i1")
    assert sent[2][1]["step"].call() == "restart_server(keep=False, down=1.0)"


def test_every_button_of_the_server_is_a_verb_that_its_world_can_do(panel):
    panel.pause()
    for name in panel.acts:
        panel._pressed(None, {"do": "press", "act": name, "target": "server"}, [])
        panel.pause()
        assert panel.state["notice"] == "", name
    done = [step.kind for step in panel.session.replayable.steps]
    assert done == [
        "kill", "pause", "resume", "partition", "heal", "restart_server", "restart_server", "failover", "slow",
        "out_of_memory", "read_only",
    ]  # fmt: skip


@pytest.mark.parametrize("world", [None, 3, "redis://localhost"])
def test_only_a_world_can_be_controlled(world):
    with pytest.raises(ConfigError, match="a Simulation or a ProcessCluster can be controlled"):
        lab.control(world)


def test_a_cell_that_runs_again_closes_its_older_panels_but_not_those_of_the_same_run(monkeypatch):
    here = ("cell-1", "request-1")
    monkeypatch.setattr(widget, "_here", lambda: here)
    with Simulation(1, seed=1) as one, Simulation(1, seed=2) as two, Simulation(1, seed=3) as three:
        first, second = lab.control(one), lab.control(two)
        assert first.press("kill", "i1") is first, "made by the same run of the cell"
        here = ("cell-2", "request-2")
        other = lab.control(three)
        here = ("cell-1", "request-3")
        third = lab.control(one)
        for closed in (first, second):
            with pytest.raises(ConfigError, match="closed"):
                closed.press("kill", "i1")
        for open_ in (other, third):
            open_.pause().close()


def test_a_world_has_one_panel_and_the_newer_goes_on_where_the_older_was_closed():
    with Simulation(3, seed=7, tasks=TASKS) as sim:
        older = lab.control(sim, play=False)
        older.press("kill", "i1", at=8).finish(until=5)
        newer = lab.control(sim, play=False)
        with pytest.raises(ConfigError, match="closed"):
            older.finish()
        assert newer.finish(until=10).ended - newer.session.replayable.recording().started == 10
        assert newer.code() == older.code().replace("until=5", "until=10")
        newer.close()


def test_the_browser_gets_one_module_that_loads_nothing_from_anywhere():
    module = (widget._HERE / "panel.js").read_text() + (widget._HERE / "panel.css").read_text()
    assert not re.search(r"https?:|\bimport\b|@import|url\(", module)


KERNEL = """
    import os, sys, time
    from jupyter_client.manager import start_new_kernel
    manager, client = start_new_kernel(kernel_name="python3")
    def run(code):
        said = []
        hook = lambda message: said.append(message["content"].get("text", ""))
        reply = client.execute_interactive(code, timeout=60, output_hook=hook)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(said)
    def living(pids):
        return [pid for pid in pids if os.path.exists(f"/proc/{pid}") or os.system(f"kill -0 {pid} 2>/dev/null") == 0]
    def gone(pids):
        deadline = time.monotonic() + 30
        while living(pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        return not living(pids)
    CELL = '''
    from labsched import lab
    from labsched.worlds import ProcessCluster
    panel = lab.control(ProcessCluster(2))
    panel.finish(until=0)
    cluster = panel.session.cluster
    print(*cluster.pids.values(), cluster.server.pid)
    '''.replace("\\n    ", "\\n")
    first = [int(pid) for pid in run(CELL).split()]
    assert len(living(first)) == 3, first
"""
ENDS = {
    "its cell runs again": """
        second = [int(pid) for pid in run(CELL).split()]
        assert gone(first) and len(living(second)) == 3
        manager.shutdown_kernel()
    """,
    "the panel is closed": "run('panel.close()'); assert gone(first); manager.shutdown_kernel()",
    "the kernel restarts": "manager.restart_kernel(); assert gone(first); manager.shutdown_kernel()",
    "the kernel is killed": "manager.shutdown_kernel(now=True); assert gone(first)",
}


@pytest.mark.parametrize("how", ENDS)
def test_no_process_of_a_real_world_is_left_when(how):
    script = textwrap.dedent(KERNEL) + textwrap.dedent(ENDS[how])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=150, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_real_world_greys_what_time_cannot_do_and_its_buttons_work():
    panel = lab.control(ProcessCluster(2, tasks=TASKS))
    try:
        panel.finish(until=0)
        leader = wait_for(panel, lambda row: row["leader"])
        panel.press("kill", "leader")
        wait_for(panel, lambda row: row["name"] == leader["name"] and row["state"].startswith("killed"))
        other = wait_for(panel, lambda row: row["leader"] and row["name"] != leader["name"])
        assert other["epoch"] == 2
        for refused in (panel.play, panel.pause, lambda: panel.seek(1), lambda: panel.run_to("leader")):
            with pytest.raises(ConfigError, match="real processes: their time"):
                refused()
        assert set(panel.state["off"]) == {"play", "pause", "step", "run_to", "pace", "seek"}
        (server,) = panel.state["servers"]
        assert set(server["off"]) == set(panel.acts) - {"kill", "restart", "empty"}
        assert "no replica" in server["off"]["failover"]
        with pytest.raises(ConfigError, match="their server has no replica"):
            panel.press("partition", "i1").press("heal", "i1").press("restart", "i1") and panel.press(
                "failover"
            )
        with pytest.raises(ConfigError, match="skew cannot be done to real processes"):
            panel.press("skew", "i1", 5)
        panel.press("restart", leader["name"], at=panel.state["time"] + 0.2)
        wait_for(panel, lambda row: row["name"] == leader["name"] and row["state"] == "running")
        panel.press("kill", "server")
        wait_for_server(panel, "down")
        panel.press("restart_server", keep=False)
        server = wait_for_server(panel, "up")
        assert server["note"].startswith("lost its data at ")
        wait_for(panel, lambda row: row["leader"])
        assert f'await cluster.kill("{leader["name"]}")' in panel.code()
        assert 'await cluster.kill("server")' in panel.code()
        assert "await cluster.restart_server(keep=False)" in panel.code()
        rec = panel.finish()
        assert rec.world == "real" and rec.check().ok
        pids = dict(panel.session.cluster.pids)
    finally:
        panel.close()
    assert len(pids) == 2 and panel.session.cluster.pids == {}


def wait_for_server(panel, state):
    return wait_for(panel, lambda row: row["state"] == state, "servers")


def wait_for(panel, wanted, rows="rows"):
    """The first row of what is told that `wanted` likes; real processes take their time."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        for row in panel.state.get(rows, []):
            if wanted(row):
                return row
        time.sleep(0.02)
    pytest.fail(f"not seen: {panel.state}")


def test_a_cluster_that_was_entered_already_is_refused():
    class Entered(ProcessCluster):
        pids = {"i1": 1}  # noqa: RUF012

    with pytest.raises(ConfigError, match="entered already"):
        lab.control(Entered(1))
