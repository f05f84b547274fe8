"""Why is it still waiting, why did it not run: the codes, each in the situation that it names."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from apps import eventually, new_app, serving

from labsched import at, diagnosis, every, exponential, manual
from labsched.events import Events


async def body(ctx):
    return None


async def codes(app, id) -> list[str]:
    return [reason.code for reason in await app.why(id)]


async def test_without_instance_without_handler_draining_and_full(valkey):
    app, go = new_app(valkey, pool_size=1), asyncio.Event()

    @app.task("a", manual())
    async def work(ctx):
        await go.wait()

    app.task("v2", manual(), version=2)(body)
    old = new_app(valkey)
    old.task("v2", manual(), version=1)(body)
    async with app:
        id, v2 = await app.trigger("a"), await app.trigger("v2")
        assert await codes(app, id) == ["no-instance"]
        async with serving(old, "old"):
            (reason,) = await app.why(v2)
            assert reason.code == "no-handler" and "old has version 1" in reason.text
        async with serving(app, "i1"):
            await eventually(lambda: app.executions(state="RUNNING"))
            running = (await app.executions(state="RUNNING"))[0].id
            assert (await codes(app, running))[0] == "running"
            waiting = await app.trigger("a")
            assert await codes(app, waiting) == ["no-slot"]
            await app.cancel(waiting)
            await app.cancel(v2)
            draining = await app.trigger("a")
            await app.drain("i1")
            await eventually(lambda: has(app, draining, "draining"))
            await app.cancel(draining)
            go.set()


async def has(app, id, code):
    return code in await codes(app, id)


async def test_limits_locks_and_losses(valkey):
    app, go = new_app(valkey), asyncio.Event()

    @app.task("one", manual(), max_concurrency=1)
    async def one(ctx):
        await go.wait()

    app.task("rate", manual(), rate_limit="1/h")(body)
    app.task("slot", every("100ms"))(body)
    async with serving(app, "i1"):
        lock = await app._client.call("lock_acquire", "task:slot", "someone", "n", 60_000, 0)
        ids = await app.trigger_many("one", [{}, {}]) + await app.trigger_many("rate", [{}, {}])
        await eventually(lambda: app.executions("rate", "SUCCEEDED"))
        await eventually(lambda: app.executions("one", "RUNNING"))
        assert await has(app, ids[1], "max-concurrency") or await has(app, ids[0], "max-concurrency")
        left = next(x.id for x in await app.executions("rate") if x.state == "READY")
        assert await has(app, left, "rate-limit")
        held = (await eventually(lambda: app.executions("slot", "READY")))[0]
        (reason,) = [r for r in await app.why(held.id) if r.code == "lock"]
        assert "held by someone" in reason.text
        await app.cancel(left)
        await app._client.call("lock_release", "task:slot", "someone", lock[1], "")
        await app.pause("slot")
        go.set()
        await asyncio.gather(*(app.wait(id, "10s") for id in ids[:2]))


async def test_what_waits_for_its_time_or_turn_and_what_has_ended(valkey):
    app, go = new_app(valkey), asyncio.Event()

    @app.task("turn", every("100ms"), overlap="BUFFER_ONE")
    async def turn(ctx):
        await go.wait()

    @app.task("fail", manual(), retries=1, backoff=exponential("1h", "1h"))
    async def fail(ctx):
        raise ValueError("no")

    app.task("a", manual())(body)
    async with serving(app, "i1"):
        later = await app.trigger("a", _at=datetime(2999, 1, 1, tzinfo=UTC))
        (reason,) = await app.why(later)
        assert reason.code == "delayed" and "2999-01-01" in reason.text
        buffered = (await eventually(lambda: app.executions("turn", "BUFFERED")))[0]
        await app.pause("turn")
        buffered = (await app.executions("turn", "BUFFERED"))[0]
        assert await codes(app, buffered.id) == ["overlap"]
        retry = await app.trigger("fail")
        await eventually(lambda: app.executions("fail", "RETRYING"))
        (reason,) = await app.why(retry)
        assert reason.code == "backoff" and "ValueError: no" in reason.text
        await app.cancel(retry)
        assert await codes(app, retry) == ["cancelled"]
        done = await app.wait(await app.trigger("a"), "10s")
        assert await codes(app, done.id) == ["succeeded"]
        await app.cancel(later)
        running = (await app.executions("turn", "RUNNING"))[0]
        await app.cancel(running.id)
        assert (
            "cancel-requested" in await codes(app, running.id) or (await app.execution(running.id)).terminal
        )
        go.set()
        await app.wait(buffered.id, "10s")


async def why_not(app, *args, **options) -> list[str]:
    return [reason.code for reason in await app.why_not(*args, **options)]


async def test_why_a_task_did_not_run(valkey):
    app, go = new_app(valkey), asyncio.Event()

    @app.task("skips", every("100ms"))
    async def skips(ctx):
        await go.wait()

    app.task("never", manual())(body)
    app.task("once", at(datetime(2999, 1, 1, tzinfo=UTC)))(body)
    async with app:
        assert "no-instance" in await why_not(app, "skips")
        async with serving(app, "i1"):
            event = await eventually(lambda: skipped(app))  # by then somebody leads
            assert await why_not(app, "never") == ["never"]
            assert await why_not(app, "once") == ["not-yet"]
            assert await why_not(app, "once", at=datetime(2026, 1, 1, tzinfo=UTC)) == ["no-slot"]
            assert await why_not(app, "once", at=datetime(2999, 1, 1, tzinfo=UTC)) == ["future"]
            slot = datetime.fromtimestamp(event.data["first"] / 1000, UTC)
            assert await why_not(app, "skips", at=slot) == ["skipped-overlap"]
            between = datetime.fromtimestamp(event.data["first"] / 1000 + 0.05, UTC)
            assert (await why_not(app, "skips", at=between))[0] == "not-a-slot"
            ran = datetime.fromtimestamp((await app.executions("skips"))[0].slot / 1000, UTC)
            assert (await why_not(app, "skips", at=ran))[0] == "it-ran"
            assert await why_not(app, "skips", at=datetime(2020, 1, 1, tzinfo=UTC)) == ["before"]
            await app.pause("skips")
            assert await why_not(app, "skips") == ["paused"]
            go.set()


async def skipped(app):
    return next((e for e in await app.history() if e.kind == "SKIPPED"), None)


async def reasons(cluster, id):
    return await diagnosis.why(cluster.registry, await cluster.registry.execution(id), await cluster.now())


async def test_a_run_whose_instance_lost_its_lease_does_not_run_there_and_who_recovers_it_is_told(cluster):
    await cluster.define()
    member = await cluster.join("gone", lease=500)
    id = await cluster.trigger_one()
    await member.claim_one()
    await cluster.passes(500)
    (reason,) = await reasons(cluster, id)
    assert reason.code == "expired" and "whose lease is over (EXPIRED)" in reason.text
    assert reason.text.endswith("no instance is alive to recover it")
    alive = await cluster.join("alive")
    (reason,) = await reasons(cluster, id)
    assert reason.text.endswith("nobody leads, so nobody recovers it yet")
    await alive.lead()
    (reason,) = await reasons(cluster, id)
    assert reason.text.endswith("a leader is about to recover it")
    await alive.recover()
    await alive.claim_one()
    assert [r.code for r in await reasons(cluster, id)] == ["running"]


async def test_nobody_leads_is_only_said_where_somebody_should(cluster):
    await cluster.define("rare", at(datetime(2999, 1, 1, tzinfo=UTC)))
    member, events = await cluster.join(), Events(cluster.store)

    async def said() -> list[str]:
        info = await cluster.registry.task("rare")
        found = await diagnosis.why_not(cluster.registry, events, info, None, await cluster.now())
        return [reason.code for reason in found]

    assert await said() == ["no-leader", "not-yet"]
    await cluster.redis.hset(cluster.store.key("inst", member.inc), "facts", '{"election":false}')
    assert await said() == ["not-yet"], "without election it dispatches for itself"
