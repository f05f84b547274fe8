"""What is sent again because its reply was lost happens once, and is answered as the first time."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from apps import NAMESPACE, eventually, new_app, serving, through
from cluster import Cluster
from servers import Relay

from labsched import every, manual, worker
from labsched.registry import Registry
from labsched.store import Store


async def failed(cluster: Cluster) -> tuple[Any, str]:
    await cluster.define()
    member = await cluster.join()
    await cluster.trigger()
    grant = await member.claim_one()
    await member.finish((grant, "FAILED"))
    return member, grant.id


async def test_a_repeated_requeue_gives_one_new_life_whatever_has_become_of_that_meanwhile(cluster):
    member, id = await failed(cluster)
    assert await cluster.call("requeue", id, "n1") == "ok"
    assert await cluster.call("requeue", id, "n1") == "ok"
    grant = await member.claim_one()
    assert await cluster.call("requeue", id, "n1") == "ok"
    await member.finish((grant, "FAILED"))
    assert await cluster.call("requeue", id, "n1") == "ok" and await cluster.state(id) == "FAILED"
    assert await cluster.call("requeue", id, "n2") == "ok" and await cluster.state(id) == "READY"
    assert await cluster.call("requeue", id, "n3") == "READY"


async def test_a_repeated_cancel_is_answered_as_the_first_time_and_does_nothing(cluster):
    await cluster.define()
    member = await cluster.join()
    waiting, running = await cluster.trigger(n=2)
    assert await cluster.call("cancel", waiting, "0", "n1") == "cancelled"
    assert await cluster.call("cancel", waiting, "0", "n1") == "cancelled"
    assert await cluster.call("cancel", waiting, "0", "n2") == "already"
    grant = await member.claim_one()
    assert await cluster.call("cancel", running, "0", "n3") == "requested"
    await member.finish((grant, "FAILED"))
    assert await cluster.call("cancel", running, "0", "n3") == "requested"
    await cluster.registry.requeue(running)
    await member.claim_one()
    assert await cluster.call("cancel", running, "0", "n3") == "requested"
    assert not (await cluster.registry.execution(running)).cancel_requested, "its new life was not meant"
    assert len(await cluster.events("CANCEL_REQUESTED", "CANCELLED")) == 2


async def test_a_repeated_cancel_by_force_is_answered_as_the_first_time(cluster):
    await cluster.define()
    member, id = await cluster.join(), await cluster.trigger_one()
    await member.claim_one()
    assert [await cluster.call("cancel", id, "1", "n1") for _ in range(2)] == ["cancelled"] * 2


async def test_a_repeated_pause_is_answered_as_the_first_time(cluster):
    await cluster.define("a", every("1s"))
    assert [await cluster.call("set_status", "a", "PAUSED", "none", "n1") for _ in range(2)] == ["ok", "ok"]
    assert await cluster.call("set_status", "a", "PAUSED", "none", "n2") == "same"
    assert [await cluster.call("set_status", "a", "ACTIVE", "all", "n3") for _ in range(2)] == ["ok", "ok"]
    assert len(await cluster.events("TASK_PAUSED", "TASK_RESUMED")) == 2


async def test_a_copy_of_an_old_pause_does_not_pause_what_was_resumed_since(cluster):
    await cluster.define("a", every("1s"))
    for status, nonce in (("PAUSED", "n1"), ("PAUSED", "n2"), ("ACTIVE", "n3")):
        await cluster.call("set_status", "a", status, "none", nonce)
    assert await cluster.call("set_status", "a", "PAUSED", "none", "n1") == "ok"
    assert await cluster.call("set_status", "a", "PAUSED", "none", "n2") == "same", (
        "it did nothing the first time either"
    )
    assert (await cluster.task())["status"] == "ACTIVE"


async def test_a_copy_of_an_old_requeue_or_cancel_does_nothing_to_a_later_life(cluster):
    member, id = await failed(cluster)
    assert await cluster.call("cancel", id, "0", "n1") == "already"
    assert await cluster.call("requeue", id, "n2") == "ok"
    assert await cluster.call("requeue", id, "n3") == "READY"
    assert await cluster.call("cancel", id, "0", "n1") == "already" and await cluster.state(id) == "READY"
    await member.finish((await member.claim_one(), "FAILED"))
    await cluster.call("requeue", id, "n4")
    await member.finish((await member.claim_one(), "FAILED"))
    assert [await cluster.call("requeue", id, nonce) for nonce in ("n2", "n3")] == ["ok", "READY"]
    assert await cluster.state(id) == "FAILED"


async def test_only_the_last_calls_are_remembered(cluster):
    await cluster.define("a", every("1s"))
    for i in range(50):
        await cluster.call("set_status", "a", ("PAUSED", "ACTIVE")[i % 2], "none", f"n{i}")
    assert (await cluster.task())["calls"].split() == [f"n{i}=ok" for i in range(49, 41, -1)]


async def test_another_call_of_the_same_kind_is_not_taken_for_a_copy(cluster):
    member, id = await failed(cluster)
    registry = cluster.registry
    assert [await registry.set_status("a", status) for status in ("PAUSED", "ACTIVE", "PAUSED")] == [True] * 3
    assert (await cluster.task())["status"] == "PAUSED"
    for _ in range(2):
        await registry.requeue(id)
        await member.finish((await member.claim_one(), "FAILED"))
    await registry.requeue(id)
    await member.claim_one()
    assert await registry.cancel(id, False) == "requested" and await registry.cancel(id, True) == "cancelled"


@pytest.mark.parametrize("what", ["requeue", "cancel", "pause"])
async def test_an_operator_is_not_told_of_a_lost_reply(valkey, what):
    here = Cluster(valkey)
    _, id = await failed(here)
    waiting = await here.trigger_one()
    async with Relay(valkey.port) as relay:
        client = through(relay)()
        registry = Registry(Store(client, NAMESPACE, patience=10))
        await registry.watch(id, "box")  # the connection is made
        calls = {
            "requeue": functools.partial(registry.requeue, id),
            "cancel": functools.partial(registry.cancel, waiting, False),
            "pause": functools.partial(registry.set_status, "a", "PAUSED"),
        }
        relay.lose(1)
        assert await calls[what]() == {"requeue": None, "cancel": "cancelled", "pause": True}[what]
        assert relay.lost == 1
        await client.aclose()


async def test_a_note_that_is_sent_again_adds_nothing(cluster):
    await cluster.define()
    member, id = await cluster.join(), await cluster.trigger_one()
    grant = await member.claim_one()

    async def log() -> tuple[str, ...]:
        return (await cluster.registry.execution(id)).log

    for _ in range(2):
        assert await member.note(grant, "one", lane=0, serial=7) == "ok"
    assert await member.note(grant, "two", lane=1, serial=3) == "ok", "another lane counts for itself"
    assert await member.note(grant, "three", lane=0, serial=8) == "ok"
    assert await member.note(grant, "one", lane=0, serial=7) == "ok"
    assert await log() == ("one", "two", "three")
    await member.finish((grant, "RETRYING"))
    await member.promote()
    again = await member.claim_one()
    assert await member.note(again, "four", lane=0, serial=1) == "ok", "a new attempt begins anew"
    assert (await log())[-1] == "four"


async def test_a_line_is_logged_once_although_the_reply_to_it_was_lost_and_so_are_those_before_it(
    valkey, monkeypatch
):
    monkeypatch.setattr(worker, "NOTE_EVERY", 0.01)
    async with Relay(valkey.port) as relay:
        links = iter((through(relay, 2.0)(), valkey.client()))  # blocking reads take the direct way
        app = new_app(valkey, client=lambda: next(links), heartbeat_every=1.9)

        async def told(id: str, line: str) -> bool:
            return line in (await app.execution(id)).log

        @app.task("a", manual())
        async def body(ctx):
            for line in ("one", "two"):
                ctx.log(line)
                await eventually(functools.partial(told, ctx.execution, line))
            ctx.log("three")
            relay.lose(1)

        async with serving(app):
            done = await app.wait(await app.trigger("a"), "15s")
            assert relay.lost == 1 and (await app.execution(done.id)).log == ("one", "two", "three")
