"""Real processes on a real server: the verbs hurt whom they name, and nothing is ever left behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from outside import ended, private_runtime  # noqa: F401  (a fixture)

import labsched
from labsched import ConfigError, LabschedError, Settings, State
from labsched.worlds import ProcessCluster, Server, find_runtime

# Short leases, so that a test takes seconds; long enough for a machine on which much else runs.
QUICK = Settings(
    heartbeat_every=0.4, instance_lease=2.0, lease_margin=0.6, cancel_grace=0.3, sweep_every=0.4,
    leader_lease=2.0, leader_renew_deadline=1.2, leader_retry=0.4, request_timeout=0.8, drain_timeout=5.0,
)  # fmt: skip

APP = """
import asyncio, os, subprocess, sys, time
from labsched import Scheduler, every, manual

app = Scheduler("redis://not-used")

@app.task("tick", every("500ms"))
async def tick(ctx):
    return os.getpid()

@app.task("slow", manual())
async def slow(ctx, *, seconds=0.2):
    await asyncio.sleep(seconds)
    return os.getpid()

@app.task("child", manual(), runner="process")
def child(ctx, *, path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    while True:
        time.sleep(0.05)
        os.utime(path)
"""


@pytest.fixture
def handlers(tmp_path):
    (tmp_path / "handlers.py").write_text(APP)
    return f"{tmp_path / 'handlers.py'}:app"


@pytest.fixture
def cluster(handlers):
    """Makes a cluster of those handlers with short leases."""

    def make(instances=2, **options):
        return ProcessCluster(instances, **{"app": handlers, "settings": QUICK, **options})

    return make


async def until(condition, within=20.0):
    """Wait until `condition()` holds; it looks at the outside world, which sends no word."""
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def kinds(cluster, kind):
    return [event for event in await cluster.app.history() if event.kind == kind]


async def test_three_processes_share_the_work_and_leave_a_recording(cluster):
    async with cluster(3) as c:
        assert c.names == c.alive == ("i1", "i2", "i3")
        assert {info.name: info.pid for info in await c.app.instances()} == c.pids
        xids = await c.app.trigger_many("slow", [{} for _ in range(60)])
        done = [await c.app.wait(xid, timeout=20) for xid in xids]
        assert {x.state for x in done} == {State.SUCCEEDED}
        assert {x.result for x in done} == set(c.pids.values())
        rec = await c.recording()
    assert (rec.world, rec.namespace, rec.fault_log) == ("real", "labsched", [])
    assert {e.instance for e in rec.history if e.kind == "INSTANCE_JOINED"} == {"i1", "i2", "i3"}
    assert rec.started <= rec.history[0].at <= rec.history[-1].at <= rec.ended
    assert {line["instance"] for line in rec.journals} == {"i1", "i2", "i3"}
    assert rec.options["instances"] == ["i1", "i2", "i3"] and rec.versions["valkey"]
    assert not rec.history_reset
    assert rec.check().violations == []


async def test_when_the_leader_is_killed_another_leads_and_a_new_incarnation_joins(cluster):
    async with cluster() as c:
        first = (await kinds(c, "LEADER_ELECTED"))[-1]
        pid = c.pids[first.instance]
        await c.kill("leader")
        assert ended(pid) and first.instance not in c.alive
        await c.ready(20)
        second = (await kinds(c, "LEADER_ELECTED"))[-1]
        assert second.instance != first.instance and second.epoch > first.epoch
        await c.restart(first.instance)
        await c.ready(20)
        assert c.alive == c.names
        joined = [e.token for e in await kinds(c, "INSTANCE_JOINED") if e.instance == first.instance]
        assert len(joined) == 2 and joined[0] < joined[1]
        assert [(f["kind"], f["target"], f["by"]) for f in c.faults] == [
            ("kill", first.instance, "call"),
            ("restart", first.instance, "call"),
        ]
        rec = await c.recording()
    assert rec.check().violations == []


async def test_a_paused_instance_loses_its_lease_and_its_work_and_comes_back(cluster):
    async with cluster() as c:
        xid = await c.app.trigger("slow", seconds=1.0)
        await until(lambda: running(c, xid))
        victim = (await c.app.execution(xid)).instance
        await c.pause(victim)
        assert victim in c.alive
        done = await c.app.wait(xid, timeout=20)
        assert done.state == State.SUCCEEDED and done.result != c.pids[victim] and done.losses == 1
        assert victim in {e.instance for e in await kinds(c, "INSTANCE_LOST")}
        with pytest.raises(ConfigError, match="paused and cannot hear SIGTERM"):
            await c.terminate(victim)
        await c.resume(victim)
        await c.ready(20)
        rec = await c.recording()
    assert rec.check().violations == []


async def running(c, xid):
    return (await c.app.execution(xid)).state == State.RUNNING


@pytest.mark.parametrize("direction", ["both", "requests", "replies"])
async def test_a_cut_off_instance_is_told_by_its_own_clock_and_its_work_runs_elsewhere(cluster, direction):
    async with cluster() as c:
        xid = await c.app.trigger("slow", seconds=8.0)
        await until(lambda: running(c, xid))
        victim = (await c.app.execution(xid)).instance
        await c.partition(victim, direction)

        async def moved():
            now = await c.app.execution(xid)
            return now.state == State.RUNNING and now.instance != victim

        await until(moved)
        await until(lambda: told(c, victim))
        await c.heal(victim)
        await c.ready(20)
        await c.app.cancel(xid, force=True)
        assert [f.get("direction") for f in c.faults] == [direction, None]
        rec = await c.recording()
    assert rec.check().violations == []


async def told(c, name):
    journals = (await c.recording()).journals
    return any(line["kind"] == "lease-lost" and line["instance"] == name for line in journals)


async def test_a_terminated_instance_hands_over_and_leaves(cluster):
    async with cluster() as c:
        leader = (await kinds(c, "LEADER_ELECTED"))[-1].instance
        pid = c.pids[leader]
        await c.terminate("leader")
        assert ended(pid)
        assert leader in {e.instance for e in await kinds(c, "INSTANCE_LEFT")}
        assert c.faults[-1]["kind"] == "drain"
        await c.ready(20)
        rec = await c.recording()
    assert rec.check().violations == []


async def test_a_server_that_restarts_or_dies_comes_back_with_its_data(cluster):
    async with cluster(appendonly="always") as c:
        await c.restart_server()
        await c.ready(20)
        xid = await c.app.trigger("slow")
        await c.kill_server()
        await c.restart_server()
        await c.ready(20)
        assert (await c.app.wait(xid, timeout=20)).state == State.SUCCEEDED
        assert [(f["kind"], f["target"]) for f in c.faults] == [
            ("restart_server", "server"),
            ("kill", "server"),
            ("restart_server", "server"),
        ]
        rec = await c.recording()
    assert not rec.history_reset and rec.check().violations == []


async def test_a_server_that_forgot_everything_is_reported_as_such(cluster):
    async with cluster() as c:
        await c.app.wait(await c.app.trigger("slow"), timeout=20)
        await c.restart_server(keep=False)
        await c.ready(30)
        rec = await c.recording()
    assert rec.history_reset and rec.history


async def test_a_pause_stops_the_children_of_the_process_runner_and_a_kill_ends_them(cluster, tmp_path):
    async with cluster(1) as c:
        path = tmp_path / "child"
        await c.app.trigger("child", path=str(path))

        async def started():
            return path.exists() and path.read_text() != ""

        await until(started)
        child = int(path.read_text())
        await c.pause("i1")
        await until(lambda: stands_still(path))
        await c.kill("i1")
        assert ended(child)


async def stands_still(path):
    before = path.stat().st_mtime_ns
    await asyncio.sleep(0.3)
    return path.stat().st_mtime_ns == before


async def test_other_commands_find_a_running_cluster(cluster):
    async with cluster(1, namespace="demo", names=["solo"]) as c:
        info = find_runtime()
        assert (info.url, info.namespace, info.instances) == (c.url, "demo", 1)
    assert find_runtime() is None


async def test_settings_of_the_parents_environment_do_not_reach_the_instances(cluster, monkeypatch):
    monkeypatch.setenv("LABSCHED_SCHEDULER_POOL_SIZE", "nonsense")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    async with cluster(1) as c:
        assert [info.pool_size for info in await c.app.instances()] == [QUICK.pool_size]


async def test_data_journals_and_logs_stay_in_data_dir(cluster, tmp_path):
    data = tmp_path / "data"
    async with cluster(1, data_dir=data) as c:
        xid = await c.app.trigger("slow")
        await c.app.wait(xid, timeout=20)
        assert c.log("i1")
    assert (data / "instances" / "i1-1.jsonl").stat().st_size > 0
    async with cluster(1, data_dir=data) as c:
        assert (await c.app.execution(xid)).state == State.SUCCEEDED
        rec = await c.recording()
    assert xid not in {e.execution for e in rec.history}, "a recording begins where its cluster did"
    assert rec.snapshot["executions"][xid]["state"] == "SUCCEEDED"


async def test_a_server_of_ones_own_is_used_and_left_alone(cluster):
    async with Server() as server:
        async with cluster(1, url=server.url) as c:
            await c.partition("i1")
            await c.heal("i1")
            for verb in (c.restart_server, c.kill_server):
                with pytest.raises(ConfigError, match="is not ours to stop") as refused:
                    await verb()
                assert server.url not in str(refused.value)
        assert server.running


async def test_a_unix_socket_has_no_link_to_cut(cluster, tmp_path):
    async with Server(config={"unixsocket": str(tmp_path / "s")}) as server:
        password = server.url.partition("@")[0].rpartition(":")[2]
        async with cluster(1, url=f"unix://:{password}@{tmp_path / 's'}") as c:
            with pytest.raises(ConfigError, match="only a link over redis:// can be cut"):
                await c.partition("i1")


async def test_a_verb_that_cannot_be_done_says_so_in_one_line_and_is_no_fault(cluster):
    async with cluster(1) as c:
        await c.kill("i1")
        c.faults.clear()
        for verb in (c.kill, c.pause, c.resume, c.terminate):
            with pytest.raises(ConfigError, match="instance i1 has no process"):
                await verb("i1")
        for verb in (c.kill, c.partition, c.heal, c.restart):
            with pytest.raises(ConfigError, match="no instance is named 'i9', there are i1 and leader"):
                await verb("i9")
            with pytest.raises(ConfigError, match="nobody leads just now"):
                await verb("leader")
        with pytest.raises(ConfigError, match="allowed are both, requests, replies"):
            await c.partition("i1", "sideways")
        assert c.faults == []
        await c.restart("i1")
        await c.ready(20)


async def test_a_resume_of_what_is_not_paused_and_a_heal_of_what_is_not_cut_are_refused(cluster):
    async with cluster(1) as c:
        with pytest.raises(ConfigError, match="instance i1 is not paused"):
            await c.resume("i1")
        with pytest.raises(ConfigError, match="the link of instance i1 is not cut"):
            await c.heal("i1")
        assert c.faults == []
        await c.partition("i1")
        await c.heal("i1")
        with pytest.raises(ConfigError, match="is not cut"):
            await c.heal("i1")
        assert [f["kind"] for f in c.faults] == ["partition", "heal"]


async def test_a_cluster_is_not_ready_while_the_lease_of_a_living_instance_is_over(cluster):
    async with cluster(1) as c:
        await c.pause("i1")
        await until(lambda: expired(c))
        c._members["i1"].paused = False  # as if it had just been resumed and had not joined again
        with pytest.raises(TimeoutError, match="i1 did not join or has lost its lease"):
            await c.ready(1.0)
        c._members["i1"].paused = True
        await c.resume("i1")
        await c.ready(20)
        assert [i.state for i in await c.app.instances()] == ["ACTIVE"]


async def expired(c):
    return [i.state for i in await c.app.instances()] == ["EXPIRED"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"instances": 0}, "allowed are 1 to 100"),
        ({"names": []}, "at least one"),
        ({"names": ["a", "a"]}, "each only once"),
        ({"names": ["leader"]}, "cannot be named 'leader'"),
        ({"names": ["../x"]}, "cannot be named"),
        ({"url": "fake"}, "cannot be shared by processes"),
        ({"url": "redis://"}, "the host is missing"),
        ({"url": "redis://h", "data_dir": "x"}, "data_dir belongs to the embedded server"),
        ({"tasks": "not/there.yml"}, "does not exist"),
        ({"appendonly": "yes"}, "always, everysec, no"),
        ({"namespace": "a b"}, "namespace"),
    ],
)
def test_bad_options_are_refused_before_anything_starts(options, says):
    with pytest.raises(ConfigError, match=says):
        ProcessCluster(**options)


async def test_an_instance_that_cannot_start_shows_the_end_of_its_log(cluster, tmp_path):
    (tmp_path / "broken.py").write_text("raise RuntimeError('no such luck')")
    with pytest.raises(LabschedError, match="no such luck"):
        async with cluster(1, app=f"{tmp_path / 'broken.py'}:app"):
            pass
    assert find_runtime() is None


# --- nothing is left behind -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["return", "raise", "cancel"])
async def test_however_the_block_ends_no_process_is_left(cluster, how):
    pids, folders = [], []

    async def body():
        async with cluster(2) as c:
            await c.pause("i1")
            pids.extend([*c.pids.values(), c.server.pid])
            folders.append(c.server.data_dir)
            if how == "raise":
                raise ZeroDivisionError
            if how == "cancel":
                await asyncio.sleep(60)

    task = asyncio.create_task(body())
    if how == "cancel":
        await until(lambda: asyncio.sleep(0, len(pids) == 3))
        task.cancel()
    with contextlib.suppress(ZeroDivisionError, asyncio.CancelledError):
        await task
    assert len(pids) == 3
    assert all(ended(pid) for pid in pids)
    assert not folders[0].exists() and find_runtime() is None


OWNER = """
import asyncio, sys
from labsched.worlds import ProcessCluster

async def main():
    async with ProcessCluster(2, app=sys.argv[1]) as c:
        await c.pause("i2")
        print(*c.pids.values(), c.server.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_when_the_parent_dies_everything_dies_with_it(handlers, how):
    parent = subprocess.Popen(
        [sys.executable, "-c", OWNER, handlers],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(labsched.__file__).parents[1])},
    )
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 3
    parent.send_signal(how)
    parent.wait(45)
    parent.stdout.close()
    assert all(ended(pid) for pid in pids)
