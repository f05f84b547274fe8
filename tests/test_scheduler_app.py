"""What scripts are promised: trigger, wait, results, retries, steering and looking, on every server."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from apps import eventually, new_app, serving, through
from servers import Relay

from labsched import cron, every, exponential, manual
from labsched.errors import BacklogFull, ConfigError
from labsched.model import Kind

QUICK = exponential("10ms", "10ms", 0)


async def test_a_trigger_runs_and_its_result_is_kept(app):
    @app.task("greet", manual(), payload={"whom": "you", "n": 1})
    async def greet(ctx, whom, n):
        return {
            "said": f"hello {whom}",
            "n": n,
            "token": ctx.token,
            "attempt": ctx.attempt,
            "on": ctx.instance,
        }

    async with serving(app):
        done = await app.wait(await app.trigger("greet", whom="wörld\u0000"), timeout="10s")
        assert done.state == "SUCCEEDED" and done.terminal
        assert done.result == {
            "said": "hello wörld\u0000", "n": 1, "token": done.token, "attempt": 1, "on": "i1",
        }  # fmt: skip
        assert done.payload == {"whom": "wörld\u0000"} and done.slot is None
        assert done.created <= done.started <= done.finished


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}, 1.5, 10**30, "\u2028", [[1], {"a": None}]])
async def test_any_json_is_a_result(valkey, value):
    app = new_app(valkey)

    @app.task("a", manual())
    async def body(ctx, x):
        return x

    async with serving(app):
        assert (await app.wait(await app.trigger("a", x=value), "10s")).result == value


async def test_one_key_makes_one_execution(app):
    runs = []

    @app.task("a", manual())
    async def body(ctx, n):
        runs.append(n)

    async with serving(app):
        first = await app.trigger("a", _key="k", n=1)
        assert first == "a~k" == await app.trigger("a", _key="k", n=2)
        await app.wait(first, "10s")
        await app.trigger("a", _key="k", n=3)
        ids = await app.trigger_many("a", [{"n": 4}, {"n": 5}, {"n": 6}], keys=["l", "m", "l"])
        assert ids == ["a~l", "a~m", "a~l"]
        await asyncio.gather(*(app.wait(id, "10s") for id in ids))
        assert sorted(runs) == [1, 4, 5]


async def test_a_trigger_with_a_time_starts_then_and_not_before(app):
    @app.task("a", manual())
    async def body(ctx):
        return None

    async with serving(app):
        at = datetime.fromtimestamp((await app.now()) / 1000 + 0.4, UTC)
        done = await app.wait(await app.trigger("a", _at=at), "10s")
        assert 0 <= done.started - round(at.timestamp() * 1000) < 2000
        assert done.due == round(at.timestamp() * 1000)


async def test_high_priority_overtakes(valkey):
    app, order = new_app(valkey, pool_size=1), []

    @app.task("a", manual())
    async def body(ctx, n):
        order.append(n)

    async with app:
        ids = await app.trigger_many("a", [{"n": n} for n in range(3)])
        ids += [
            await app.trigger("a", _priority="high", n="high"),
            await app.trigger("a", _priority="low", n="low"),
        ]
        ids += await app.trigger_many("a", [{"n": "also high"}], priority="high")
        async with serving(app):
            await asyncio.gather(*(app.wait(id, "10s") for id in ids))
    assert order == ["high", "also high", 0, 1, 2, "low"]


async def test_many_wait_for_one_and_one_waits_for_many(app):
    go = asyncio.Event()

    @app.task("a", manual())
    async def body(ctx):
        await go.wait()

    async with serving(app), new_app(app.server) as other:
        id = await app.trigger("a")
        waits = [asyncio.create_task(who.wait(id, "10s")) for who in (app, app, app, other, other)]
        await eventually(lambda: app.executions(state="RUNNING"))
        go.set()
        assert {done.state for done in await asyncio.gather(*waits)} == {"SUCCEEDED"}
        assert (await app.wait(id, timeout=0.5)).state == "SUCCEEDED", "also of what has ended already"


async def test_waiting_too_long_is_a_timeout_and_leaves_the_execution_alone(app):
    app.task("a", manual())(never)
    async with app:
        id = await app.trigger("a")
        with pytest.raises(TimeoutError, match=f"execution {id} has not ended within 50ms"):
            await app.wait(id, timeout="50ms")
        assert (await app.execution(id)).state == "READY"
        await app.cancel(id)


async def never(ctx):
    raise AssertionError("must not run")


async def test_a_failure_keeps_type_message_and_traceback(app):
    @app.task("a", manual())
    async def body(ctx):
        raise ValueError("no \ud800 such thing\nsecond line")

    async with serving(app):
        done = await app.wait(await app.trigger("a"), "10s")
        assert done.state == "FAILED" and done.result is None
        assert (done.error.type, done.error.message) == ("ValueError", "no \\ud800 such thing\nsecond line")
        assert "Traceback" in done.error.traceback and "in body" in done.error.traceback
        assert done.attempts[0].error == "ValueError: no \\ud800 such thing"


@pytest.mark.parametrize(
    "value", [{1}, float("nan"), "y" * (1 << 20), object()], ids=["set", "nan", "large", "object"]
)
async def test_a_result_that_is_not_json_is_a_failure(valkey, value):
    app = new_app(valkey)

    @app.task("a", manual())
    async def body(ctx):
        return value

    async with serving(app):
        done = await app.wait(await app.trigger("a"), "10s")
        assert done.state == "FAILED" and done.error.type == "PayloadError" and "result" in done.error.message


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), asyncio.CancelledError(), TimeoutError("mine"), GeneratorExit(), BaseException("base")],
)
async def test_whatever_a_body_raises_is_its_failure_and_not_the_instances(valkey, error):
    app = new_app(valkey)

    @app.task("a", manual())
    async def body(ctx):
        raise error

    @app.task("b", manual())
    async def fine(ctx):
        return 1

    async with serving(app):
        done = await app.wait(await app.trigger("a"), "10s")
        assert done.state == "FAILED" and done.error.type == type(error).__name__
        assert (await app.wait(await app.trigger("b"), "10s")).result == 1


async def test_a_payload_that_does_not_fit_the_body_is_a_failure(valkey):
    app = new_app(valkey)

    @app.task("a", manual())
    async def body(ctx, x):
        return None

    async with serving(app):
        for payload in ({}, {"x": 1, "y": 2}, {"ctx": 1}):
            done = (
                await asyncio.gather(*(app.wait(id, "10s") for id in await app.trigger_many("a", [payload])))
            )[0]
            assert done.state == "FAILED" and done.error.type == "TypeError"


async def test_a_payload_too_deep_to_be_read_is_a_failure_and_not_the_end_of_the_worker(valkey):
    app = new_app(valkey)

    @app.task("a", manual())
    async def body(ctx, **payload):
        return len(payload)

    async with serving(app) as (member,):
        deep = '{"x":' + "[" * 100_000 + "]" * 100_000 + "}"
        await app.registry.enqueue("a", [("a~deep", deep, ""), ("a~fine", "{}", "")])
        assert (await app.wait("a~fine", "10s")).result == 0
        await eventually(lambda: not member.worker.attempts)
        counts = await app.registry.sizes()
        assert counts["FAILED"] == 1 and counts["RUNNING"] == 0
    await valkey.client().delete("{labsched:t}:x:a~deep")  # nobody can read it, so nor can the checks
    await valkey.client().flushall()


async def test_retries_wait_longer_each_time_and_then_it_has_failed(app):
    tries = []

    @app.task("a", manual(), retries=2, backoff=exponential("40ms", "1s", 0))
    async def body(ctx):
        tries.append((time.monotonic(), ctx.attempt))
        raise RuntimeError(f"try {ctx.attempt}")

    async with serving(app):
        done = await app.wait(await app.trigger("a"), "10s")
        assert done.state == "FAILED" and done.error.message == "try 3"
        assert [n for _, n in tries] == [1, 2, 3]
        assert tries[1][0] - tries[0][0] >= 0.039 and tries[2][0] - tries[1][0] >= 0.079
        assert [a.outcome for a in done.attempts] == ["FAILED"] * 3
        kinds = [e.kind for e in await app.history() if e.execution == done.id]
        assert kinds == ["READY", "RUNNING", "RETRYING"] * 2 + ["READY", "RUNNING", "FAILED"]


async def test_a_retry_that_succeeds_keeps_what_failed_before(app):
    @app.task("a", manual(), retries=3, backoff=QUICK)
    async def body(ctx):
        if ctx.attempt < 3:
            raise RuntimeError("not yet")
        return ctx.attempt

    async with serving(app):
        done = await app.wait(await app.trigger("a"), "10s")
        assert (done.state, done.result, done.error) == ("SUCCEEDED", 3, None)
        assert [a.outcome for a in done.attempts] == ["FAILED", "FAILED", "SUCCEEDED"]


async def test_a_requeued_execution_runs_again(app):
    fail = True

    @app.task("a", manual())
    async def body(ctx):
        if fail:
            raise RuntimeError("no")
        return ctx.attempt

    async with serving(app):
        id = await app.trigger("a")
        assert (await app.wait(id, "10s")).state == "FAILED"
        with pytest.raises(ConfigError, match="is CANCELLED, only FAILED and DEAD"):
            other = await app.trigger("a", _at=datetime(2999, 1, 1, tzinfo=UTC))
            await app.cancel(other)
            await app.requeue(other)
        fail = False
        await app.requeue(id)
        assert (await eventually(lambda: state_is(app, id, "SUCCEEDED"))).result == 2


async def state_is(app, id, state):
    x = await app.execution(id)
    return x if x.state == state else None


async def test_slots_fire_on_their_instants_and_once(app):
    @app.task("tick", every("200ms"), overlap="ALLOW")
    async def tick(ctx):
        return ctx.slot.timestamp()

    async with serving(app, "i1", "i2"):
        await eventually(lambda: enough(app, "tick", 5))
        await app.pause("tick")
        done = await app.executions("tick", "SUCCEEDED")
    slots = sorted(x.slot for x in done)
    assert all(slot % 200 == 0 for slot in slots) and slots == list(range(slots[0], slots[-1] + 1, 200))
    assert all(x.id == f"tick@{x.slot}" and x.result == x.slot / 1000 and x.started >= x.slot for x in done)


async def enough(app, task, n):
    return len(await app.executions(task, "SUCCEEDED")) >= n


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
async def test_a_resume_catches_up_as_it_is_told(valkey, catch_up):
    app = new_app(valkey)

    @app.task("tick", every("100ms"), overlap="ALLOW")
    async def tick(ctx):
        return None

    async with serving(app):
        await eventually(lambda: enough(app, "tick", 2))
        assert await app.pause("tick") is True and await app.pause("tick") is False
        paused = (await app.history("-"))[-1].at * 1000
        await asyncio.sleep(1.0)
        assert not [x for x in await app.executions("tick") if x.slot > paused + 100]
        assert await app.resume("tick", catch_up=catch_up) is True
        resumed = next(e for e in reversed(await app.history()) if e.kind is Kind.TASK_RESUMED).at * 1000
        await eventually(lambda: later(app, resumed))
        await app.pause("tick")
        missed = [x.slot for x in await app.executions("tick") if paused + 100 < x.slot <= resumed - 100]
        skipped = [e for e in await app.history() if e.kind is Kind.SKIPPED and e.data["reason"] == "paused"]
    if catch_up == "all":
        assert len(missed) >= 7 and not skipped
    else:
        assert len(missed) <= 1 and skipped and skipped[0].data["count"] >= 7


async def later(app, ms):
    return [x for x in await app.executions("tick", "SUCCEEDED") if x.slot > ms]


async def test_disable_takes_triggers_too_and_resume_brings_them_back(app):
    app.task("a", manual())(never)
    async with app:
        assert await app.disable("a")
        with pytest.raises(ConfigError, match="DISABLED"):
            await app.trigger("a")
        assert await app.resume("a")
        await app.cancel(await app.trigger("a"))


async def test_a_backfill_runs_past_slots_once(app):
    @app.task("hourly", cron("0 * * * *"))
    async def hourly(ctx):
        return ctx.slot.isoformat()

    async with serving(app):
        day = datetime(2026, 3, 1, tzinfo=UTC)
        ids = await app.backfill("hourly", day, day + timedelta(hours=3))
        assert ids == await app.backfill("hourly", day, day + timedelta(hours=3))
        done = await asyncio.gather(*(app.wait(id, "10s") for id in ids))
        assert [x.result for x in done] == [f"2026-03-01T0{h}:00:00+00:00" for h in (1, 2, 3)]
        assert len(await app.executions("hourly")) == 3


async def test_the_preview_marks_daylight_saving_and_the_forecast_counts_the_herd(app):
    app.task("night", cron("30 2 * * *", tz="Europe/Berlin"))(never)
    for i in range(3):
        app.task(f"herd{i}", every("1h"))(never)
    async with app:
        now, rows = await app.now(), await app.preview("night", n=3)
        assert len([r for r in rows if r.slot]) == 3 and all(r.slot > now for r in rows if r.slot)
        herd = await app.forecast(hours=3)
        assert herd.peak == 3 and herd.total in (9, 10, 11) and not herd.capped
        await app.pause("herd0")
        assert (await app.forecast(hours=3)).peak == 2


async def test_listings_are_newest_first_and_filtered(app):
    @app.task("a", manual())
    async def body(ctx, fail=False):
        if fail:
            raise RuntimeError

    app.task("b", manual())(body_b)
    async with serving(app):
        for fail in (False, True, False):
            await app.wait(await app.trigger("a", fail=fail), "10s")
        await app.wait(await app.trigger("b"), "10s")
        everything = await app.executions()
        assert [x.created for x in everything] == sorted((x.created for x in everything), reverse=True)
        assert len(everything) == 4 and len(await app.executions("a")) == 3
        assert len(await app.executions("a", "FAILED")) == 1 == len(await app.executions(state="FAILED"))
        assert len(await app.executions("a", "SUCCEEDED")) == 2 and len(await app.executions(limit=2)) == 2
        before = datetime.fromtimestamp(everything[1].created / 1000, UTC)
        assert {x.id for x in await app.executions(before=before)} <= {x.id for x in everything[2:]}
        assert [t.name for t in await app.tasks()] == ["a", "b"]
        (instance,) = await app.instances()
        assert (instance.name, instance.handlers, instance.pool_size) == ("i1", {"a": 1, "b": 1}, 4)
        assert instance.leader and instance.lease_left > 0


async def body_b(ctx):
    return None


async def test_a_full_backlog_refuses_triggers_and_says_how_many_got_in(valkey):
    app = new_app(valkey)
    app.task("a", manual(), max_backlog=1500)(never)
    async with app:
        with pytest.raises(BacklogFull, match="1000 of 2000 were added"):
            await app.trigger_many("a", [{}] * 2000)
        assert (await app.registry.sizes())["READY"] == 1000


async def test_log_and_progress_can_be_seen_while_it_runs(app):
    go = asyncio.Event()

    @app.task("a", manual())
    async def body(ctx):
        ctx.log("first"), ctx.log({"second": 2})
        ctx.progress(1, 4)
        await go.wait()
        ctx.log("x" * 10_000)
        ctx.progress(4, 4)

    async with serving(app):
        id = await app.trigger("a")
        x = await eventually(lambda: with_log(app, id))
        assert x.state == "RUNNING" and x.log == ("first", "{'second': 2}") and x.progress == (1, 4)
        go.set()
        await app.wait(id, "10s")
        x = await app.execution(id)
        assert x.log[2] == "x" * 4000 and x.progress == (4, 4)


async def with_log(app, id):
    x = await app.execution(id)
    return x if x.log else None


async def test_an_effect_is_written_once_over_all_attempts(app):
    @app.task("a", manual(), retries=1, backoff=QUICK)
    async def body(ctx):
        first = await ctx.fence.write("k", {"by": ctx.attempt})
        if ctx.attempt == 1:
            raise RuntimeError("after the effect")
        return [first, await ctx.fence.read("k"), await ctx.fence.read("none")]

    async with serving(app):
        assert (await app.wait(await app.trigger("a"), "10s")).result == [False, {"by": 1}, None]


async def test_metrics_count_what_happened_and_health_says_who_leads(app):
    @app.task("a", manual(), retries=1, backoff=QUICK)
    async def body(ctx, fail=False):
        if fail:
            raise RuntimeError

    app.task("tick", every("100ms"), overlap="ALLOW")(body_b)
    async with serving(app):
        ids = await app.trigger_many("a", [{}, {}, {}, {"fail": True}])
        await asyncio.gather(*(app.wait(id, "10s") for id in ids))
        await eventually(lambda: enough(app, "tick", 1))
        await app.pause("tick")
        await eventually(lambda: idle(app))
        m = await app.metrics()
        a, tick = m.tasks
        assert (a.succeeded, a.failed, a.retried, a.success_rate) == (3, 1, 1, 0.75)
        assert a.duration.count == 5 and 0 <= a.duration.p50 <= a.duration.p99 and a.duration.mean > 0
        assert tick.lateness.count == tick.succeeded >= 1 and tick.lateness.p50 < 5
        assert (m.active_tasks, m.running, m.backlog, m.leader, m.failed) == (1, 0, 0, "i1", 1)
        assert m.epoch and m.created == 4 + tick.succeeded and m.states["SUCCEEDED"] == m.succeeded
        health = await app.health()
        assert health.up and set(health.components) == {"redis", "instances", "leader"}
    async with app:
        health = await app.health()
        assert not health.up and "nobody leads" in health.components["leader"].detail


async def idle(app):
    sizes = await app.registry.sizes()
    return not sizes["RUNNING"] and not sizes["READY"]


async def test_an_app_that_lost_its_server_says_so_in_its_health(valkey):
    async with Relay(valkey.port) as relay:
        app = new_app(valkey, client=through(relay, 0.2))
        app.patience = 0.3
        app.task("a", manual())(never)
        async with app:
            relay.stall()
            health = await app.health()
            assert not health.up and "no answer from the server" in health.components["redis"].detail
            relay.resume()
