"""Who is told that there is work, or something to coordinate: only those who can do something about it."""

from __future__ import annotations

from labsched import every


async def idle(cluster, name: str, **options):
    """A member that looked for work and found none."""
    member = await cluster.join(name, **options)
    await cluster.passes(1)
    await member.ask(1)
    return member


async def test_an_instance_whose_slots_are_full_is_not_told_of_work(cluster):
    await cluster.define()
    first, full = await idle(cluster, "i1", pool=1), await idle(cluster, "i2", pool=1)
    await cluster.trigger()
    assert await cluster.box(first.box) == ["work"]
    # It finds that work by itself, with a heartbeat say, while it is listed as idle.
    await full.claim_one()
    last = await idle(cluster, "i3")
    await cluster.trigger()
    assert (await cluster.box(full.box), await cluster.box(last.box)) == ([], ["work"])


async def test_an_instance_that_gets_less_than_it_could_run_is_told_of_the_next_work(cluster):
    await cluster.define()
    member = await cluster.join(pool=2)
    await cluster.trigger()
    await member.claim(2)
    await cluster.trigger()
    assert await cluster.box(member.box) == ["work"]


async def test_work_is_offered_to_nobody_whose_lease_is_over(cluster):
    await cluster.define()
    dead = await idle(cluster, "i1")
    alive = await idle(cluster, "i2")
    await dead.expires()
    await cluster.trigger()
    assert (await cluster.box(dead.box), await cluster.box(alive.box)) == ([], ["work"])
    assert not await cluster.redis.zscore(cluster.store.key("idle"), dead.inc)


async def test_coordinators_whose_lease_is_over_are_not_woken(cluster):
    dead, alive = await cluster.join("i1"), await cluster.join("i2")
    await dead.expires()
    await cluster.define("a", every("1s"))
    assert (await cluster.box(dead.box), await cluster.box(alive.box)) == ([], ["lead"])


async def test_a_leader_whose_leadership_is_over_is_not_the_only_one_told(cluster):
    one, two = await cluster.join("i1"), await cluster.join("i2")
    await one.lead(lease=20)
    await cluster.passes(20)
    await cluster.define("a", every("1s"))
    assert (await cluster.box(one.box), await cluster.box(two.box)) == (["lead"], ["lead"])
