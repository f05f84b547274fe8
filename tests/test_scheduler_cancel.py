"""Cancel in every state, with and without force, and another life for what failed."""

from __future__ import annotations

import pytest

from labsched import every
from labsched.errors import ConfigError, UnknownExecution


async def cancel(cluster, id: str, force: bool = False) -> str:
    return await cluster.registry.cancel(id, force)


async def in_state(cluster, state: str):
    """A member and an execution of task a in that state, with its last grant."""
    await cluster.define()
    member = await cluster.join()
    at = await cluster.now() + 60_000 if state == "BUFFERED" else ""
    id = await cluster.trigger_one(at=at)
    if state in ("BUFFERED", "READY"):
        return member, id, None
    grant = await member.claim_one()
    if state != "RUNNING":
        await member.finish((grant, state), delay=60_000)
    return member, id, grant


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("state", ["BUFFERED", "READY", "RETRYING"])
async def test_what_waits_is_cancelled_at_once(cluster, state, force):
    member, id, _ = await in_state(cluster, state)
    await cluster.call("watch", id, "c1")
    assert await cancel(cluster, id, force) == "cancelled"
    assert await cluster.state(id) == "CANCELLED" and await cluster.box("c1") == [f"done:{id} CANCELLED"]
    (event,) = await cluster.events("CANCELLED")
    assert event["data"] == {"was": state, "force": force}
    assert event["attempt"] == event["token"] == event["instance"] == "", "it was not running"
    assert await cancel(cluster, id) == "already"
    await cluster.passes(1)
    assert await member.claim() == []
    assert (await member.promote())[:3] == ["ok", "0", ""]


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "CANCELLED"])
async def test_what_has_ended_stays_as_it_is(cluster, state):
    _, id, _ = await in_state(cluster, state)
    before = await cluster.dump()
    assert await cancel(cluster, id) == await cancel(cluster, id, True) == "already"
    await cluster.unchanged(before)


async def test_what_never_was_is_unknown(cluster):
    with pytest.raises(UnknownExecution, match="no execution 'a~never'"):
        await cancel(cluster, "a~never")
    with pytest.raises(UnknownExecution):
        await cluster.registry.requeue("a~never")


async def test_what_runs_is_asked_and_says_itself_that_it_stopped(cluster):
    member, id, grant = await in_state(cluster, "RUNNING")
    assert await cancel(cluster, id) == "requested"
    assert await cluster.box(member.box) == [f"cancel {grant.token} {id}"]
    assert await cluster.state(id) == "RUNNING" and (await cluster.registry.execution(id)).cancel_requested
    assert await member.finish((grant, "CANCELLED")) == ["ok"]
    assert await cluster.state(id) == "CANCELLED"
    x = await cluster.registry.execution(id)
    assert x.attempts[0].outcome == "CANCELLED" and x.error is None


async def test_asking_again_only_sends_the_hint_again(cluster):
    member, id, grant = await in_state(cluster, "RUNNING")
    assert await cancel(cluster, id) == await cancel(cluster, id) == "requested"
    assert await cluster.box(member.box) == [f"cancel {grant.token} {id}"] * 2
    assert len(await cluster.events("CANCEL_REQUESTED")) == 1


@pytest.mark.parametrize(
    ("to", "becomes"),
    [("SUCCEEDED", "SUCCEEDED"), ("FAILED", "FAILED"), ("RETRYING", "CANCELLED"), ("READY", "CANCELLED")],
)
async def test_of_a_request_and_an_end_the_end_wins_but_nothing_begins_anew(cluster, to, becomes):
    member, id, grant = await in_state(cluster, "RUNNING")
    await cancel(cluster, id)
    assert await member.finish((grant, to)) == ["ok"]
    assert await cluster.state(id) == becomes


async def test_force_revokes_the_token_now(cluster):
    member, id, grant = await in_state(cluster, "RUNNING")
    assert await cancel(cluster, id, True) == "cancelled"
    assert await cluster.box(member.box) == [f"revoked {grant.token} {id}"]
    assert await member.finish(grant) == ["stale"]
    assert await member.note(grant, "late") == ["refused", "note", "token"]
    assert await cluster.state(id) == "CANCELLED"
    (event,) = await cluster.events("CANCELLED")
    assert (event["token"], event["attempt"], event["data"]["force"]) == (grant.token, "1", True)


async def test_force_after_a_request_cancels_as_well(cluster):
    member, id, _ = await in_state(cluster, "RUNNING")
    await cancel(cluster, id)
    assert await cancel(cluster, id, True) == "cancelled"
    assert await member.claim() == []


async def test_cancelling_the_one_that_waits_for_its_turn_leaves_the_running_one_alone(cluster):
    await cluster.define("a", every("1s"), overlap="BUFFER_ONE")
    member = await cluster.join()
    now = await cluster.now()
    await member.dispatch("a", now - 30, now - 20)
    grant = await member.claim_one()
    assert await cancel(cluster, f"a@{now - 20}") == "cancelled"
    await member.dispatch("a", now - 10)
    assert await cluster.state(f"a@{now - 10}") == "BUFFERED"
    await member.finish(grant)
    assert (await member.claim_one()).id == f"a@{now - 10}"


async def test_cancelling_the_running_slot_lets_the_next_one_start(cluster):
    await cluster.define("a", every("1s"), overlap="BUFFER_ONE")
    member = await cluster.join()
    now = await cluster.now()
    await member.dispatch("a", now - 30, now - 20)
    grant = await member.claim_one()
    assert await cancel(cluster, grant.id, True) == "cancelled"
    assert (await member.claim_one()).id == f"a@{now - 20}", "and its lock is free again"


@pytest.mark.parametrize("state", ["FAILED", "DEAD"])
async def test_a_requeue_gives_another_life(cluster, state):
    await cluster.define(max_losses=1)
    member = await cluster.join()
    id = await cluster.trigger_one()
    grant = await member.claim_one()
    if state == "DEAD":
        await member.expires()
        member = await cluster.join()
    else:
        await member.finish((grant, "FAILED"))
    assert await cluster.state(id) == state
    await cluster.registry.requeue(id)
    x = await cluster.registry.execution(id)
    assert (x.state, x.losses, x.token, x.finished, x.reason) == ("READY", 0, None, None, None)
    assert await member.finish(grant) == ["stale"]
    again = await member.claim_one()
    assert (again.id, again.attempt, again.fails) == (id, 2, 0)
    await member.finish(again)
    x = await cluster.registry.execution(id)
    assert x.state == "SUCCEEDED" and [a.number for a in x.attempts] == [1, 2]


@pytest.mark.parametrize("state", ["READY", "RUNNING", "SUCCEEDED", "CANCELLED", "BUFFERED", "RETRYING"])
async def test_only_what_failed_or_died_can_be_requeued(cluster, state):
    _, id, _ = await in_state(cluster, state)
    before = await cluster.dump()
    with pytest.raises(ConfigError, match=f"is {state}, only FAILED and DEAD"):
        await cluster.registry.requeue(id)
    await cluster.unchanged(before)


async def test_a_requeued_slot_takes_no_turn_and_no_lock(cluster):
    await cluster.define("a", every("1s"))
    member = await cluster.join()
    now = await cluster.now()
    await member.dispatch("a", now - 30)
    await member.finish((await member.claim_one(), "FAILED"))
    await member.dispatch("a", now - 20)
    await member.claim_one()
    await cluster.registry.requeue(f"a@{now - 30}")
    assert (await member.claim_one()).id == f"a@{now - 30}"
