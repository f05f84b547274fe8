"""The fast way to the server: scripts in their order whatever the server forgot, connections given back."""

from __future__ import annotations

import asyncio
import gc
import warnings

from cluster import Cluster

from labsched import manual
from labsched.store import Store


async def test_scripts_keep_their_order_although_the_server_forgot_one_of_them(anyserver):
    cluster = Cluster(anyserver)
    await cluster.define("a", manual())
    member = await cluster.join()

    def enqueue_and_claim(n: int):
        return cluster.store.calls(
            ("enqueue", ("a", "trigger", "", "", f"a~{n}", "{}", "")),
            ("claim", (member.name, member.inc, "0", str(n), 1)),
        )

    assert len((await enqueue_and_claim(1))[1]) > 4
    await cluster.redis.script_flush()
    # The one that is found missing tells that the others are, too.
    assert (await cluster.call("claim", member.name, member.inc, "0", "2", 1))[0] == "ok"
    assert len((await enqueue_and_claim(3))[1]) > 4, "the claim ran before there was anything"


def test_a_loop_that_stops_when_connections_are_given_back_leaves_no_coroutine_behind(valkey_process):
    loop = asyncio.new_event_loop()
    client = valkey_process.client()
    store = Store(client, "wire")

    async def use() -> None:
        await store.call("watch", "a~none", "box")

    loop.run_until_complete(use())
    wire, pool = store._wire, client.connection_pool
    assert wire._kept and pool._in_use_connections
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        loop.call_soon(wire._give_back)
        loop.call_soon(loop.stop)
        loop.run_forever()
        gc.collect()
        assert [str(w.message) for w in said if "never awaited" in str(w.message)] == []
    assert not wire._kept and not pool._in_use_connections, "they are the pool's again"
    loop.run_until_complete(valkey_process.close())
    loop.close()


async def test_a_connection_is_kept_a_little_longer_when_the_pool_is_busy(valkey):
    client = valkey.client()
    store = Store(client, "wire")
    await store.call("watch", "a~none", "box")
    wire, pool = store._wire, client.connection_pool
    (kept,) = wire._kept
    async with pool._lock:
        wire._give_back()
        assert wire._kept == [kept] and wire._timer is not None
    wire._give_back()
    assert wire._kept == [] and pool._available_connections == [kept]
