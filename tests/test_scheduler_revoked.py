"""An attempt whose token is revoked is told so although the hint in the mailbox was lost."""

from __future__ import annotations

import asyncio

import pytest
from apps import eventually, new_app, serving

from labsched import manual


async def beat(member, *known):
    """The lines of a heartbeat that acknowledges those tokens."""
    reply = await member.cluster.call("heartbeat", member.name, member.inc, member.lease, 99, *known)
    assert reply[0] == "ok"
    return reply[2:]


async def running(cluster, n=1, **options):
    await cluster.define(**options)
    member = await cluster.join()
    # A coordinator has looked at the new task; else heartbeats tell `lead` once that is overdue, on a slow machine.
    assert (await member.dispatch())[2:] == ["ok"]
    await cluster.trigger(n=n)
    return member, await member.claim(n)


@pytest.mark.parametrize("how", ["force", "hard end"])
async def test_heartbeats_tell_of_a_revoked_token_until_that_is_acknowledged(cluster, how):
    member, (grant,) = await running(cluster, lock_at_most_for="30ms" if how == "hard end" else "1h")
    assert await beat(member) == []
    if how == "force":
        await cluster.registry.cancel(grant.id, True)
    else:
        await cluster.passes(30)
        await member.recover()
    told = f"revoked {grant.token}"
    assert told in await beat(member)
    assert told in await beat(member), "the reply before may have been lost"
    assert told not in await beat(member, grant.token)
    assert told not in await beat(member)
    assert not await cluster.redis.hexists(cluster.store.key("inst", member.inc), "revoked")


async def test_what_is_revoked_after_the_last_heartbeat_is_told_beside_what_that_one_told(cluster):
    member, (first, second) = await running(cluster, 2)
    await cluster.registry.cancel(first.id, True)
    assert await beat(member) == [f"revoked {first.token}"]
    await cluster.registry.cancel(second.id, True)
    assert await beat(member, first.token) == [f"revoked {second.token}"]
    assert await beat(member, first.token) == [f"revoked {second.token}"], (
        "a late copy of a heartbeat takes nothing away"
    )
    assert await beat(member, second.token) == []


async def test_nothing_is_kept_for_an_instance_whose_record_was_deleted_by_hand(cluster):
    member, (grant,) = await running(cluster)
    key = cluster.store.key
    await cluster.redis.zrem(key("leases"), member.inc)
    await cluster.redis.hdel(key("names"), member.name)
    await cluster.redis.delete(key("inst", member.inc), key("handlers", member.inc))
    await cluster.registry.cancel(grant.id, True)
    assert not await cluster.redis.exists(key("inst", member.inc), key("box", member.inc))


async def test_a_body_whose_revoked_hint_was_lost_stops_with_the_next_heartbeat_that_gets_through(valkey):
    app, begun, ended = new_app(valkey), asyncio.Event(), []

    @app.task("a", manual())
    async def work(ctx):
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append((ctx.lease_lost, ctx.token))

    async with serving(app, "i1") as (member,):
        id = await app.trigger("a")
        await begun.wait()
        await member._mail.stop()
        assert await app.cancel(id, force=True) == "cancelled"
        await eventually(lambda: ended)
        assert ended[0][0] is True
        key = app._client.key("inst", member.membership.incarnation)
        await eventually(lambda: acknowledged(app, key))


async def acknowledged(app, key):
    return not await app._client.redis.hexists(key, "revoked")
