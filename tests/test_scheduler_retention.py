"""What retention forgets, and what it keeps: all that has not ended, the events since the oldest running attempt."""

from __future__ import annotations

import pytest

from labsched import every
from labsched.errors import EventsGap
from labsched.events import Events


async def ended(cluster, member, n: int = 1) -> list[str]:
    ids = await cluster.trigger(n=n)
    await member.finish(*await member.claim(n))
    return ids


async def test_what_ended_long_enough_ago_is_forgotten_with_all_that_belongs_to_it(cluster):
    await cluster.define()
    member = await cluster.join()
    await cluster.trigger()
    grant = await member.claim_one()
    await member.note(grant, "line")
    await member.fence(grant, "k")
    await member.finish(grant)
    await cluster.passes(300)
    young = await ended(cluster, member)
    assert await member.trim(age=250) == ["ok", "1", "0"]
    dump = await cluster.dump()
    assert list(dump.executions) == young and not dump.of("log") and not dump.of("fence")
    (event,) = await cluster.events("FORGOTTEN")
    assert event["data"]["count"] == 1 and event["data"]["before"] <= dump.now - 250


async def test_nothing_that_has_not_ended_is_forgotten_however_old(cluster):
    await cluster.define("a", every("1s"), overlap="BUFFER_ONE")
    member = await cluster.join()
    now = await cluster.now()
    await member.dispatch("a", now - 20, now - 10)
    waiting = await cluster.trigger_one(at=now + 60_000)
    grant, other = *await member.claim(), await cluster.trigger_one()
    retry = await member.claim_one()
    await member.finish((retry, "RETRYING"), delay=60_000)
    ready = await cluster.trigger_one()
    await cluster.passes(30)
    assert await member.trim(age=0) == ["ok", "0", "0"]
    assert set((await cluster.dump()).executions) == {grant.id, f"a@{now - 10}", waiting, other, ready}


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "CANCELLED"])
async def test_every_terminal_state_is_forgotten(cluster, end):
    await cluster.define()
    member = await cluster.join()
    await cluster.trigger()
    await member.finish((await member.claim_one(), end))
    await cluster.passes(2)
    assert (await member.trim())[1] == "1"


async def test_forgetting_is_done_in_bounded_steps(cluster):
    await cluster.define()
    member = await cluster.join()
    await ended(cluster, member, 25)
    await cluster.passes(2)
    assert [(await member.trim(limit=10))[1] for _ in range(4)] == ["10", "10", "5", "0"]


async def test_a_forgotten_key_may_be_used_again(cluster):
    await cluster.define()
    member = await cluster.join()
    await cluster.registry.enqueue("a", [("a~k", "{}", "")])
    await member.finish(await member.claim_one())
    await cluster.passes(2)
    await member.trim()
    assert await cluster.registry.enqueue("a", [("a~k", "{}", "")]) == 1


async def test_events_beyond_the_limit_go_the_oldest_first_and_a_reader_is_told(cluster):
    await cluster.define()
    member = await cluster.join()
    await ended(cluster, member, 200)
    await cluster.passes(300)
    await ended(cluster, member, 2)
    reader = Events(cluster.store)
    before = await reader.read()
    reply = await member.trim(age=60_000, max_events=10)
    kept = await reader.read()
    # Whole nodes of the stream go, of at most a hundred events.
    assert 10 <= len(kept) <= 110 and int(reply[2]) == len(before) - len(kept)
    assert [e.id for e in kept] == [e.id for e in before[-len(kept) :]]
    for since in (before[-len(kept) - 2].id, before[0].id):
        with pytest.raises(EventsGap, match="were trimmed, up to"):
            await reader.read(since=since)
    assert [e.id for e in await reader.read(since=kept[0].id)] == [e.id for e in kept[1:]]
    assert len(await reader.read()) == len(kept), "from the beginning is never a gap"


async def test_events_since_a_running_attempt_began_stay_beyond_any_limit(cluster):
    await cluster.define()
    member = await cluster.join()
    await ended(cluster, member, 100)
    await cluster.passes(300)
    running = await cluster.trigger_one()
    grant = await member.claim_one()
    await cluster.passes(300)
    for _ in range(5):
        await ended(cluster, member, 40)
    assert grant.id == running
    assert int((await member.trim(age=60_000, max_events=1))[2]) > 100
    assert "RUNNING" in [e["kind"] for e in await cluster.events() if e["execution"] == running]
    assert len(await cluster.events()) > 600
    await member.finish(grant)
    await cluster.passes(300)
    assert int((await member.trim(age=60_000, max_events=1))[2]) > 500


async def test_what_waits_keeps_its_record_but_does_not_keep_all_younger_events(cluster):
    """For its time, for a retry, or for a handler: any of them may take months."""
    await cluster.define()
    await cluster.define("orphan")
    member = await cluster.join(handlers={"a": 1})
    retry = await cluster.trigger_one()
    await member.finish((await member.claim_one(), "RETRYING"), delay=60_000_000)
    later = await cluster.trigger_one(at=await cluster.now() + 60_000_000)
    (orphan,) = await cluster.trigger("orphan")
    await cluster.passes(300)
    for _ in range(5):
        await ended(cluster, member, 100)
    await cluster.passes(300)
    await member.trim(age=200, max_events=10)
    assert len(await cluster.events()) <= 110
    kept = (await cluster.dump()).executions
    assert {id: x["state"] for id, x in kept.items()} == {
        retry: "RETRYING",
        later: "BUFFERED",
        orphan: "READY",
    }


async def test_retention_is_fenced_by_the_epoch(cluster):
    old, new = await cluster.join("i1"), await cluster.join("i2")
    await old.lead(lease=20)
    await cluster.passes(20)
    await new.lead()
    assert await old.trim() == ["refused", "recover", "epoch"]


async def test_a_position_beyond_the_last_event_means_that_the_history_was_reset(cluster):
    await cluster.define()
    with pytest.raises(EventsGap, match="lies beyond the last event"):
        await Events(cluster.store).read(since="9999999999999-0")
