"""How attempts end: judged by token alone, in batches, once; and what waits for its time comes back."""

from __future__ import annotations

import dataclasses
import json

import pytest


async def running(cluster, n: int = 1, **options):
    """A member that runs n executions of task a."""
    await cluster.define(**options)
    member = await cluster.join()
    await cluster.trigger(n=n)
    return member, await member.claim(n)


async def test_a_success_keeps_result_and_duration(cluster):
    member, (grant,) = await running(cluster)
    await cluster.passes(30)
    assert await member.finish(grant) == ["ok"]
    x = await cluster.registry.execution(grant.id)
    assert (x.state, x.result, x.attempt, x.instance, x.error) == ("SUCCEEDED", None, 1, "i1", None)
    assert [a.outcome for a in x.attempts] == ["SUCCEEDED"]
    (event,) = await cluster.events("SUCCEEDED")
    assert event["data"]["duration_ms"] >= 30 and event["token"] == grant.token


async def test_a_failure_keeps_its_error_and_the_attempt(cluster):
    member, (grant,) = await running(cluster)
    assert await member.finish((grant, "FAILED")) == ["ok"]
    x = await cluster.registry.execution(grant.id)
    assert (x.state, x.error.type, x.attempts[0].outcome) == ("FAILED", "ValueError", "FAILED")
    assert x.attempts[0].error == "ValueError: no"


async def test_a_finish_that_is_repeated_is_fine_and_changes_nothing(cluster):
    member, grants = await running(cluster, 3)
    ends = [grants[0], (grants[1], "FAILED"), (grants[2], "RETRYING")]
    assert await member.finish(*ends) == ["ok"] * 3
    before = await cluster.dump()
    assert await member.finish(*ends) == ["ok"] * 3
    await cluster.unchanged(before)


async def test_the_first_finish_of_a_token_wins(cluster):
    member, (grant,) = await running(cluster)
    await member.finish((grant, "FAILED"))
    before = await cluster.dump()
    assert await member.finish(grant) == ["ok"]
    await cluster.unchanged(before)


async def test_a_batch_may_name_an_attempt_twice(cluster):
    member, grants = await running(cluster, 2)
    assert await member.finish(grants[0], grants[0], (grants[0], "FAILED"), grants[1]) == ["ok"] * 4
    assert len(await cluster.events("SUCCEEDED")) == 2


async def test_a_stale_finish_is_refused_told_and_changes_nothing_else(cluster):
    member, (grant,) = await running(cluster)
    await member.finish((grant, "RETRYING"))
    await cluster.passes(5)
    await member.promote()
    again = await member.claim_one()
    before = await cluster.dump()
    for to in ("SUCCEEDED", "FAILED", "RETRYING", "CANCELLED", "READY"):
        assert await member.finish((grant, to)) == ["stale"]
    after = await cluster.dump()
    told = await cluster.events("REFUSED")
    assert [(e["execution"], e["token"], e["instance"], e["data"]) for e in told] == [
        (grant.id, grant.token, "i1", {"what": "finish", "why": "token"})
    ] * 5
    for key in ("events", "counts", "token"):
        before.keys.pop(key, None), after.keys.pop(key, None)
    assert before.keys == after.keys
    assert await member.finish(again) == ["ok"]


async def test_a_stale_one_in_a_batch_does_not_stop_the_others(cluster):
    member, grants = await running(cluster, 2)
    stale = dataclasses.replace(grants[0], token=str(int(grants[0].token) - 1))
    unknown = dataclasses.replace(grants[0], id="a~never")
    assert await member.finish(stale, grants[0], unknown, grants[1]) == ["stale", "ok", "stale", "ok"]
    assert len(await cluster.events("REFUSED")) == 2


async def test_a_finish_after_the_lease_commits_as_long_as_nobody_recovered(cluster):
    await cluster.define()
    member = await cluster.join(lease=20)
    await cluster.trigger()
    grant = await member.claim_one()
    await cluster.passes(20)
    assert await member.finish(grant) == ["ok"]


async def test_whose_finish_it_is_does_not_matter_only_the_token_does(cluster):
    _, (grant,) = await running(cluster)
    other = await cluster.join("i2")
    assert await other.finish(grant) == ["ok"]


async def test_a_retry_waits_for_its_time_and_then_counts_the_failure(cluster):
    member, (grant,) = await running(cluster)
    assert await member.finish((grant, "RETRYING"), delay=300) == ["ok"]
    assert await cluster.state(grant.id) == "RETRYING"
    assert (await member.promote())[:2] == ["ok", "0"] and await member.claim() == []
    reply = await member.promote()
    await cluster.passes(int(float(reply[2])) - await cluster.now())
    assert (await member.promote())[:3] == ["ok", "1", ""]
    again = await member.claim_one()
    assert (again.id, again.attempt, again.fails) == (grant.id, 2, 1)
    assert int(again.token) > int(grant.token)
    x = await cluster.registry.execution(grant.id)
    assert [(a.number, a.outcome) for a in x.attempts] == [(1, "FAILED"), (2, None)]


async def test_a_success_after_a_failure_shows_no_error_any_more(cluster):
    member, (grant,) = await running(cluster)
    await member.finish((grant, "RETRYING"))
    await cluster.passes(1)
    await member.promote()
    await member.finish(await member.claim_one())
    x = await cluster.registry.execution(grant.id)
    assert x.error is None and [a.outcome for a in x.attempts] == ["FAILED", "SUCCEEDED"]


async def test_only_a_new_first_timer_wakes_the_leader(cluster):
    member, grants = await running(cluster, 3)
    await member.lead()
    await cluster.box(member.box)
    await member.finish((grants[0], "RETRYING"), delay=5000)
    assert await cluster.box(member.box) == ["lead"]
    await member.finish((grants[1], "RETRYING"), delay=9000)
    assert await cluster.box(member.box) == []
    await member.finish((grants[2], "RETRYING"), delay=1000)
    assert await cluster.box(member.box) == ["lead"]


async def test_promotion_takes_as_many_as_it_is_told_and_names_the_next_time(cluster):
    await cluster.define()
    member = await cluster.join()
    now = await cluster.now()
    ids = [await cluster.trigger_one(at=now + 150 + i) for i in range(3)]
    later = await cluster.trigger_one(at=now + 60_000)
    await cluster.passes(160)
    assert (await member.promote(2))[:2] == ["ok", "2"]
    assert (await member.promote(2))[:3] == ["ok", "1", str(now + 60_000)]
    assert [g.id for g in await member.claim()] == ids
    assert await cluster.state(later) == "BUFFERED"


async def test_promotion_is_fenced_by_the_epoch(cluster):
    await cluster.define()
    old, new = await cluster.join("i1"), await cluster.join("i2")
    await old.lead(lease=20)
    # Far enough that a script's first loading on a busy machine does not come after it.
    await cluster.trigger(at=await cluster.now() + 300)
    await cluster.passes(300)
    assert await old.promote() == ["refused", "dispatch", "expired"]
    await new.lead()
    assert await old.promote() == ["refused", "dispatch", "epoch"]
    assert (await new.promote())[1] == "1"


async def test_unstarted_work_that_is_handed_back_is_no_attempt(cluster):
    member, (grant,) = await running(cluster)
    await cluster.trigger()
    assert await member.finish((grant, "READY")) == ["ok"]
    again = await member.claim_one()
    assert (again.id, again.attempt) == (grant.id, 1), "and it is first in line again"
    assert await member.finish(grant) == ["stale"]
    assert (await cluster.registry.execution(grant.id)).attempts[0].token == int(again.token)


async def test_work_that_had_started_and_is_handed_back_counts_as_an_attempt(cluster):
    member, (grant,) = await running(cluster)
    await cluster.call("finish", "i1", grant.id, grant.token, "READY", "CANCELLED", "", "", '""', 0)
    again = await member.claim_one()
    assert (again.attempt, again.fails) == (2, 0)
    x = await cluster.registry.execution(grant.id)
    assert [(a.number, a.outcome) for a in x.attempts] == [(1, "CANCELLED"), (2, None)]


async def test_an_illegal_end_is_refused_as_a_whole(cluster):
    member, grants = await running(cluster, 2)
    before = await cluster.dump()
    with pytest.raises(Exception, match="SKIPPED"):
        await member.finish(grants[0], (grants[1], "SKIPPED"))
    await cluster.unchanged(before)


async def test_the_end_is_told_to_every_waiting_box_once(cluster):
    member, (grant,) = await running(cluster)
    for box in ("c1", "c2", "c1"):
        assert await cluster.call("watch", grant.id, box) == "RUNNING"
    await member.finish(grant)
    assert await cluster.box("c1") == await cluster.box("c2") == [f"done:{grant.id} SUCCEEDED"]
    assert await cluster.call("watch", grant.id, "c3") == "SUCCEEDED"
    assert await cluster.call("watch", "a~never", "c3") == ""


async def test_notes_are_kept_for_the_current_token_only(cluster):
    member, (grant,) = await running(cluster)
    assert await member.note(grant, "one", "two", progress="[1,2]") == "ok"
    assert await member.note(grant, "three", kept=2) == "ok"
    x = await cluster.registry.execution(grant.id)
    assert x.log == ("two", "three") and x.progress == (1, 2)
    await member.finish((grant, "READY"))
    assert await member.note(grant, "late") == ["refused", "note", "token"]
    x = await cluster.registry.execution(grant.id)
    assert x.log == ("two", "three") and x.progress is None


async def test_of_an_effect_the_first_write_wins_and_a_stale_token_is_refused(cluster):
    member, (grant,) = await running(cluster)
    assert await member.fence(grant, "k", '"first"', nonce="n") == "written"
    assert await member.fence(grant, "k", '"first"', nonce="n") == "written", "the same call, sent again"
    assert await member.fence(grant, "k", '"other"') == "exists"
    await member.finish((grant, "RETRYING"))
    assert await member.fence(grant, "l") == ["refused", "fence", "token"], "it has ended"
    await cluster.passes(1)
    await member.promote()
    again = await member.claim_one()
    assert await member.fence(again, "k", '"second"') == "exists"
    assert await member.fence(grant, "l") == ["refused", "fence", "token"]
    assert await member.fence(again, "l") == "written"
    assert (await cluster.dump()).of("fence")[(grant.id,)]["=k"] == '"first"'
    written = await cluster.events("FENCE_WRITTEN")
    assert [(e["token"], e["data"]["key"]) for e in written] == [(grant.token, "k"), (again.token, "l")]


async def test_histograms_count_every_attempt(cluster):
    member, grants = await running(cluster, 3)
    await member.finish(grants[0], (grants[1], "FAILED"), (grants[2], "RETRYING"))
    stats = (await cluster.dump()).of("stats")[("a",)]
    assert stats["n"] == "3" and sum(int(v) for f, v in stats.items() if f.startswith("d:")) == 3
    assert json.dumps(stats)
