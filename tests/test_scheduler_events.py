"""Following the history: complete, in order, resumable, and honest about gaps."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from apps import eventually, new_app, serving, through
from servers import Relay

from labsched import manual
from labsched.errors import EventsGap
from labsched.model import Kind


async def body(ctx):
    return None


async def take(events, n: int) -> list:
    found = []
    async with asyncio.timeout(15):
        async for event in events:
            found.append(event)
            if len(found) == n:
                break
    await events.aclose()
    return found


async def test_a_follower_sees_what_was_and_then_what_happens(app):
    app.task("a", manual())(body)
    async with app:
        await app.trigger("a", _key="1")
        follower = asyncio.create_task(take(app.events(), 4))
        async with serving(app):
            await app.wait("a~1", "10s")
            kinds = [e.kind for e in await follower]
            history = await app.history()
    assert kinds == [e.kind for e in history[:4]] == [
        "TASK_DEFINED",
        "READY",
        "INSTANCE_JOINED",
        "LEADER_ELECTED",
    ] or (set(kinds) <= {"TASK_DEFINED", "READY", "INSTANCE_JOINED", "LEADER_ELECTED", "RUNNING"})
    mine = [e for e in history if e.execution == "a~1"]
    assert [e.kind for e in mine] == ["READY", "RUNNING", "SUCCEEDED"]
    assert mine[1].token == mine[2].token and mine[1].attempt == 1 and mine[0].token is None
    assert mine[0].data["source"] == "trigger" and mine[2].data["duration_ms"] >= 0
    assert all(isinstance(e.kind, Kind) and e.at > 1.6e9 for e in history)


async def test_following_from_now_leaves_out_what_was(app):
    app.task("a", manual())(body)
    async with app:
        follower = asyncio.create_task(take(app.events(since="$"), 1))
        await asyncio.sleep(0.1)
        await app.pause("a")
        assert [e.kind for e in await follower] == ["TASK_PAUSED"]


async def test_a_follower_goes_on_where_it_stopped(app):
    app.task("a", manual())(body)
    async with app:
        first = await take(app.events(), 1)
        ids = await app.trigger_many("a", [{}] * 5)
        rest = await take(app.events(since=first[-1].id), 3)
        rest += await take(app.events(since=rest[-1].id), 2)
        assert [e.execution for e in rest] == ids
        assert [e.id for e in await app.history()] == [e.id for e in first + rest]
        assert [e.id for e in await app.history(since=rest[0].id, until=rest[2].id)] == [
            e.id for e in rest[1:3]
        ]


async def test_more_events_than_a_page_arrive_in_order_and_once(app):
    app.task("a", manual())(body)
    async with app:
        await app.trigger_many("a", [{}] * 2500)
        events = await take(app.events(), 2501)
        assert [e.id for e in events] == [e.id for e in await app.history()] and len(
            {e.id for e in events}
        ) == 2501


async def test_a_position_that_was_trimmed_is_a_gap(app):
    app.task("a", manual())(body)
    async with app:
        await app.trigger_many("a", [{}] * 3)
        ids = [e.id for e in await app.history()]
        await trim(app, ids[2])
        for since in (ids[0], ids[0].split("-")[0]):
            with pytest.raises(EventsGap, match=f"were trimmed, up to {ids[1]}"):
                await take(app.events(since=since), 1)
        assert [e.id for e in await take(app.events(since=ids[1]), 2)] == ids[2:]
        assert (await take(app.events(), 1))[0].id == ids[2], "from the beginning is never a gap"


async def trim(app, first_kept: str) -> None:
    """As retention does it."""
    client, key = app._client.redis, app._client.key
    entries = await client.xrange(key("events"), "-", f"({first_kept}")
    await client.hset(key("meta"), "trimmed", entries[-1][0])
    await client.xtrim(key("events"), minid=first_kept, approximate=False)


async def test_a_follower_that_is_overtaken_by_retention_is_told(app):
    app.task("a", manual())(body)
    async with app:
        follower = app.events()
        assert (await anext(follower)).kind == "TASK_DEFINED"
        await app.trigger_many("a", [{}] * 3)
        await trim(app, (await app.history())[-1].id)
        with pytest.raises(EventsGap, match="were trimmed before they were read"):
            async with asyncio.timeout(10):
                await anext(follower)


async def test_a_position_beyond_the_end_is_a_gap(app):
    app.task("a", manual())(body)
    async with app:
        with pytest.raises(EventsGap, match="lies beyond the last event"):
            await take(app.events(since="99999999999999-0"), 1)


async def test_a_follower_survives_a_lost_connection_without_a_gap(valkey):
    async with Relay(valkey.port) as relay:
        app = new_app(valkey)
        app.task("a", manual())(body)
        watcher = new_app(valkey, client=through(relay))
        async with app, watcher:
            seen = []

            async def follow():
                async for event in watcher.events():
                    seen.append(event)

            task = asyncio.create_task(follow())
            for _ in range(5):
                await app.trigger_many("a", [{}] * 20)
                relay.lose(2)
                await asyncio.sleep(0.05)
            await eventually(lambda: len(seen) >= 101)
            task.cancel()
            assert [e.id for e in seen] == [e.id for e in await app.history()] and relay.lost


async def test_a_history_that_was_reset_is_a_gap_for_who_had_seen_more(valkey):
    async with Relay(valkey.port) as relay:
        app = new_app(valkey)
        app.task("a", manual())(body)
        watcher = new_app(valkey, client=through(relay))
        async with app, watcher:
            follower = watcher.events()
            await anext(follower)
            following = asyncio.create_task(anext(follower))
            await asyncio.sleep(0.05)
            relay.stall()
            await valkey.client().flushall()
            relay.lose(10)
            relay.resume()
            await eventually(lambda: relay.lost)
            relay.lose(0)
            with pytest.raises(EventsGap, match="the history was reset"):
                await asyncio.wait_for(following, 15)


async def reset(app) -> None:
    """The server loses everything, and a new history grows beyond the old one's end."""
    await app._client.redis.flushall()
    await app.define()
    await app.trigger_many("a", [{}] * 3)


async def test_a_new_history_that_lies_beyond_the_place_reached_is_a_gap_without_any_disconnect(app):
    app.task("a", manual())(body)
    async with app:
        follower = app.events()
        assert (await anext(follower)).kind == "TASK_DEFINED"
        following = asyncio.create_task(anext(follower))
        await asyncio.sleep(0.05)  # it waits for what comes next; either way it has to be told
        await reset(app)
        with pytest.raises(EventsGap, match="there no longer and was not trimmed: the history was reset"):
            await asyncio.wait_for(following, 10)


async def test_a_place_in_a_history_that_was_reset_is_a_gap_though_the_new_one_lies_beyond_it(app):
    app.task("a", manual())(body)
    async with app:
        seen = (await app.history())[-1].id
        await reset(app)
        assert len(await app.history()) == 4, "from the beginning is never a gap"
        with pytest.raises(EventsGap, match="the history was reset"):
            await take(app.events(since=seen), 1)
        with pytest.raises(EventsGap, match="the history was reset"):
            await app.history(since=seen)


async def test_events_that_the_server_lost_are_a_gap_for_who_had_seen_them(app):
    app.task("a", manual())(body)
    async with app:
        follower = app.events()
        await anext(follower)
        await app.trigger("a")
        lost = await anext(follower)
        await app._client.redis.xdel(app._client.key("events"), lost.id)
        await app.trigger("a")
        with pytest.raises(EventsGap, match=f"event {lost.id} is there no longer"):
            async with asyncio.timeout(10):
                await anext(follower)
        await app._client.redis.flushall()  # what is left here keeps no invariant


async def test_a_time_need_not_be_an_events(app):
    app.task("a", manual())(body)
    async with app:
        before = int((await app.history())[0].at * 1000) - 1
        assert len(await app.history(since=str(before))) == 1
        assert (await take(app.events(since=str(before)), 1))[0].kind == "TASK_DEFINED"


async def test_reading_on_asks_no_more_than_one_question_a_page_and_none_while_nothing_happens(app):
    app.task("a", manual())(body)
    async with app:
        follower = app.events()
        await anext(follower)
        asked = []
        ask = app._events._ask
        app._events._ask = lambda *command: asked.append(command[0]) or ask(*command)
        following = asyncio.create_task(anext(follower))
        await asyncio.sleep(0.1)
        assert asked == []
        await app.trigger_many("a", [{}] * 3)
        await following
        assert asked == ["XRANGE"]


async def test_retention_forgets_in_the_background(valkey):
    app = new_app(valkey, keep_executions=timedelta(milliseconds=50), max_events=40)
    app.task("a", manual())(body)
    async with app:
        await app.trigger_many("a", [{}] * 100)
        async with serving(app) as (member,):
            await eventually(lambda: succeeded(app, 100))
            await asyncio.sleep(0.3)
            member.coordinator._trim_at = 0.0
            member.coordinator.hint()
            await eventually(lambda: nothing_left(app))
            assert any(e.kind is Kind.FORGOTTEN for e in await app.history())


async def succeeded(app, n):
    return (await app.registry.counts()).get("SUCCEEDED") == n  # told even when they are forgotten by now


async def nothing_left(app):
    return not await app.executions() and len(await app.history()) <= 140
