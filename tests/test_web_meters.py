"""Each meter says what its name says: one reading in which all numbers differ, and what becomes of it."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from labsched.metrics import Metrics, TaskMetrics, distribution
from labsched.model import InstanceInfo
from labsched.web.endpoints import Endpoint, Param
from labsched.web.meters import BY_NAME, METERS
from labsched.web.openapi import document
from labsched.web.prometheus import OPEN_METRICS, _text

# Durations of 1 s (twice) and 4 s, in microseconds; lateness of 20 ms (three times), in milliseconds.
STATS = {"d:79": 2, "d:87": 1, "d": 6_000_000, "n": 3, "l:17": 3, "l": 60}


def instance(name, **more):
    given = {
        "state": "ACTIVE", "leader": False, "epoch": None, "joined": 0, "heartbeat": 999_250, "lease_left": 3.25,
        "pool_size": 10, "running": 2, "hostname": "h", "pid": 1, "handlers": {}, "incarnation": 1,
    } | more  # fmt: skip
    return InstanceInfo(name=name, **given)


SEEN = Metrics(
    at=1000.0, active_tasks=101, running=102, backlog=103, states={"READY": 104, "RUNNING": 102}, created=105,
    succeeded=106, failed=107, dead=108, cancelled=109, skipped=110, lost=111, refused=112, elections=113,
    failovers=114, failover_time=11.5, instances_lost=115, recovery_time=12.5, locks_acquired=116, locks_refused=117,
    success_rate=0.25, leader="i2", epoch=118,
    instances=(
        instance("i1"),
        instance("i2", leader=True, epoch=118, heartbeat=998_000, lease_left=2.5, pool_size=20, running=7),
        instance("i3", state="DRAINING", running=0),
    ),
    tasks=(
        TaskMetrics(
            name="a", status="ACTIVE", running=11, backlog=12, succeeded=13, failed=14, retried=15, lost=16, skipped=17,
            success_rate=0.5, duration=distribution(STATS, "d", 1e-6), lateness=distribution(STATS, "l", 1e-3),
        ),
        TaskMetrics(
            name="b", status="PAUSED", running=0, backlog=0, succeeded=0, failed=0, retried=0, lost=0, skipped=0,
            success_rate=None, duration=distribution({}, "d", 1e-6), lateness=distribution({}, "l", 1e-3),
        ),
    ),
)  # fmt: skip


def read(name):
    """Of one meter: its samples by the values of its tags, joined."""
    return {"/".join(tags.values()): value for tags, value in BY_NAME[name].read(SEEN)}


A = SEEN.tasks[0]
WANTED = {
    "labsched.tasks.active": {"": 101}, "labsched.tasks": {"ACTIVE": 1, "PAUSED": 1, "DISABLED": 0},
    "labsched.executions": {"READY": 104, "RUNNING": 102}, "labsched.executions.running": {"": 102},
    "labsched.backlog": {"": 103}, "labsched.executions.created": {"": 105}, "labsched.executions.succeeded": {"": 106},
    "labsched.executions.failed": {"": 107}, "labsched.executions.dead": {"": 108},
    "labsched.executions.cancelled": {"": 109}, "labsched.slots.skipped": {"": 110},
    "labsched.success.ratio": {"": 0.25},
    "labsched.attempts.lost": {"": 111}, "labsched.writes.refused": {"": 112}, "labsched.leader.elections": {"": 113},
    "labsched.leader.failovers": {"": 114}, "labsched.leader.failover.time": {"": 11.5},
    "labsched.instances.lost": {"": 115}, "labsched.recovery.time": {"": 12.5}, "labsched.leader.epoch": {"": 118},
    "labsched.leader": {"i1": 0, "i2": 1, "i3": 0}, "labsched.locks.acquired": {"": 116},
    "labsched.locks.refused": {"": 117},
    "labsched.instances": {"ACTIVE": 2, "DRAINING": 1, "EXPIRED": 0},
    "labsched.instance.running": {"i1": 2, "i2": 7, "i3": 0},
    "labsched.instance.pool.size": {"i1": 10, "i2": 20, "i3": 10},
    "labsched.instance.lease.left": {"i1": 3.25, "i2": 2.5, "i3": 3.25},
    "labsched.instance.heartbeat.age": {"i1": 0.75, "i2": 2.0, "i3": 0.75}, "labsched.task.running": {"a": 11, "b": 0},
    "labsched.task.backlog": {"a": 12, "b": 0},
    "labsched.task.outcomes": {"a/succeeded": 13, "a/failed": 14, "a/retried": 15, "a/lost": 16, "a/skipped": 17,
                               "b/succeeded": 0, "b/failed": 0, "b/retried": 0, "b/lost": 0, "b/skipped": 0},
    "labsched.task.success.ratio": {"a": 0.5}, "labsched.task.duration.mean": {"a": 2.0},
    "labsched.task.duration.p50": {"a": A.duration.p50}, "labsched.task.duration.p99": {"a": A.duration.p99},
    "labsched.task.lateness.mean": {"a": 0.02}, "labsched.task.lateness.p50": {"a": A.lateness.p50},
    "labsched.task.lateness.p99": {"a": A.lateness.p99},
}  # fmt: skip


@pytest.mark.parametrize("name", [meter.name for meter in METERS])
def test_a_meter_reads_what_its_name_says(name):
    assert read(name) == pytest.approx(WANTED[name])


def test_quantiles_are_told_apart():
    """Else a meter could take one for the other unseen."""
    assert A.duration.p50 == pytest.approx(1, rel=0.1) and A.duration.p99 == pytest.approx(4, rel=0.1)
    assert A.lateness.p50 == pytest.approx(0.02, rel=0.1)


def test_what_nobody_measured_yet_is_left_out_and_not_zero():
    empty = SEEN.__class__(
        **{f: getattr(SEEN, f) for f in SEEN.__struct_fields__} | {"success_rate": None, "epoch": None}
    )
    assert list(BY_NAME["labsched.success.ratio"].read(empty)) == []
    assert list(BY_NAME["labsched.leader.epoch"].read(empty)) == []


def families(accept=""):
    text, kind = _text(SEEN, [STATS, {}], accept)
    return {family.name: family for family in text_string_to_metric_families(text.decode())}, kind


def test_prometheus_gets_the_same_under_its_own_names_and_in_base_units():
    found, kind = families()
    assert kind.startswith("text/plain")
    for meter in METERS:
        family = found[meter.name.replace(".", "_") + (f"_{meter.unit}" if meter.unit else "")]
        assert family.type == meter.kind and (not meter.unit or meter.unit == "seconds")
        assert {
            "/".join(s.labels[tag] for tag in meter.tags): s.value for s in family.samples
        } == pytest.approx(read(meter.name))
        assert all(tuple(s.labels) == meter.tags or set(s.labels) == set(meter.tags) for s in family.samples)
    assert {"labsched_leader_failover_time_seconds", "labsched_task_duration_p99_seconds"} <= found.keys()


@pytest.mark.parametrize(
    ("name", "bound", "below", "count", "sum"),
    [
        ("labsched_task_duration_seconds", 1.048574, 2, 3, 6.0),
        ("labsched_task_lateness_seconds", 0.014, 0, 3, 0.06),
    ],
)
def test_a_histogram_has_cumulated_buckets_a_count_and_a_sum(name, bound, below, count, sum):
    samples = {
        (s.name, s.labels.get("le")): s.value for s in families()[0][name].samples if s.labels["task"] == "a"
    }
    assert samples[f"{name}_bucket", str(bound)] == below
    assert samples[f"{name}_bucket", "+Inf"] == samples[f"{name}_count", None] == count
    assert samples[f"{name}_sum", None] == pytest.approx(sum)
    bounds = [value for (kind, _), value in samples.items() if kind.endswith("_bucket")]
    assert bounds == sorted(bounds) and len(bounds) > 10


def test_the_process_tells_of_itself_and_openmetrics_is_given_when_asked_for():
    assert {"process_cpu_seconds", "python_info", "python_gc_objects_collected"} <= families()[0].keys()
    text, kind = _text(SEEN, [STATS, {}], OPEN_METRICS)
    assert "openmetrics" in kind and text.endswith(b"# EOF\n")


def test_the_openapi_document_says_what_a_call_takes_gives_and_refuses():
    given = Param("id", "path", {"type": "string", "maxLength": 9}, "of the thing")
    asked = Param("limit", "query", {"type": "integer"}, "at most")

    async def answer(request):
        return []

    calls = (
        Endpoint("GET", "/api/things/{id:path}/parts", "parts", "Its parts", answer, list[InstanceInfo], (given, asked),
                 errors=(503, 404)),
        Endpoint("POST", "/api/things/{id:path}/parts", "add", "One more", answer, bool, (given,), {"type": "object"}),
    )  # fmt: skip
    made = json.loads(document(calls))
    assert made["openapi"] == "3.1.0" and list(made["paths"]) == ["/api/things/{id}/parts"]
    get, post = made["paths"]["/api/things/{id}/parts"].values()
    assert get["operationId"] == "parts" and get["summary"] == "Its parts"
    assert get["parameters"] == [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 9},
         "description": "of the thing"},
        {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer"}, "description": "at most"},
    ]  # fmt: skip
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    assert {status: r["content"] for status, r in get["responses"].items() if status != "200"} == {
        "404": refusal, "503": refusal,
    }  # fmt: skip
    shown = get["responses"]["200"]["content"]["application/json"]["schema"]
    assert shown == {"type": "array", "items": {"$ref": "#/components/schemas/InstanceInfo"}}
    assert {"InstanceInfo", "Error"} == made["components"]["schemas"].keys()
    assert made["components"]["securitySchemes"]["bearer"] == {"type": "http", "scheme": "bearer"}
    assert "security" not in get and "requestBody" not in get
    assert post["security"] == [{"bearer": []}]
    assert post["requestBody"] == {"content": {"application/json": {"schema": {"type": "object"}}}}
