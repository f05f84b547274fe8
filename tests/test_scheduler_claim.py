"""What a claim hands out, and to whom: slots, handlers, versions, order, limits, and the same again when repeated."""

from __future__ import annotations

import pytest
from cluster import HEAD
from invariants import violations

from labsched import every


async def test_a_claim_gives_work_a_token_an_attempt_and_a_hard_end(cluster):
    await cluster.define(lock_at_most_for="1m")
    member = await cluster.join()
    id = await cluster.trigger_one()
    grant = await member.claim_one()
    h = await cluster.x(id)
    assert (grant.id, grant.task, grant.attempt, grant.fails) == (id, "a", 1, 0)
    assert grant.until - await cluster.now() <= 60_000
    assert (h["state"], h["token"], h["inst"], h["inc"]) == ("RUNNING", grant.token, "i1", member.inc)
    assert int(grant.token) > int(member.inc)


async def test_a_claim_gives_no_more_than_asked_for_and_the_oldest_first(cluster):
    await cluster.define()
    member = await cluster.join()
    ids = await cluster.trigger(n=5)
    assert [g.id for g in await member.claim(2)] == ids[:2]
    assert [g.id for g in await member.claim(2)] == ids[2:4]
    assert [g.id for g in await member.claim(9)] == ids[4:]
    assert await member.claim(9) == []


async def test_no_instance_gets_more_than_its_pool_holds(cluster):
    await cluster.define()
    member = await cluster.join(pool=3)
    await cluster.trigger(n=9)
    first = await member.claim(2)
    assert len(await member.claim(2)) == 1 and await member.claim(9) == []
    await member.finish(*first)
    assert len(await member.claim(9)) == 2


async def test_two_instances_never_get_the_same_execution(cluster):
    await cluster.define()
    one, two = await cluster.join("i1"), await cluster.join("i2")
    ids = await cluster.trigger(n=6)
    got = [await one.claim(2), await two.claim(2), await one.claim(9), await two.claim(9)]
    assert sorted(g.id for grants in got for g in grants) == sorted(ids)
    tokens = [int(g.token) for grants in got for g in grants]
    assert len(set(tokens)) == 6 and tokens == sorted(tokens)


async def test_high_priority_comes_first_and_low_last(cluster):
    await cluster.define("a")
    await cluster.define("b", priority="high")
    member = await cluster.join()
    low, normal = await cluster.trigger_one(priority="low"), await cluster.trigger_one()
    high, own = await cluster.trigger_one(priority="high"), await cluster.trigger_one("b")
    order = [(await member.claim_one()).id for _ in range(4)]
    assert set(order[:2]) == {high, own} and order[2:] == [normal, low]


async def test_tasks_of_one_priority_take_turns_whatever_their_backlogs(cluster):
    await cluster.define("a")
    await cluster.define("b")
    member = await cluster.join()
    await cluster.trigger("a", 20)
    await cluster.passes(1)
    await cluster.trigger("b", 3)
    order = []
    for _ in range(6):
        await cluster.passes(1)
        order.append((await member.claim_one()).task)
    assert order == ["a", "b", "a", "b", "a", "b"]


async def test_work_without_a_handler_here_is_left_for_another(cluster):
    await cluster.define("a")
    await cluster.define("b")
    one, two = await cluster.join("i1", handlers={"a": 1}), await cluster.join("i2", handlers={"b": 1})
    foreign, own = await cluster.trigger_one("b"), await cluster.trigger_one("a")
    assert [g.id for g in await one.claim()] == [own]
    assert [g.id for g in await two.claim()] == [foreign]


async def test_many_tasks_without_a_handler_here_do_not_stand_in_the_way(cluster):
    for i in range(260):
        await cluster.define(f"foreign{i}")
        await cluster.trigger(f"foreign{i}")
    await cluster.define("a")
    await cluster.passes(1)
    member = await cluster.join(handlers={"a": 1})
    own = await cluster.trigger_one("a")
    assert [g.id for g in await member.claim()] == [own]


@pytest.mark.parametrize("have", [1, 3])
async def test_only_the_version_in_force_is_claimed(cluster, have):
    await cluster.define(version=2)
    member = await cluster.join(handlers={"a": have})
    await cluster.trigger()
    assert await member.claim() == []
    assert await (await cluster.join("i2", handlers={"a": 2})).claim()


async def test_a_higher_version_takes_waiting_work_away_from_the_old_handler(cluster):
    await cluster.define()
    old = await cluster.join("old")
    await cluster.trigger(n=2)
    assert len(await old.claim(1)) == 1
    await cluster.define(version=2)
    assert await old.claim() == []
    new = await cluster.join("new")
    assert len(await new.claim()) == 1


async def test_max_concurrency_holds_for_the_cluster_and_a_finish_makes_room(cluster):
    await cluster.define(max_concurrency=3)
    one, two = await cluster.join("i1"), await cluster.join("i2")
    await cluster.trigger(n=4, priority="high")
    await cluster.trigger(n=4)
    first = await one.claim(2)
    assert len(await two.claim(9)) == 1
    assert await one.claim(9) == await two.claim(9) == []
    await one.finish(*first)
    assert len(await two.claim(9)) == 2


async def test_one_claim_over_two_priorities_counts_max_concurrency_once(cluster):
    await cluster.define(max_concurrency=3)
    member = await cluster.join()
    await cluster.trigger(n=2, priority="high")
    await cluster.trigger(n=5)
    assert len(await member.claim(9)) == 3


async def test_a_rate_limit_lets_a_burst_through_and_then_says_when_more_may_start(cluster):
    await cluster.define(rate_limit="4/2s")
    member = await cluster.join()
    await cluster.trigger(n=9)
    assert len(await member.claim(9)) == 4
    reply = await member.ask(9)
    assert len(reply) == HEAD and 0 < int(reply[2]) - int(reply[1]) <= 500
    await cluster.passes(int(reply[2]) - int(reply[1]))
    assert len(await member.claim(1)) == 1
    await cluster.passes(1000)
    assert len(await member.claim(9)) in (1, 2)


async def test_a_rate_limit_counts_high_and_normal_work_together(cluster):
    await cluster.define(rate_limit="4/m")
    member = await cluster.join()
    await cluster.trigger(n=3, priority="high")
    await cluster.trigger(n=5)
    assert len(await member.claim(9)) == 4


async def test_a_fast_rate_is_kept_also_by_claims_of_one(cluster):
    """A third of a millisecond must not be rounded away with each start."""
    await cluster.define(rate_limit="300/100ms")
    member = await cluster.join()
    await cluster.trigger(n=400)
    began = await cluster.now()
    assert len(await member.claim(290)) == 290
    got = 0
    for _ in range(100):
        got += len(await member.claim(1))
    took = await cluster.now() - began
    assert got <= 10 + took * 3 + 3


async def test_a_limited_task_does_not_hold_up_the_others(cluster):
    await cluster.define("a", max_concurrency=1)
    await cluster.define("b")
    member = await cluster.join()
    await cluster.trigger("a", 3)
    await cluster.trigger("b", 3)
    assert sorted(g.task for g in await member.claim(9)) == ["a", "b", "b", "b"]


async def test_the_run_of_a_slot_takes_the_lock_of_its_task_and_waits_for_it(cluster):
    await cluster.define("a", every("1s"), lock_at_most_for="1m")
    member = await cluster.join()
    taken = await cluster.call("lock_acquire", "task:a", "someone", "nonce", 60_000, 0)
    slot = await cluster.now() - 5
    await member.dispatch("a", slot)
    manual_run = await cluster.trigger_one()
    reply = await member.ask()
    assert [reply[HEAD]] == [manual_run] and len(reply) == HEAD + 9, (
        "only the trigger starts: it needs no lock"
    )
    assert int(reply[2]) == int(taken[2]), "and the worker is told when the lock ends"
    await cluster.call("lock_release", "task:a", "someone", taken[1], "box")
    grant = await member.claim_one()
    lock = (await cluster.dump()).one("lock:task:a", {})
    assert (lock["owner"], lock["token"], int(lock["until"])) == ("i1", grant.token, grant.until)
    assert await cluster.call("lock_acquire", "task:a", "someone", "again", 60_000, 0) == ["taken"]
    await member.finish(grant)
    assert (await cluster.call("lock_acquire", "task:a", "someone", "third", 60_000, 0))[0] == "ok"


async def test_an_overlap_of_allow_needs_no_lock(cluster):
    await cluster.define("a", every("1s"), overlap="ALLOW")
    member = await cluster.join()
    await cluster.call("lock_acquire", "task:a", "someone", "nonce", 60_000, 0)
    now = await cluster.now()
    await member.dispatch("a", now - 20, now - 10)
    assert len(await member.claim()) == 2


async def test_lock_at_least_for_keeps_the_next_run_from_starting_early(cluster):
    await cluster.define("a", every("1s"), lock_at_most_for="1m", lock_at_least_for="300ms")
    member = await cluster.join()
    now = await cluster.now()
    await member.dispatch("a", now - 20)
    await member.finish(await member.claim_one())
    await member.dispatch("a", now - 10)
    reply = await member.ask()
    assert len(reply) == HEAD and 0 < int(reply[2]) - int(reply[1]) <= 300
    await cluster.passes(int(reply[2]) - int(reply[1]))
    assert len(await member.claim()) == 1


async def test_a_claim_that_is_sent_again_gives_the_same_again(cluster):
    await cluster.define()
    member = await cluster.join()
    await cluster.trigger(n=5)
    first = await member.claim(2, nonce="n1")
    assert await member.claim(2, nonce="n1") == first
    assert len(await cluster.events("RUNNING")) == 2
    second = await member.claim(2, nonce="n2")
    assert not {g.id for g in first} & {g.id for g in second}


async def test_a_repeated_claim_leaves_out_what_was_taken_away_meanwhile(cluster):
    await cluster.define()
    member = await cluster.join()
    ids = await cluster.trigger(n=2)
    await member.claim(2, nonce="n1")
    await cluster.call("cancel", ids[0], "1", "n")
    assert [g.id for g in await member.claim(2, nonce="n1")] == ids[1:]


async def test_a_draining_instance_gets_nothing(cluster):
    await cluster.define()
    member = await cluster.join()
    await cluster.trigger()
    assert await member.drain() == "ok"
    assert await member.ask() == ["draining"]


async def test_an_instance_whose_lease_is_over_gets_nothing(cluster):
    await cluster.define()
    member = await cluster.join(lease=20)
    await cluster.trigger()
    await cluster.passes(20)
    assert await member.ask() == ["refused", "claim", "expired"]
    (event,) = await cluster.events("REFUSED")
    assert event["data"] == {"what": "claim", "why": "expired"} and event["token"] == member.inc


async def test_a_superseded_incarnation_gets_nothing(cluster):
    await cluster.define()
    old = await cluster.join()
    await cluster.join()
    await cluster.trigger()
    assert await old.ask() == ["refused", "claim", "incarnation"]


async def test_idle_instances_are_told_of_new_work_and_only_those_that_can_do_it(cluster):
    await cluster.define("a")
    await cluster.define("b")
    able, unable = await cluster.join("i1", handlers={"a": 1}), await cluster.join("i2", handlers={"b": 1})
    busy = await cluster.join("i3", handlers={"a": 1})
    await able.claim()
    await unable.claim()
    await cluster.trigger("a")
    assert await cluster.box(able.box) == ["work"]
    assert await cluster.box(unable.box) == await cluster.box(busy.box) == []


async def test_ids_of_any_printable_kind_survive_the_round_trip(cluster):
    await cluster.define("täsk.1/ü")
    member = await cluster.join()
    await cluster.call(
        "enqueue", "täsk.1/ü", "trigger", "", "", "täsk.1/ü~é\u00a0'\"]]--%s\\", '{"k":"\\u0000é"}', ""
    )
    grant = await member.claim_one()
    assert grant.id == "täsk.1/ü~é\u00a0'\"]]--%s\\" and grant.payload == '{"k":"\\u0000é"}'
    assert await member.claim(1, nonce="n") == await member.claim(1, nonce="n") == []
    assert await member.finish(grant) == ["ok"]


async def test_one_claim_may_be_for_thousands(cluster):
    """Lua's stack holds 8,000 values: a longer list must not break the step in the middle."""
    await cluster.define()
    member = await cluster.join()
    n = 5 if cluster.server.kind != "fake" else 1
    for _ in range(n):
        await cluster.trigger(n=1000)
    grants = await member.claim(9000)
    assert len(grants) == n * 1000
    assert set(await member.finish(*grants)) == {"ok"}


async def test_a_queued_execution_whose_record_was_deleted_by_hand_holds_nobody_up(cluster):
    await cluster.define()
    member = await cluster.join()
    gone, kept = await cluster.trigger(n=2)
    h = cluster.store.key
    for key in (h("all"), h("bytask", "a"), h("state", "READY")):
        await cluster.redis.zrem(key, gone)
    await cluster.redis.delete(h("x", gone), h("events"), h("counts"))
    await cluster.redis.hincrby(h("task", "a"), "backlog", -1)
    await cluster.redis.hset(h("meta"), "trimmed", "0-1")
    assert [g.id for g in await member.claim(1)] == [kept]
    await member.claim(1)


@pytest.mark.parametrize(
    "limits",
    [{}, {"max_concurrency": 5}, {"rate_limit": "4/1s"}, {"max_concurrency": 3, "rate_limit": "9/1s"}],
)
async def test_after_each_claim_running_and_backlog_are_what_a_count_of_the_records_says(cluster, limits):
    """A claim writes both as it has counted them itself, over all priorities of a task and all its tasks."""
    await cluster.define("a", **limits)
    await cluster.define("b")
    member, other = await cluster.join("i1"), await cluster.join("i2")
    for priority in ("high", "normal", "low"):
        for task in "ab":
            await cluster.trigger(task, 4, priority=priority)
    await cluster.trigger("a", at=await cluster.now() + 60_000)  # waits, and counts as backlog
    mine = await member.claim(3)
    assert violations(await cluster.dump()) == []
    await member.finish((mine[0], "RETRYING"), mine[1], delay=60_000)
    for who, n in ((other, 1), (member, 6), (other, 5), (member, 0), (member, 40)):
        grants = await who.claim(n, nonce := cluster.fresh("n"))
        assert [g.id for g in await who.claim(n, nonce)] == [g.id for g in grants]
        assert violations(await cluster.dump()) == [], (who.name, n)
    assert await cluster.redis.zcard(cluster.store.key("ready", "normal", "b")) == 0
