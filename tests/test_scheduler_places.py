"""Places that fall free: for a slot that waits for its turn, for a further try, and under max_concurrency."""

from __future__ import annotations

import pytest
from histories import History

from labsched import every
from labsched.worlds.checks.locks import one_holder


async def test_a_slot_that_waits_for_its_turn_gets_it_although_runs_may_overlap_by_now_and_new_ones_keep_coming(
    cluster,
):
    await cluster.define("a", every("1s"), overlap="BUFFER_ONE")
    member, now = await cluster.join(), await cluster.now()
    await member.dispatch("a", now - 40, now - 30)
    first = await member.claim_one()
    await cluster.define("a", every("1s"), overlap="ALLOW")
    await member.dispatch("a", now - 20)
    second = await member.claim_one()
    await member.dispatch("a", now - 10)
    assert await cluster.state(f"a@{now - 30}") == "BUFFERED"
    await member.finish(second)
    assert await cluster.state(f"a@{now - 30}") == "READY"
    # It was made to run alone, so it still waits for the run before it, but for no other.
    assert [g.id for g in await member.claim()] == [f"a@{now - 10}"]
    await member.finish(first)
    assert [g.id for g in await member.claim()] == [f"a@{now - 30}"]


LEAST = {"lock_at_most_for": "1m", "lock_at_least_for": "30s"}


@pytest.mark.parametrize("how", ["lost", "retried", "returned"])
async def test_at_least_for_does_not_hold_back_a_further_try_of_the_same_run(cluster, how):
    await cluster.define("a", every("1s"), **LEAST)
    one, two, now = await cluster.join("i1"), await cluster.join("i2"), await cluster.now()
    await one.dispatch("a", now - 20)
    grant = await one.claim_one()
    if how == "lost":
        await one.expires()
        await two.recover()
    else:
        await one.finish((grant, "RETRYING" if how == "retried" else "READY"))
        await two.promote()
    again = await two.claim_one()
    assert again.id == grant.id
    await two.finish(again)
    await two.dispatch("a", now - 10)
    reply = await two.ask()
    assert len(reply) == 4 and 25_000 < int(reply[2]) - int(reply[1]) <= 30_000, "another run waits"


async def test_at_least_for_holds_other_runs_back_when_the_further_try_never_comes(cluster):
    await cluster.define("a", every("1s"), **LEAST)
    one, two, now = await cluster.join("i1"), await cluster.join("i2"), await cluster.now()
    await one.dispatch("a", now - 20)
    grant = await one.claim_one()
    await one.expires()
    await two.recover()
    await cluster.registry.cancel(grant.id, False)
    await two.dispatch("a", now - 10)
    assert await two.claim() == []


async def test_a_further_try_waits_for_whoever_queues_for_the_lock(cluster):
    await cluster.define("a", every("1s"), **LEAST)
    one, two, now = await cluster.join("i1"), await cluster.join("i2"), await cluster.now()
    await one.dispatch("a", now - 20)
    await one.claim_one()
    assert (await cluster.call("lock_wait", "task:a", "o", "n", 1000, 0, "box", 60_000))[0] == "wait"
    await one.expires()
    await two.recover()
    assert await two.claim() == []


def test_the_check_of_one_holder_lets_a_further_try_begin_within_at_least_for_and_nobody_else():
    for later, fine in (("x", True), ("y", False)):
        h = History().take("task:a", 1, "i1", until=60, least=30, x="x").at(1)
        h.release("task:a", 1, "i1", until=30)
        assert one_holder(h.at(2).take("task:a", 2, "i2", until=60, x=later).rec()).ok is fine
    held = History().take("task:a", 1, "i1", until=60, x="x").at(2).take("task:a", 2, "i2", until=60, x="x")
    assert not one_holder(held.rec()).ok, "without a release even that is one too many"


async def full(cluster, waiting: int = 1, **options):
    """A task at its max_concurrency of 1 with work waiting; who runs it, its grant, and two that are idle."""
    await cluster.define("a", max_concurrency=1, **options)
    one, two, three = [await cluster.join(name) for name in ("i1", "i2", "i3")]
    await cluster.trigger(n=1 + waiting)
    grant = (await one.claim())[0]
    for idle in (two, three):
        assert await idle.claim() == []
    for member in (one, two, three):
        await cluster.box(member.box)
    return one, two, three, grant


async def hints(cluster, *members) -> list[int]:
    return [(await cluster.box(member.box)).count("work") for member in members]


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "RETRYING", "CANCELLED"])
async def test_a_place_that_falls_free_is_told_to_one_idle_instance(cluster, end):
    one, two, three, grant = await full(cluster)
    await one.finish((grant, end), delay=60_000)
    assert await hints(cluster, one, two, three) == [0, 1, 0]
    await two.claim_one()


async def test_a_place_freed_by_force_is_told(cluster):
    _, two, three, grant = await full(cluster)
    await cluster.registry.cancel(grant.id, True)
    assert await hints(cluster, two, three) == [1, 0]


async def test_a_place_freed_by_a_death_is_told_once(cluster):
    one, two, three, grant = await full(cluster, max_losses=1)
    await one.expires()
    await three.recover()
    assert await cluster.state(grant.id) == "DEAD" and await hints(cluster, two, three) == [1, 0]


async def test_a_place_freed_by_a_loss_is_told_once(cluster):
    one, two, three, _ = await full(cluster)
    await one.expires()
    await three.recover()
    assert await hints(cluster, two, three) == [1, 0]


async def test_nobody_is_told_of_a_place_that_nobody_waits_for_or_that_was_free_before(cluster):
    one, two, three, grant = await full(cluster, waiting=0)
    await one.finish(grant)
    assert await hints(cluster, one, two, three) == [0, 0, 0]
    await cluster.define("b", max_concurrency=5)
    four, five = await cluster.join("i4", pool=2), await cluster.join("i5")
    await cluster.trigger("b", n=3)
    grants = await four.claim()
    await cluster.box(five.box)
    await cluster.redis.zadd(cluster.store.key("idle"), {five.inc: 1})
    await four.finish(grants[0])
    assert len(grants) == 2 and await hints(cluster, five) == [0]


async def test_of_several_places_each_is_told_to_another(cluster):
    await cluster.define("a", max_concurrency=2)
    members = [await cluster.join(f"i{n}") for n in range(4)]
    await cluster.trigger(n=6)
    grants = await members[0].claim()
    for member in members[1:]:
        await member.claim()
        await cluster.box(member.box)
    await members[0].finish(*grants)
    assert await hints(cluster, *members[1:]) == [1, 1, 0]
