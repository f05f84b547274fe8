"""What retention forgets, and what it must keep: everything that has not ended, and the events of it."""

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
    assert await member.trim(age=250) == ["ok", "1", "0", ""]
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
    assert await member.trim(age=0) == ["ok", "0", "0", ""]
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
    await ended(cluster, member, 20)
    await cluster.passes(250)
    await ended(cluster, member, 2)
    reader = Events(cluster.store)
    before = await reader.read()
    reply = await member.trim(age=60_000, max_events=10)
    assert int(reply[2]) == len(before) - 10
    kept = await reader.read()
    assert [e.id for e in kept] == [e.id for e in before[-10:]]
    gone = before[-11].id
    with pytest.raises(EventsGap, match=f"the last one gone is {gone}"):
        await reader.read(since=before[-12].id)
    assert [e.id for e in await reader.read(since=gone)] == [e.id for e in kept]


async def test_events_of_what_has_not_ended_stay_beyond_any_limit(cluster):
    await cluster.define()
    member = await cluster.join()
    await ended(cluster, member, 5)
    await cluster.passes(250)
    old = await cluster.trigger_one()
    await cluster.passes(2)
    await ended(cluster, member, 0)
    grant = await member.claim_one()
    await cluster.passes(250)
    for _ in range(5):
        await ended(cluster, member)
    assert grant.id == old
    await member.trim(age=60_000, max_events=1)
    kinds = [e["kind"] for e in await cluster.events() if e["execution"] == old]
    assert kinds == ["READY", "RUNNING"]
    await member.finish(grant)


async def test_events_of_a_delayed_trigger_stay_although_it_was_promoted_late(cluster):
    """Indexes are ordered by when a state was entered; what counts is the creation."""
    await cluster.define()
    member = await cluster.join()
    old = await cluster.trigger_one(at=await cluster.now() + 250)
    await cluster.passes(250)
    for _ in range(2):
        await cluster.trigger(n=600)
    await member.promote()
    await member.trim(age=60_000, max_events=1)
    assert [e["kind"] for e in await cluster.events() if e["execution"] == old] == ["BUFFERED", "READY"]


async def test_a_requeued_execution_counts_as_alive_again(cluster):
    await cluster.define()
    member = await cluster.join()
    old = await cluster.trigger_one()
    await member.finish((await member.claim_one(), "FAILED"))
    await cluster.passes(250)
    await ended(cluster, member, 3)
    for max_events in (12, 5):
        await member.trim(age=60_000, max_events=max_events)
        await cluster.registry.requeue(old)
        kept = [e["kind"] for e in await cluster.events() if e["execution"] == old][:3]
        assert kept == ["READY", "RUNNING", "FAILED"]
        await member.finish((await member.claim_one(), "FAILED"))
        assert (await member.trim(age=60_000, max_events=max_events))[0] == "ok"


async def test_the_search_for_the_oldest_alive_goes_on_in_the_next_call(cluster):
    if cluster.server.kind == "fake":
        pytest.skip("needs thousands of executions")
    await cluster.define()
    member = await cluster.join()
    for _ in range(5):
        await ended(cluster, member, 500)
        await cluster.passes(2)
    await cluster.passes(250)
    first = await member.trim(age=60_000, max_events=1)
    second = await member.trim(age=60_000, max_events=1)
    assert (first[3], second[3]) == ("1", "") and int(first[2]) + int(second[2]) > 7000


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
