"""Health that probes can rely on, and metrics for whoever collects them."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from webkit import HTML, client_of, scheduler, served

from labsched.errors import Unreachable
from labsched.metrics import cumulated
from labsched.metrics import metrics as read_metrics
from labsched.web import actuator, disk, endpoints
from labsched.web.meters import BY_NAME, METERS


async def until_led(app):
    while not any(instance.leader for instance in await app.instances()):
        await app.host.clock.sleep(0.01)


async def test_health_is_up_with_all_its_components():
    async with served() as (app, client):
        await until_led(app)
        answer = await client.get("/actuator/health")
        assert answer.status_code == 200 and answer.json()["status"] == "UP"
        assert set(answer.json()["components"]) == {"redis", "instances", "leader", "loop", "heartbeat"}
        assert all(part["status"] == "UP" for part in answer.json()["components"].values())


async def test_without_a_server_health_is_down_and_liveness_is_not(monkeypatch):
    async with served() as (app, client):

        async def away(*_):
            raise Unreachable("127.0.0.1:6379 does not answer")

        monkeypatch.setattr(app.registry, "instances", away)
        health, ready = await client.get("/actuator/health"), await client.get("/actuator/health/readiness")
        assert (health.status_code, health.json()["status"]) == (503, "DOWN")
        assert "does not answer" in str(health.json()["components"]["redis"])
        assert (ready.status_code, set(ready.json()["components"])) == (503, {"redis", "loop"})
        assert (await client.get("/actuator/health/liveness")).status_code == 200


async def test_health_is_down_when_nobody_leads_or_this_instance_is_no_member():
    app = scheduler()
    async with app, client_of(app, name="i9") as client:
        answer = await client.get("/actuator/health")
        parts = answer.json()["components"]
        assert answer.status_code == 503 and parts["leader"]["details"]["detail"] == "nobody leads"
        assert parts["heartbeat"] == {"status": "DOWN", "details": {"detail": "i9 is no member"}}


async def test_a_loop_that_is_held_up_is_not_live(monkeypatch):
    monkeypatch.setattr(actuator, "MOST_LAG", 0.0)
    async with served() as (_, client):
        answer = await client.get("/actuator/health/liveness")
        assert answer.status_code == 503 and answer.json()["components"]["loop"]["status"] == "DOWN"


async def test_every_meter_is_listed_and_has_a_page_in_springs_shape():
    async with served() as (app, client):
        await app.wait(await app.trigger("greet"), timeout=10)
        names = (await client.get("/actuator/metrics")).json()["names"]
        assert names == sorted(BY_NAME) and len(names) == len(METERS)
        for name in names:
            page = (await client.get(f"/actuator/metrics/{name}")).json()
            assert set(page) == {"name", "description", "baseUnit", "measurements", "availableTags"}
            assert page["name"] == name and page["description"]


async def test_a_meter_is_summed_over_the_tags_that_are_not_asked_for():
    async with served() as (app, client):
        for task in ("greet", "greet", "break"):
            await app.wait(await app.trigger(task), timeout=10)

        async def value(query=""):
            page = (await client.get(f"/actuator/metrics/labsched.task.outcomes{query}")).json()
            return page["measurements"][0]["value"], [tag["tag"] for tag in page["availableTags"]]

        assert await value() == (3, ["task", "outcome"])
        assert await value("?tag=outcome:succeeded") == (2, ["task"])
        assert await value("?tag=outcome:failed&tag=task:break") == (1, [])


@pytest.mark.parametrize(
    "path", ["labsched.nope", "labsched.tasks?tag=status:NOPE", "labsched.tasks?tag=nope:1"]
)
async def test_a_metric_or_tag_that_is_not_there_is_404(path):
    async with served() as (_, client):
        answer = await client.get(f"/actuator/metrics/{path}")
        assert answer.status_code == 404 and answer.json()["error"]


async def test_prometheus_gets_every_meter_and_two_histograms_under_names_it_expects():
    async with served() as (app, client):
        for task in ("greet", "break", HTML):
            await app.wait(await app.trigger(task), timeout=10)
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        for meter in METERS:
            family = families[meter.prometheus]
            assert (family.type, family.documentation) == (meter.kind, meter.about)
            assert re.fullmatch(r"labsched_[a-z0-9_]+", family.name)
            assert (
                all(s.name.endswith("_total") for s in family.samples) == (meter.kind == "counter")
                or not family.samples
            )
        durations = families["labsched_task_duration_seconds"]
        counts = {s.labels["task"]: s.value for s in durations.samples if s.name.endswith("_count")}
        assert counts["greet"] == 1 and HTML in counts
        outcomes = {
            (s.labels["task"], s.labels["outcome"]): s.value
            for s in families["labsched_task_outcomes"].samples
        }
        assert outcomes["break", "failed"] == 1 and outcomes["greet", "succeeded"] == 1
        assert "process_cpu_seconds" in families


async def test_prometheus_may_ask_for_openmetrics():
    async with served() as (_, client):
        answer = await client.get(
            "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
        )
        assert "openmetrics" in answer.headers["content-type"] and answer.text.endswith("# EOF\n")


@pytest.mark.parametrize("unit", [1e-6, 1e-3])
def test_a_histogram_counts_each_value_under_the_first_bound_that_is_not_below_it(unit):
    import math

    values = [0, 1, 2, 3, 6, 7, 1021, 1022, 1023, 5000, 1_000_000]
    stats: dict[str, int] = {}
    for value in values:
        bucket = f"d:{math.floor(4 * math.log2(value + 1))}"
        stats[bucket] = stats.get(bucket, 0) + 1
    found = cumulated(stats, "d", unit)
    for bound, count in found:
        assert count == sum(value * unit <= bound * (1 + 1e-9) for value in values), bound
    assert found[-1] == (math.inf, len(values)) and [n for _, n in found] == sorted(n for _, n in found)


async def test_the_grafana_dashboard_draws_metrics_that_exist():
    board = json.loads((Path(__file__).parent.parent / "data" / "grafana-dashboard.json").read_text())
    async with served() as (_, client):
        told = (await client.get("/metrics")).text
    known = {family.name for family in text_string_to_metric_families(told)}
    drawn = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(drawn) > 10
    for expr in drawn:
        for name in re.findall(r"labsched_\w+", expr):
            assert re.sub(r"_(total|bucket)$", "", name) in known, name


async def test_a_server_that_hangs_is_told_within_a_bounded_time_in_healths_own_shape(monkeypatch):
    monkeypatch.setattr(actuator, "PATIENCE", 0.05)
    async with served() as (app, client):
        for hangs in ("health", "instances"):
            with monkeypatch.context() as patch:
                patch.setattr(app, hangs, asyncio.Event().wait)
                answer = await asyncio.wait_for(client.get("/actuator/health"), 2)
                parts = answer.json()["components"]
                assert answer.status_code == 503 and set(parts) == {"redis", "loop"}
                assert "no answer" in parts["redis"]["details"]["detail"]


def embedded(monkeypatch, app, folder, **persistence):
    """The server of `app` says that of itself, and that it writes into `folder`."""
    redis = app._client.redis
    execute = redis.execute_command

    async def command(*words, **options):
        return ["dir", str(folder)] if words[:2] == ("CONFIG", "GET") else await execute(*words, **options)

    async def info(section):
        return {"aof_enabled": 1, "aof_last_write_status": "ok", **persistence}

    monkeypatch.setattr(redis, "execute_command", command)
    monkeypatch.setattr(redis, "info", info)


async def test_health_knows_whether_the_append_only_file_can_grow(monkeypatch, tmp_path):
    async with served() as (app, client):

        async def shown():
            return (await client.get("/actuator/health")).json()["components"].get("disk")

        assert await shown() is None  # this server keeps nothing
        embedded(monkeypatch, app, tmp_path)
        assert (await shown())["status"] == "UP"
        (tmp_path / "appendonlydir").mkdir()
        assert "GiB are free" in (await shown())["details"]["detail"]
        monkeypatch.setattr(disk, "LEAST", 1 << 62)
        assert (await shown())["status"] == "DOWN"
        embedded(monkeypatch, app, tmp_path, aof_last_write_status="err")
        assert (await shown())["status"] == "DOWN" and "failed" in (await shown())["details"]["detail"]
        embedded(monkeypatch, app, tmp_path, aof_enabled=0)
        assert await shown() is None


async def test_metrics_are_read_once_for_all_who_ask_within_a_second(monkeypatch):
    app = scheduler()
    read = 0

    async def counted():
        nonlocal read
        read += 1
        return await metrics()

    async with app.instance("i1"):
        metrics = app.metrics
        monkeypatch.setattr(app, "metrics", counted)
        async with client_of(app) as client:
            asked = ["/metrics"] * 20 + ["/actuator/metrics/labsched.tasks"] * 20
            answers = await asyncio.gather(*(client.get(path) for path in asked))
            assert {answer.status_code for answer in answers} == {200} and read == 2
            monkeypatch.setattr(endpoints, "KEEP", 0.0)
            await client.get("/metrics")
            assert read == 3


async def test_failovers_and_recoveries_are_counted_with_the_time_they_took(cluster):
    one, two = await cluster.join("i1", lease=300), await cluster.join("i2")
    await one.lead(lease=300)
    follower = await two.lead()
    await cluster.passes(int(follower[1]) + 50)
    await two.lead()
    await two.recover()
    seen = await read_metrics(cluster.registry, await cluster.now())
    assert (seen.failovers, seen.instances_lost) == (1, 1)
    assert 0.05 <= seen.failover_time < 5 and 0.05 <= seen.recovery_time < 5
    shown = {meter.name: list(meter.read(seen)) for meter in METERS}
    assert shown["labsched.recovery.time"] == [({}, seen.recovery_time)]
    assert shown["labsched.leader.failover.time"] == [({}, seen.failover_time)]
    assert shown["labsched.leader.failovers"] == shown["labsched.instances.lost"] == [({}, 1.0)]
