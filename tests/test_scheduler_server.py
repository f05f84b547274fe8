"""What the steps do when the server objects: full, keys of the wrong type, scripts flushed, clients that decode."""

from __future__ import annotations

import contextlib

import pytest
import redis
import redis.asyncio as aioredis
from cluster import Cluster
from invariants import violations
from msgspec import structs
from servers import Relay
from steps import GO_ON_WHEN_FULL, STEPS, Scene

from labsched import Scheduler, every
from labsched.clock import Host
from labsched.connect import no_retry
from labsched.errors import OutcomeUnknown, ServerUnsuitable, Unreachable
from labsched.events import Events
from labsched.metrics import metrics
from labsched.registry import Registry
from labsched.store import Store


@pytest.mark.parametrize("step", sorted(STEPS.keys() - GO_ON_WHEN_FULL))
async def test_a_server_out_of_memory_refuses_the_whole_step(realserver, step):
    cluster = Cluster(realserver)
    scene = await Scene().set(cluster)
    before = await cluster.dump()
    await cluster.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(ServerUnsuitable, match="out of memory .* nothing was changed"):
            await STEPS[step](cluster, scene)
    finally:
        await cluster.redis.config_set("maxmemory", 0)
    await cluster.unchanged(before)


class Backup:
    """Everything on a server, to be put back."""

    def __init__(self, admin: redis.Redis) -> None:
        self.admin = admin
        self.keys = {key: admin.dump(key) for key in admin.scan_iter()}

    def restore(self) -> None:
        with self.admin.pipeline(transaction=False) as pipe:
            pipe.flushall()
            for key, value in self.keys.items():
                pipe.restore(key, 0, value)
            pipe.execute()


@pytest.mark.parametrize("step", STEPS)
async def test_a_key_of_the_wrong_type_is_named_and_nothing_is_changed(valkey_process, step):
    """Whichever of the keys that the step may meet it is: there is no rollback, so it must be found first."""
    with redis.Redis(port=valkey_process.port) as admin:
        admin.flushall()
        cluster = Cluster(valkey_process)
        scene = await Scene().set(cluster)
        backup = Backup(admin)
        await STEPS[step](cluster, scene)
        keys = sorted({*backup.keys, *admin.scan_iter()})
        refused = 0
        for key in keys:
            backup.restore()
            admin.delete(key)
            admin.rpush(key, "x") if key.endswith(b":token") else admin.set(key, "x")
            before = await cluster.dump()
            try:
                with contextlib.suppress(redis.ResponseError):  # the helper's own reading
                    await STEPS[step](cluster, scene)
                    continue
            except ServerUnsuitable as error:
                assert f"{key.decode()} is a " in str(error)
            after = await cluster.dump()
            for dump in (before, after):
                dump.keys.pop("token", None)  # a number that is not used is no change
            assert before.keys == after.keys, key
            refused += 1
        assert refused
    await valkey_process.close()


async def test_scripts_that_were_flushed_from_the_servers_cache_are_sent_again(cluster):
    scene = await Scene().set(cluster)
    for step in ("enqueue", "claim", "finish", "dispatch", "promote", "recover", "heartbeat", "lead"):
        await cluster.redis.script_flush()
        await STEPS[step](cluster, scene)
    await cluster.redis.script_flush()
    replies = await cluster.store.calls(
        ("heartbeat", ("i1", scene.member.inc, 5000, 99)),
        ("watch", (scene.ready, "c1")),
        ("watch", ("a~none", "c1")),
    )
    assert replies[0][0] == b"ok" and replies[1:] == [b"RUNNING", b""]


async def test_a_client_that_decodes_sees_the_same(cluster):
    scene = await Scene().set(cluster)
    await cluster.registry.cancel(scene.grants[1].id, False)
    decoding = cluster.server.client(decode_responses=True)
    ways = [(Registry(store), Events(store)) for store in (cluster.store, Store(decoding, "t"))]
    now = await cluster.now()
    seen = []
    for registry, events in ways:
        seen.append(
            (
                await registry.tasks(), await registry.executions(None, None, 100, None),
                await registry.execution(scene.grants[0].id), await registry.counts(), await registry.sizes(),
                await registry.all_stats(["a", "s"]), (await metrics(registry, now)).tasks, await events.read(),
                [lock.name for lock in await registry.locks()],
                # Not how much is left of the lease: the second look comes a little later.
                [structs.replace(i, lease_left=0.0) for i in await registry.instances()],
            )
        )  # fmt: skip
    assert seen[0] == seen[1]


async def test_every_step_works_through_a_client_that_decodes(realserver):
    for step in STEPS:
        await realserver.client().flushall()
        cluster = Cluster(realserver, decode_responses=True)
        scene = await Scene().set(cluster)
        await STEPS[step](cluster, scene)
        assert violations(await cluster.dump()) == []
        await realserver.close()


async def test_every_step_leaves_indexes_and_history_in_order(cluster):
    scene = await Scene().set(cluster)
    for step in STEPS:
        with contextlib.suppress(ServerUnsuitable, LookupError, ValueError, AssertionError):
            await STEPS[step](cluster, scene)
        assert violations(await cluster.dump()) == [], step


async def test_namespaces_on_one_server_do_not_meet(anyserver):
    one, two = Cluster(anyserver), Cluster(anyserver)
    two.store = Store(two.redis, "t2")
    two.registry = Registry(two.store)
    await one.define("a", every("1s"))
    await two.define("a", every("2s"))
    assert (await one.registry.task("a")).task != (await two.registry.task("a")).task
    keys = {key.partition(b"}")[0] for key in await one.redis.keys()}
    assert keys == {b"{labsched:t", b"{labsched:t2"}


async def test_nothing_was_sent_to_a_server_that_is_not_there():
    store = Store(
        aioredis.Redis(port=1, socket_connect_timeout=0.2, retry=no_retry()), "t", host=Host(), patience=0.05
    )
    with pytest.raises(Unreachable, match="no answer from the server"):
        await store.call("watch", "a~1", "c1")


async def test_a_reply_that_never_came_may_mean_that_it_happened(realserver):
    async with Relay(realserver.port) as relay:
        relay.lose(100)
        client = aioredis.Redis(port=relay.port, socket_timeout=0.3, retry=no_retry())
        store = Store(client, "t", patience=0.3)
        with pytest.raises(OutcomeUnknown) as caught:
            await store.call("join", "i1", "p", 1, 5000, "", "{}", 1, "h", 1)
        assert caught.value.may_have_happened
        await client.aclose()


async def test_a_server_that_lacks_replicas_is_an_answer_not_a_traceback(realserver):
    cluster = Cluster(realserver)
    await cluster.redis.config_set("min-replicas-to-write", 3)
    try:
        with pytest.raises(ServerUnsuitable, match="replicas"):
            await cluster.define()
    finally:
        await cluster.redis.config_set("min-replicas-to-write", 0)


async def test_a_database_that_the_server_does_not_have_is_told(valkey_process):
    client = aioredis.Redis(port=valkey_process.port, db=9999, retry=no_retry())
    try:
        with pytest.raises(ServerUnsuitable, match="the server has no database of that number"):
            await Store(client, "n", patience=0.0).call("snapshot")
        with pytest.raises(ServerUnsuitable, match="no database of that number"):
            async with Scheduler(f"redis://127.0.0.1:{valkey_process.port}/9999", patience=0.0):
                pass
    finally:
        await client.aclose()
