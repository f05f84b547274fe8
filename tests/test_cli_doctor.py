"""`labsched doctor`: each thing that can be wrong is found, with a verdict and something to do."""

import asyncio

import pytest
import redis
from apps import eventually
from clikit import APP, Cli, empty, instance, live, wait_for

from labsched import Scheduler, every, manual
from labsched.cli import clusterfindings, findings
from labsched.preflight import Preflight


@pytest.fixture(scope="module")
def server(valkey_process):
    return valkey_process


@pytest.fixture
def admin(server):
    empty(server.url)
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        yield client


def found(outcome) -> dict[str, tuple[str, str, str]]:
    return {f["what"]: (f["verdict"], f["text"], f["todo"]) for f in outcome.json}


def define(url: str, namespace: str, *more: str) -> None:
    """Tasks without any instance."""

    async def body(ctx): ...

    async def run() -> None:
        app = Scheduler(url, namespace=namespace)
        app.task("often", every("1s"))(body)
        app.task("rare", manual())(body)
        async with app:
            for word in more:
                await getattr(app, word)("rare")

    asyncio.run(run())


def test_a_healthy_cluster_has_nothing_to_mend(server, admin, tmp_path):
    with live(server.url, tmp_path, "well") as cli:
        outcome = cli("doctor", "--json")
        assert outcome.code == 0
        verdicts = found(outcome)
        for what in (
            "settings",
            "server",
            "eviction",
            "clock",
            "namespace",
            "keys",
            "instances",
            "leader",
            "handlers",
        ):
            assert verdicts[what][0] == "OK", verdicts[what]
        text = cli("doctor")
        assert text.code == 0 and "0 to mend" in text.out
        # The tests' server keeps nothing on its disk, and that is said.
        assert verdicts["persistence"][0] == "WARN" and "-> CONFIG SET appendonly yes" in text.out


def test_nobody_alive_and_slots_overdue(server, admin, monkeypatch):
    define(server.url, "alone")
    monkeypatch.setattr(clusterfindings, "OVERDUE", -10.0)
    outcome = Cli(server.url, "alone")("doctor", "--json")
    assert outcome.code == 1
    assert found(outcome)["instances"] == ("FAIL", "none is alive: nothing runs", "start `labsched instance`")
    assert found(outcome)["overdue"][0] == "FAIL"


def test_tasks_that_no_living_instance_can_run(server, admin, tmp_path):
    with live(server.url, tmp_path, "orphans") as cli:
        define(server.url, "orphans", "trigger")
        outcome = cli("doctor", "--json")
        assert outcome.code == 1
        orphans = [f for f in outcome.json if f["what"] == "handlers"]
        assert {f["verdict"] for f in orphans} == {"WARN", "FAIL"}
        assert any("'rare' version 1, 1 runs wait" in f["text"] for f in orphans)


def test_paused_failed_and_stuck(server, admin, tmp_path, monkeypatch):
    monkeypatch.setattr(clusterfindings, "STUCK", 0.0)
    with live(server.url, tmp_path, "worn") as cli:
        define(server.url, "worn", "trigger")
        cli("trigger", "broken", "--wait=10s")
        cli("pause", "tick")
        verdicts = found(cli("doctor", "--json"))
        assert verdicts["status"] == (
            "WARN",
            "task 'tick' is PAUSED (set by operator)",
            "labsched resume tick",
        )
        assert (
            verdicts["failed"][0] == "WARN" and "labsched executions --state FAILED" in verdicts["failed"][2]
        )
        assert verdicts["stuck"][0] == "WARN" and "no live instance has the handler" in verdicts["stuck"][1]


def expired(url: str, namespace: str) -> None:
    """An instance that died as it had begun one run, and that nobody has recovered."""

    async def run() -> None:
        app = Scheduler(url, namespace=namespace)
        async with app:
            id = await app.trigger("rare")
            reply = await app._client.call("join", "i1", "p", 1, 700, "", "{}", 4, "host", 1, "rare", 1)
            await app._client.call("claim", "i1", reply[0], "0", "1", 4)
            assert (await app.execution(id)).state == "RUNNING"

            async def over() -> bool:
                return (await app.instances())[0].state == "EXPIRED"

            await eventually(over)

    asyncio.run(run())


def test_runs_of_an_instance_whose_lease_is_over_are_stuck(server, admin):
    define(server.url, "dead")
    expired(server.url, "dead")
    cli = Cli(server.url, "dead")
    verdicts = found(cli("doctor", "--json"))
    verdict, text, _ = verdicts["stuck"]
    assert verdict == "WARN" and text.startswith("1 runs belong to instances whose lease is over, rare~")
    assert verdicts["instances"][:2] == ("FAIL", "none is alive: nothing runs (the lease of i1 is over)")
    (x,) = cli("executions", "--state", "RUNNING", "--json").json
    assert "no instance is alive to recover it" in cli("execution", x["id"]).out


def test_a_history_longer_than_max_events_is_told(server, admin, monkeypatch):
    define(server.url, "long", "trigger")
    monkeypatch.setattr(findings, "LAGGING", 0)
    monkeypatch.setenv("LABSCHED_SCHEDULER_HISTORY_MAX_EVENTS", "1")
    verdict, text, todo = found(Cli(server.url, "long")("doctor", "--json"))["events"]
    assert verdict == "WARN" and "3 kept of at most 1" in text and "trims within a minute" in todo


def test_an_empty_namespace_is_told(server, admin):
    outcome = Cli(server.url, "typo")("doctor", "--json")
    assert found(outcome)["namespace"][:2] == ("WARN", "'typo' is empty: nobody has used it on this server")


def test_a_server_that_evicts_is_a_fail(server, admin):
    admin.config_set("maxmemory-policy", "allkeys-lru")
    try:
        outcome = Cli(server.url, "evicts")("doctor", "--json")
    finally:
        admin.config_set("maxmemory-policy", "noeviction")
    assert outcome.code == 1
    assert found(outcome)["server"][0] == "FAIL" and "may evict keys" in found(outcome)["server"][1]


def test_a_key_of_a_wrong_type_is_named(server, admin):
    define(server.url, "wrong")
    admin.delete("{labsched:wrong}:tasks")
    admin.set("{labsched:wrong}:tasks", "x")
    outcome = Cli(server.url, "wrong")("doctor", "--json")
    assert outcome.code == 1
    assert found(outcome)["keys"][:2] == ("FAIL", "{labsched:wrong}:tasks is a string, expected set")


def test_a_namespace_written_by_a_newer_version(server, admin):
    admin.hset("{labsched:newer}:meta", "format", 99)
    outcome = Cli(server.url, "newer")("doctor", "--json")
    assert outcome.code == 1 and "format 99" in found(outcome)["namespace"][1]
    refused = Cli(server.url, "newer")("tasks")
    assert refused.code == 1 and "newer labsched" in refused.err


def test_an_unreachable_server_is_a_finding(monkeypatch):
    monkeypatch.setattr("labsched.cli.doctor.PATIENCE", 0.2)
    outcome = Cli("redis://127.0.0.1:1", "x")("doctor", "--json")
    assert outcome.code == 1
    assert found(outcome)["server"][0] == "FAIL"


def test_settings_in_force_are_listed_without_the_password(server, admin, monkeypatch):
    monkeypatch.setenv("LABSCHED_SCHEDULER_POOL_SIZE", "3")
    monkeypatch.setenv("LABSCHED_REDIS_URL", "redis://:hunter2@elsewhere:1")
    text = Cli(server.url, "s")("doctor").out
    assert "scheduler.pool-size 3" in text and "hunter2" not in text


@pytest.mark.parametrize(
    ("preflight", "what", "verdict"),
    [
        (Preflight(True, appendonly=True, appendfsync="always"), "persistence", "OK"),
        (Preflight(True, appendonly=True, appendfsync="everysec"), "persistence", "OK"),
        (Preflight(True, appendonly=True, appendfsync="no"), "persistence", "WARN"),
        (Preflight(True, appendonly=True, last_write_ok=False), "persistence", "FAIL"),
        (Preflight(True, replicas=2, min_replicas_to_write=0), "replicas", "WARN"),
        (Preflight(True, replicas=2, min_replicas_to_write=1), "replicas", "OK"),
        (Preflight(True, maxmemory=100, used_memory=95), "memory", "WARN"),
        (Preflight(True, maxmemory=100, used_memory=99), "memory", "FAIL"),
        (Preflight(True, maxmemory=0, used_memory=99), "memory", "OK"),
        (Preflight(False, notes=("it answers no INFO",)), "server", "WARN"),
    ],
)
def test_what_the_server_says_of_itself_is_judged(preflight, what, verdict):
    assert {f.what: f.verdict for f in findings.server(preflight)}[what] == verdict


def test_a_wrong_clock_is_worth_a_word():
    assert findings.clock(0.2, 0.001).verdict == "OK"
    assert findings.clock(-90.0, 0.001).verdict == "WARN"
    assert "behind" in findings.clock(-90.0, 0.001).text


def test_a_leaderless_cluster_and_one_that_drains(server, admin, tmp_path):
    (tmp_path / "handlers.py").write_text(APP)
    cli = Cli(server.url, "leaderless")
    with instance(cli, tmp_path, "--name", "i1", "--app", f"{tmp_path / 'handlers.py'}:app"):
        wait_for(lambda: cli("instances", "--json").json, "it does not join")

    async def look():
        async with Scheduler(server.url, namespace="leaderless") as app:
            return await app.instances(), await app.tasks()

    members, infos = asyncio.run(look())
    import msgspec

    idle = [
        msgspec.structs.replace(m, leader=False, epoch=None, state="DRAINING", lease_left=0.1)
        for m in members
    ]
    verdicts = {f.what: f.verdict for f in clusterfindings.members(idle, infos, 1.0, True)}
    assert verdicts == {"instances": "WARN", "draining": "WARN", "leader": "FAIL"}
    assert "leader" not in {f.what for f in clusterfindings.members(idle, infos, 1.0, False)}
