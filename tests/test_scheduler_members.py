"""Who belongs to the cluster: joining, leases, supersession, recovery, drain and leaving; who leads it."""

from __future__ import annotations

import pytest

from labsched import every
from labsched.store import text


async def holding(cluster, n: int = 1, lease: int = 3_600_000, **options):
    await cluster.define(**options)
    member = await cluster.join(lease=lease)
    await cluster.trigger(n=n)
    return member, await member.claim(n)


async def test_joining_gives_an_incarnation_that_grows(cluster):
    one, two, again = await cluster.join("i1"), await cluster.join("i2"), await cluster.join("i1")
    assert int(one.inc) < int(two.inc) < int(again.inc)
    assert [i.name for i in await cluster.registry.instances()] == ["i1", "i2"]


async def test_a_join_that_is_sent_again_gives_the_same_incarnation(cluster):
    one, again = await cluster.join(process="p"), await cluster.join(process="p")
    assert one.inc == again.inc and len(await cluster.events("INSTANCE_JOINED")) == 1


async def test_a_newer_incarnation_takes_the_work_at_once_and_it_is_first_in_line(cluster):
    old, (grant,) = await holding(cluster)
    later = await cluster.trigger_one()
    new = await cluster.join()
    kinds = [e["kind"] for e in (await cluster.events())[-4:]]
    assert kinds == ["INSTANCE_LOST", "LOST", "READY", "INSTANCE_JOINED"]
    (lost,) = await cluster.events("LOST")
    assert lost["data"] == {"reason": "superseded", "losses": 0} and lost["token"] == grant.token
    assert [g.id for g in await new.claim()] == [grant.id, later]
    assert await old.finish(grant) == ["stale"]
    assert await old.heartbeat() == ["refused", "heartbeat", "superseded"]


async def test_a_superseded_leader_leads_no_more(cluster):
    old = await cluster.join()
    await old.lead()
    new = await cluster.join()
    assert await old.lead(epoch=old.epoch) == ["refused", "renew", "epoch"]
    (resigned,) = await cluster.events("LEADER_RESIGNED")
    assert resigned["epoch"] == old.epoch
    assert (await new.lead())[0] == "leader" and int(new.epoch) > int(old.epoch)


async def test_a_heartbeat_renews_the_lease_from_now(cluster):
    member = await cluster.join(lease=400)
    for _ in range(3):
        await cluster.passes(150)
        reply = await member.heartbeat()
        assert (reply[0], reply[2:]) == ("ok", [])


async def test_a_heartbeat_after_the_end_of_the_lease_is_refused_although_nobody_noticed(cluster):
    member = await cluster.join(lease=20)
    await cluster.passes(20)
    assert await member.heartbeat() == ["refused", "heartbeat", "expired"]
    assert await member.heartbeat() == ["refused", "heartbeat", "expired"]


async def test_a_heartbeat_tells_of_work_that_waits_for_this_instance(cluster):
    await cluster.define("a")
    await cluster.define("b")
    member = await cluster.join(handlers={"a": 1})
    await cluster.trigger("b")
    assert (await member.heartbeat())[2:] == []
    await cluster.trigger("a", priority="low")
    assert (await member.heartbeat())[2:] == ["work"]


async def test_what_a_dead_instance_held_is_ready_again_as_soon_as_its_lease_is_over(cluster):
    dead, grants = await holding(cluster, 3, lease=300)
    alive = await cluster.join("i2")
    reply = await alive.recover()
    assert reply[:2] == ["ok", "0"] and 0 < int(reply[2]) <= 300
    await cluster.passes(int(reply[2]))
    assert (await alive.recover())[1] == "3"
    (gone,) = await cluster.events("INSTANCE_LOST")
    assert (gone["instance"], gone["token"], gone["data"]["reason"]) == ("i1", dead.inc, "lease")
    assert gone["data"]["held"] == 3 and gone["data"]["until"] <= await cluster.now()
    again = await alive.claim()
    assert [(g.id, g.attempt, g.fails) for g in again] == [(g.id, 2, 0) for g in grants]
    assert await dead.finish(*grants) == ["stale"] * 3
    assert [i.name for i in await cluster.registry.instances()] == ["i2"]


async def test_recovery_frees_the_tasks_lock_at_once(cluster):
    await cluster.define("a", every("1s"))
    dead = await cluster.join()
    slot = await cluster.now() - 5
    await dead.dispatch("a", slot)
    await dead.claim_one()
    alive = await cluster.join("i2")
    await dead.expires()
    await alive.recover()
    assert (await alive.claim_one()).id == f"a@{slot}"


async def test_an_attempt_over_its_hard_end_is_lost_although_its_instance_lives(cluster):
    member, (grant,) = await holding(cluster, lock_at_most_for="30ms")
    await cluster.passes(30)
    assert (await member.recover())[1] == "1"
    (lost,) = await cluster.events("LOST")
    assert lost["data"]["reason"] == "hard-end"
    assert await cluster.box(member.box) == [f"revoked {grant.token} {grant.id}"]
    assert await member.finish(grant) == ["stale"]
    assert (await member.claim_one()).attempt == 2


async def test_recovery_says_when_to_look_again(cluster):
    await cluster.define("a", lock_at_most_for="5s")
    assert (await (await cluster.join("i0", lease=9000)).recover())[2] in {
        str(ms) for ms in range(8500, 9001)
    }
    member = await cluster.join()
    await cluster.trigger()
    await member.claim()
    assert 4000 < int((await member.recover())[2]) <= 5000


async def test_a_poison_job_is_dead_after_max_losses(cluster):
    member, _ = await holding(cluster, max_losses=2)
    id = (await cluster.events("RUNNING"))[0]["execution"]
    await cluster.call("watch", id, "c1")
    await member.expires()
    member = await cluster.join()
    await member.claim_one()
    await member.expires()
    await cluster.join()
    x = await cluster.registry.execution(id)
    assert (x.state, x.losses, [a.outcome for a in x.attempts]) == ("DEAD", 2, ["LOST", "LOST"])
    assert x.reason == "lost 2 times" and await cluster.box("c1") == [f"done:{id} DEAD"]


async def test_losses_are_no_retries(cluster):
    member, _ = await holding(cluster)
    member = await cluster.join()
    grant = await member.claim_one()
    assert grant.fails == 0 and grant.attempt == 2


async def test_what_is_lost_after_it_was_asked_to_stop_is_cancelled(cluster):
    _, (grant,) = await holding(cluster)
    await cluster.registry.cancel(grant.id, False)
    await cluster.join()
    x = await cluster.registry.execution(grant.id)
    assert x.state == "CANCELLED" and x.attempts[0].outcome == "LOST"


async def test_recovery_is_fenced_by_the_epoch(cluster):
    old, new = await cluster.join("i1"), await cluster.join("i2")
    await cluster.join("i3", lease=20)
    await old.lead(lease=20)
    await cluster.passes(20)
    assert await old.recover() == ["refused", "recover", "expired"]
    await new.lead()
    assert await old.recover() == ["refused", "recover", "epoch"]
    assert len(await cluster.registry.instances()) == 3
    assert (await new.recover())[0] == "ok" and len(await cluster.registry.instances()) == 2


async def test_recovery_is_not_led_astray_by_a_record_that_was_deleted_by_hand(cluster):
    member = await cluster.join()
    await cluster.redis.zadd(cluster.store.key("state", "RUNNING"), {"a~gone": 5})
    await member.recover()
    reply = await member.recover()
    assert int(reply[2]) > 1000, "or the leader would look again and again without a pause"


async def test_leaving_hands_back_what_is_still_held(cluster):
    member, (grant,) = await holding(cluster)
    other = await cluster.join("i2")
    await other.claim()
    assert await member.leave(2) == "ok" and await member.leave(2) == "ok"
    assert await cluster.box(other.box) == ["work"]
    (left,) = await cluster.events("INSTANCE_LEFT")
    assert left["data"] == {"returned": 2} and left["token"] == member.inc
    (lost,) = await cluster.events("LOST")
    assert lost["data"]["reason"] == "left"
    assert (await other.claim_one()).id == grant.id


async def test_leaving_does_not_waste_the_hint_on_itself(cluster):
    member, _ = await holding(cluster)
    await member.claim()
    other = await cluster.join("i2")
    await cluster.passes(1)
    await other.claim()
    await member.leave()
    assert await cluster.box(other.box) == ["work"]


async def test_draining_is_told_once_and_by_name_or_incarnation(cluster):
    member = await cluster.join()
    assert await cluster.call("drain", "i1", "") == "ok"
    assert await member.drain() == "ok"
    assert await cluster.call("drain", "nobody", "") == await cluster.call("drain", "i1", "12") == "unknown"
    assert len(await cluster.events("INSTANCE_DRAINING")) == 1
    assert await cluster.box(member.box) == ["drain"]
    assert (await member.heartbeat())[2:] == ["drain"]


async def test_one_leads_and_the_others_learn_for_how_long(cluster):
    one, two = await cluster.join("i1"), await cluster.join("i2")
    reply = await one.lead(lease=300)
    assert reply[0] == "leader" and int(reply[1]) > int(two.inc)
    follower = await two.lead()
    assert (follower[0], follower[2]) == ("follower", "i1") and 0 < int(follower[1]) <= 300
    await cluster.passes(int(follower[1]))
    assert (await two.lead())[0] == "leader" and int(two.epoch) > int(one.epoch)
    elected = await cluster.events("LEADER_ELECTED")
    assert [(e["instance"], e["epoch"], e["data"]["previous"]) for e in elected] == [
        ("i1", one.epoch, None), ("i2", two.epoch, "i1"),
    ]  # fmt: skip


async def test_a_campaign_that_is_sent_again_gives_the_same_epoch(cluster):
    member = await cluster.join()
    first = (await member.lead())[1]
    assert (await member.lead())[1] == first and len(await cluster.events("LEADER_ELECTED")) == 1


async def test_renewing_keeps_the_epoch_and_is_refused_once_it_is_over(cluster):
    one, two = await cluster.join("i1"), await cluster.join("i2")
    await one.lead(lease=300)
    epoch = one.epoch
    for _ in range(3):
        await cluster.passes(120)
        assert (await one.lead(lease=300, epoch=epoch))[:2] == ["leader", epoch]
    await cluster.passes(300)
    assert await one.lead(epoch=epoch) == ["refused", "renew", "expired"]
    await two.lead()
    assert await one.lead(epoch=epoch) == ["refused", "renew", "epoch"]
    assert await two.lead(epoch=epoch) == ["refused", "renew", "epoch"]


@pytest.mark.parametrize("how", ["superseded", "expired"])
async def test_without_a_lease_nobody_can_be_elected(cluster, how):
    member = await cluster.join(lease=20)
    if how == "superseded":
        await cluster.join()
    else:
        await cluster.passes(20)
    assert await member.lead() == ["refused", "renew", "incarnation"]


async def test_who_resigns_wakes_the_others_and_only_the_leader_can(cluster):
    one, two = await cluster.join("i1"), await cluster.join("i2")
    await one.lead()
    two.epoch = one.epoch
    assert await two.resign() == "not-leader"
    assert await one.resign() == "ok" and await one.resign() == "not-leader"
    assert await cluster.box(two.box) == ["lead"] and await cluster.box(one.box) == []
    assert (await two.lead())[0] == "leader"


async def test_epochs_tokens_and_incarnations_come_from_one_growing_counter(cluster):
    await cluster.define()
    numbers = []
    for i in range(4):
        member = await cluster.join(f"i{i}")
        await member.lead()
        await cluster.trigger()
        numbers += [int(member.inc), int(member.epoch), int((await member.claim_one()).token)]
        await member.resign()
    assert numbers == sorted(set(numbers))


async def test_tokens_grow_also_when_the_servers_clock_goes_back(cluster):
    await cluster.define()
    member = await cluster.join()
    ahead = int(member.inc) + 10_000_000_000
    await cluster.redis.set(cluster.store.key("token"), ahead)
    await cluster.trigger(n=2)
    first, second = await member.claim(2)
    assert ahead < int(first.token) < int(second.token)
    assert text(await cluster.redis.get(cluster.store.key("token"))).isdigit()
