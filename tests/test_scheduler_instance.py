"""Members of a cluster in one process: who dispatches, losing a lease, draining, and being left alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter

import pytest
import redis.asyncio as aioredis
from apps import eventually, new_app, serving, through
from redis import exceptions as rex
from servers import Relay

from labsched import every, manual
from labsched.connect import no_retry
from labsched.errors import ServerUnsuitable
from labsched.model import Kind


async def body(ctx):
    return None


@pytest.mark.parametrize(
    ("election", "lock", "runs"), [(True, True, 1), (True, False, 1), (False, True, 1), (False, False, 3)]
)
async def test_how_often_a_slot_runs_with_and_without_election_and_lock(valkey, election, lock, runs):
    app = new_app(valkey, leader_election=election, distributed_lock=lock)
    app.task("tick", every("200ms"), overlap="ALLOW")(body)
    async with serving(app, "i1", "i2", "i3"):
        began = await app.now()
        await eventually(lambda: reached(app, began + 1200))
        await app.pause("tick")
        slots = Counter(x.slot for x in await app.executions("tick", limit=1000))
        ids = {x.id for x in await app.executions("tick", limit=1000)}
    inner = {slot: n for slot, n in slots.items() if began + 200 <= slot <= began + 1000}
    assert len(inner) >= 4 and set(inner.values()) == {runs}
    assert all(("#" in id) != lock for id in ids)


async def reached(app, ms):
    return any(x.slot > ms for x in await app.executions("tick"))


async def test_one_leads_and_another_takes_over_at_once_when_it_leaves(app):
    app.task("tick", every("100ms"), overlap="ALLOW")(body)
    async with serving(app, "i2"):
        await eventually(lambda: led_by(app, {"i2"}))
        async with serving(app, "i1"):
            async with serving(app, "i3"):
                assert [i.name for i in await app.instances() if i.leader] == ["i2"]
                await app.drain("i2")
                await eventually(lambda: led_by(app, {"i1", "i3"}))
            await eventually(lambda: led_by(app, {"i1"}))
        elected = [e for e in await app.history() if e.kind is Kind.LEADER_ELECTED]
        resigned = [e for e in await app.history() if e.kind is Kind.LEADER_RESIGNED]
    assert len(elected) >= 2 and [e.epoch for e in elected] == sorted(e.epoch for e in elected)
    assert all(b.at - a.at < 2.0 for a, b in zip(resigned, elected[1:], strict=False)), (
        "without waiting for the lease"
    )


async def led_by(app, names):
    return {i.name for i in await app.instances() if i.leader} <= names and any(
        i.leader for i in await app.instances()
    )


async def test_a_draining_instance_hands_back_what_has_not_started_and_finishes_what_runs(valkey):
    app, go, ran = new_app(valkey, pool_size=2), asyncio.Event(), []

    @app.task("a", manual())
    async def work(ctx):
        ran.append(ctx.instance)
        await go.wait()

    async with serving(app, "i1") as (member,):
        ids = await app.trigger_many("a", [{}] * 4)
        await eventually(lambda: len(ran) == 2)
        draining = asyncio.create_task(member.drain())
        await eventually(lambda: drains(app, "i1"))
        await asyncio.sleep(0.1)
        assert len(ran) == 2 and not draining.done()
        async with serving(app, "i2"):
            go.set()
            await draining
            done = await asyncio.gather(*(app.wait(id, "10s") for id in ids))
            assert sorted(x.instance for x in done) == ["i1", "i1", "i2", "i2"]
            assert {x.losses for x in done} == {0} and [i.name for i in await app.instances()] == ["i2"]
    kinds = [e.kind for e in await app_history(app) if e.instance == "i1"]
    assert kinds[-1] is Kind.INSTANCE_LEFT and Kind.INSTANCE_LOST not in kinds


async def app_history(app):
    async with app:
        return await app.history()


async def drains(app, name):
    return any(i.name == name and i.state == "DRAINING" for i in await app.instances())


async def test_a_body_that_does_not_end_in_time_is_stopped_and_its_work_handed_back(valkey):
    app = new_app(valkey, drain_timeout=0.2)

    @app.task("a", manual())
    async def work(ctx):
        if ctx.attempt == 1:
            await asyncio.sleep(60)
        return ctx.attempt

    async with app:
        async with serving(app, "i1"):
            id = await app.trigger("a")
            await eventually(lambda: app.executions(state="RUNNING"))
        x = await app.execution(id)
        assert x.state == "READY" and x.losses == 0 and [a.outcome for a in x.attempts] == ["CANCELLED"]
        async with serving(app, "i2"):
            assert (await app.wait(id, "10s")).result == 2


async def test_a_drain_that_was_asked_for_from_elsewhere_ends_the_instance(app):
    app.task("a", manual())(body)
    async with serving(app, "i1") as (member,), app:
        assert await app.drain("i1") is True and await app.drain("nobody") is False
        await asyncio.wait_for(member.drained.wait(), 10)
        assert await app.instances() == []


async def test_a_drain_is_noticed_although_its_hint_was_lost(valkey):
    app = new_app(valkey)
    app.task("a", manual())(body)
    async with serving(app, "i1") as (member,):
        await app._client.redis.hset(
            app._client.key("inst", member.membership.incarnation), "state", "DRAINING"
        )
        await asyncio.wait_for(member.drained.wait(), 10)


async def test_a_drain_without_a_lease_does_not_drain_whoever_has_the_name_now(valkey):
    one, two = new_app(valkey), new_app(valkey)
    for app in (one, two):
        app.task("a", manual())(body)
    async with serving(one, "i1") as (old,), serving(two, "i1") as (new,):
        old.membership._leaving = True  # it has not joined again yet
        old.membership._end()
        await old.drain()
        (instance,) = await two.instances()
        assert instance.state == "ACTIVE" and not new.drained.is_set()


async def test_an_error_inside_the_block_abandons_and_the_work_is_recovered(valkey):
    short = {"instance_lease": 1.0, "lease_margin": 0.3, "cancel_grace": 0.1}
    leader = {"leader_lease": 1.0, "leader_renew_deadline": 0.7, "leader_retry": 0.2}
    app, ran = new_app(valkey, **short, **leader), []

    @app.task("a", manual())
    async def work(ctx):
        ran.append(ctx.instance)
        if ctx.attempt == 1:
            await asyncio.sleep(60)

    async with app:
        with pytest.raises(RuntimeError, match="crash"):
            async with serving(app, "i1"):
                id = await app.trigger("a")
                await eventually(lambda: ran)
                raise RuntimeError("crash")
        assert (await app.execution(id)).state == "RUNNING"
        async with serving(app, "i2"):
            done = await app.wait(id, "15s")
            assert (done.attempt, done.losses, done.instance) == (2, 1, "i2") and ran == ["i1", "i2"]


class Cuttable(aioredis.Redis):
    """A client whose calls fail while it is cut off, as if its link were down."""

    cut = False

    async def execute_command(self, *args, **options):
        if self.cut:
            raise rex.ConnectionError("cut off by the test")
        return await super().execute_command(*args, **options)

    def pipeline(self, *args, **options):
        pipe = super().pipeline(*args, **options)
        run, owner = pipe.execute, self

        async def execute(*a, **o):
            if owner.cut:
                raise rex.ConnectionError("cut off by the test")
            return await run(*a, **o)

        pipe.execute = execute
        return pipe


async def test_a_lost_lease_is_told_before_it_ends_and_the_instance_joins_again(valkey):
    clients = []

    def client():
        clients.append(Cuttable(port=valkey.port, retry=no_retry()))
        return clients[-1]

    app = new_app(valkey, client=client, instance_lease=1.5, lease_margin=0.5, heartbeat_every=0.1)
    journal, told = [], []
    app.host.journal = lambda kind, fields: journal.append((kind, fields))

    @app.task("a", manual())
    async def work(ctx):
        if ctx.attempt > 1:
            return ctx.token
        try:
            await asyncio.sleep(60)
        finally:
            told.append((time.monotonic(), ctx.lease_lost))

    async with serving(app, "i1") as (member,), new_app(valkey) as watcher:
        id = await app.trigger("a")
        await eventually(lambda: watcher.executions(state="RUNNING"))
        first, proved = member.membership.incarnation, [f["sent"] for kind, f in journal if kind == "proved"]
        # The journal says what runs here, with the server's own time of that answer.
        await eventually(lambda: any(f.get("runs") for _, f in journal))
        said, known = next(f for _, f in journal if f.get("runs")), await watcher.execution(id)
        assert said["runs"] == [known.token] and abs(said["server"] - await watcher.now()) < 1000
        for each in clients:
            each.cut = True
        await eventually(lambda: told)
        proved = [f["sent"] for kind, f in journal if kind == "proved"]
        when, lost = told[0]
        assert lost and when < proved[-1] + 1.5, "before the lease could end on the server"
        assert when >= proved[-1] + 1.0, "and not before it had to"
        for each in clients:
            each.cut = False
        done = await watcher.wait(id, "15s")
        assert done.state == "SUCCEEDED" and done.losses == 1
        assert int(member.membership.incarnation) > int(first)
        notes = [f for kind, f in journal if kind == "lease-lost"]
        assert {f["deadline"] for f in notes} == {proved[-1] + 1.0}
        # The alarm may be a moment faster than the loop, and then both tell.
        assert [f["running"] for f in notes if f["by"] == "loop"] == [[id]]
        stopped = [(f["execution"], f["how"]) for kind, f in journal if kind == "stopped"]
        assert stopped == [(id, "cancelled")]


async def test_a_body_that_hogs_the_loop_is_flagged_by_the_alarm(valkey):
    app = new_app(valkey, instance_lease=1.2, lease_margin=0.5, heartbeat_every=0.1)
    journal, seen = [], []
    app.host.journal = lambda kind, fields: journal.append((kind, fields))

    @app.task("hog", manual(), max_losses=1)
    async def hog(ctx):
        end = time.monotonic() + 5
        while not ctx.lease_lost and time.monotonic() < end:
            time.sleep(0.005)  # noqa: ASYNC251
        seen.append((ctx.lease_lost, time.monotonic()))

    async with serving(app, "i1"):
        await app.trigger("hog")
        await eventually(lambda: seen)
        flagged, when = seen[0]
        notes = [f for kind, f in journal if kind == "lease-lost" and f["by"] == "alarm"]
        assert flagged and notes and when - notes[0]["deadline"] < 0.4
        await eventually(lambda: idle(app))


async def idle(app):
    sizes = await app.registry.sizes()
    return not sizes["RUNNING"] and not sizes["READY"]


async def test_a_restart_under_the_same_name_takes_its_own_work_over_at_once(valkey):
    one, two, ran = new_app(valkey), new_app(valkey), []

    async def work(ctx):
        ran.append(ctx.attempt)
        if ctx.attempt == 1:
            await asyncio.sleep(60)

    for app in (one, two):
        app.task("a", manual())(work)
    async with one, two:
        entered = one.instance(name="i1")  # kept: dropping it would end the instance in order
        member = await entered.__aenter__()
        id = await one.trigger("a")
        await eventually(lambda: ran)
        for task in member._tasks:
            task.cancel()  # it no longer renews, but its lease is far from over
        began = time.monotonic()
        async with serving(two, "i1"):
            await two.wait(id, "10s")
            assert ran == [1, 2] and time.monotonic() - began < 3.0
        await member.abandon()
        await one.__aexit__(None, None, None)


async def test_work_without_a_handler_here_waits_for_one_who_has_it(app):
    app.task("known", manual())(body)
    other = new_app(app.server)
    other.task("known", manual())(body)
    other.task("special", manual())(body)
    async with other, serving(app, "i1"):
        special = await other.trigger("special")
        await app.wait(await app.trigger("known"), "10s")
        assert (await app.execution(special)).state == "READY"
        async with serving(other, "i2"):
            assert (await other.wait(special, "10s")).instance == "i2"


async def test_a_loop_that_fails_for_a_reason_nobody_thought_of_goes_on(valkey, caplog):
    app = new_app(valkey)
    app.task("tick", every("100ms"), overlap="ALLOW")(body)
    async with serving(app, "i1") as (member,):
        await eventually(lambda: app.executions("tick", "SUCCEEDED"))
        look, failed = member.coordinator._act, []

        async def broken():
            if not failed:
                failed.append(1)
                raise KeyError("a bug")
            return await look()

        with caplog.at_level(logging.INFO, "labsched"):
            member.coordinator._act = broken
            await eventually(lambda: failed)
            then = await app.now()
            await eventually(lambda: reached(app, then))
        assert "coordinator: this should not happen" in caplog.text and "a bug" in caplog.text


async def test_an_end_is_told_although_the_server_was_full_when_it_happened(valkey):
    app, go = new_app(valkey), asyncio.Event()

    @app.task("a", manual())
    async def work(ctx):
        await go.wait()
        return 5

    async with serving(app, "i1"):
        id = await app.trigger("a")
        await eventually(lambda: app.executions(state="RUNNING"))
        await valkey.client().config_set("maxmemory", 1)
        try:
            go.set()
            await asyncio.sleep(0.3)
            with pytest.raises(ServerUnsuitable, match="out of memory"):
                await app.trigger("a")
            assert (await app.execution(id)).state == "RUNNING"
        finally:
            await valkey.client().config_set("maxmemory", 0)
        assert (await app.wait(id, "10s")).result == 5


async def test_a_server_that_evicts_is_refused(valkey):
    client = valkey.client()
    await client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ServerUnsuitable, match="CONFIG SET maxmemory-policy noeviction"):
            await new_app(valkey).__aenter__()
    finally:
        await client.config_set("maxmemory-policy", "noeviction")


async def test_a_replica_is_refused(realserver):
    client = realserver.client()
    await client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(
            ServerUnsuitable, match=r"is a replica and takes no writes: use its primary, 127.0.0.1:1"
        ):
            await new_app(realserver).__aenter__()
    finally:
        await client.execute_command("REPLICAOF", "NO", "ONE")


async def test_replies_that_are_lost_make_nothing_twice(valkey):
    app_runs = Counter()
    async with Relay(valkey.port) as relay:
        app = new_app(valkey, client=through(relay, 2.0))

        @app.task("a", manual())
        async def work(ctx):
            app_runs[ctx.execution] += 1

        async with serving(app, "i1"):
            ids = []
            for _ in range(10):
                ids += await app.trigger_many("a", [{}] * 5)
                relay.lose(1)
                await asyncio.sleep(0.03)
            done = await asyncio.gather(*(app.wait(id, "20s") for id in ids))
            assert {x.state for x in done} == {"SUCCEEDED"} and relay.lost
            assert len(app_runs) == 50 and set(app_runs.values()) == {1}


async def test_what_ended_is_told_although_a_call_failed_in_a_way_nobody_thought_of(valkey):
    app, go = new_app(valkey), asyncio.Event()

    @app.task("a", manual())
    async def work(ctx):
        await go.wait()
        return 5

    async with serving(app, "i1") as (member,):
        id = await app.trigger("a")
        await eventually(lambda: app.executions(state="RUNNING"))
        send, failed = member.worker._send, []

        async def broken(steps):
            if not failed:
                failed.append(1)
                raise KeyError("a bug")
            return await send(steps)

        member.worker._send = broken
        go.set()
        assert (await app.wait(id, "10s")).result == 5 and failed
