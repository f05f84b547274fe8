"""From a plan to executions: the fences, one execution per slot, overlap policies, backlog, triggers with a time."""

from __future__ import annotations

import pytest

from labsched import every
from labsched.errors import BacklogFull, ConfigError, UnknownTask


async def scheduled(cluster, **options):
    await cluster.define("a", every("1s"), **options)
    member = await cluster.join()
    return member, await cluster.now() - 100


async def test_a_slot_becomes_one_ready_execution(cluster):
    member, slot = await scheduled(cluster, priority="high")
    await member.lead()
    assert (await member.dispatch("a", slot, due=slot + 3))[2:] == ["ok"]
    x = await cluster.registry.execution(f"a@{slot}")
    assert (x.state, x.slot, x.due, x.priority, x.payload) == ("READY", slot, slot + 3, "high", {})
    (event,) = await cluster.events("READY")
    assert event["epoch"] == member.epoch and event["instance"] == "i1"
    assert event["data"] == {
        "slot": slot, "due": slot + 3, "priority": "high", "source": "schedule", "by": "i1",
    }  # fmt: skip
    grant = await member.claim_one()
    assert grant.slot == str(slot) and grant.due == slot + 3


async def test_a_plan_sent_twice_makes_one_execution(cluster):
    member, slot = await scheduled(cluster)
    seen = (await cluster.task())["watermark"]
    assert (await member.dispatch("a", slot, seen=seen))[2:] == ["ok"]
    before = await cluster.dump()
    assert (await member.dispatch("a", slot, seen=seen))[2:] == ["stale"]
    after = await cluster.dump()
    assert before.events == after.events and before.executions == after.executions


async def test_two_coordinators_with_the_same_plan_make_one_execution(cluster):
    one, slot = await scheduled(cluster)
    two = await cluster.join("i2")
    seen = (await cluster.task())["watermark"]
    verdicts = [(await m.dispatch("a", slot, seen=seen))[2] for m in (one, two)]
    assert verdicts == ["ok", "stale"] and len(await cluster.events("READY")) == 1


async def test_the_watermark_outlives_the_record_of_a_run(cluster):
    member, slot = await scheduled(cluster)
    seen = (await cluster.task())["watermark"]
    await member.dispatch("a", slot)
    await member.finish(await member.claim_one())
    await cluster.passes(5)
    assert (await member.trim(age=0))[1] == "1"
    assert (await member.dispatch("a", slot, seen=seen))[2:] == ["stale"]
    assert await cluster.state(f"a@{slot}") == ""


async def test_a_plan_from_an_older_definition_is_stale(cluster):
    member, slot = await scheduled(cluster)
    rev = (await cluster.task())["rev"]
    await cluster.define("a", every("1s"), priority="low", version=2)
    assert (await member.dispatch("a", slot, rev=rev))[2:] == ["stale"]


@pytest.mark.parametrize("status", ["PAUSED", "DISABLED"])
async def test_a_plan_for_a_task_that_is_not_active_is_stale(cluster, status):
    member, slot = await scheduled(cluster)
    await cluster.registry.set_status("a", status)
    assert (await member.dispatch("a", slot))[2:] == ["stale"]
    assert await cluster.events("READY") == []


async def test_no_slot_fires_before_its_time_by_the_servers_clock(cluster):
    member, slot = await scheduled(cluster)
    assert (await member.dispatch("a", slot + 60_000))[2:] == ["early"]
    assert (await member.dispatch("a", slot, due=slot + 60_000))[2:] == ["early"]
    assert await cluster.events("READY") == []


async def test_one_bad_plan_in_a_batch_does_not_spoil_the_others(cluster):
    await cluster.define("b", every("1s"))
    member, slot = await scheduled(cluster)
    a, b = await cluster.task("a"), await cluster.task("b")
    plans = []
    for name, h, at in (("a", a, slot + 60_000), ("b", b, slot), ("nobody", a, slot)):
        plans += [name, h["rev"], h["watermark"], at, "", "", "", 1, 0, at, at]
    reply = await cluster.call("dispatch", "i1", member.inc, "", "", "1", *plans)
    assert reply[2:] == ["early", "ok", "stale"]
    assert await cluster.state(f"b@{slot}") == "READY"


async def test_only_the_newest_epoch_may_dispatch(cluster):
    old, slot = await scheduled(cluster)
    new = await cluster.join("i2")
    await old.lead(lease=20)
    await cluster.passes(20)
    assert await old.dispatch("a", slot) == ["refused", "dispatch", "expired"]
    await new.lead()
    assert await old.dispatch("a", slot) == ["refused", "dispatch", "epoch"]
    old.epoch, stolen = new.epoch, old.epoch
    assert await old.dispatch("a", slot) == ["refused", "dispatch", "epoch"], (
        "the right epoch, but not its own"
    )
    assert (await new.dispatch("a", slot))[2:] == ["ok"]
    told = [(e["instance"], e["epoch"], e["data"]["why"]) for e in await cluster.events("REFUSED")]
    assert told == [("i1", stolen, "expired"), ("i1", stolen, "epoch"), ("i1", new.epoch, "epoch")]


async def test_a_superseded_incarnation_may_not_coordinate_even_without_election(cluster):
    old, slot = await scheduled(cluster)
    await cluster.join()
    assert await old.dispatch("a", slot) == ["refused", "dispatch", "incarnation"]
    assert await old.promote() == ["refused", "dispatch", "incarnation"]
    assert await old.recover() == await old.trim() == ["refused", "recover", "incarnation"]


async def test_without_the_lock_ids_name_the_instance_and_each_makes_its_own(cluster):
    one, slot = await scheduled(cluster, overlap="ALLOW")
    two = await cluster.join("i2")
    seen = (await cluster.task())["watermark"]
    for member in (one, two, one):
        assert (await member.dispatch("a", slot, seen=seen, lock=False))[2:] == ["ok"]
    assert set((await cluster.dump()).executions) == {f"a@{slot}#i1", f"a@{slot}#i2"}


async def test_instances_that_coordinate_for_themselves_have_a_watermark_each(cluster):
    await cluster.define("a", every("1s"), overlap="ALLOW")
    one, two = await cluster.join("i1", scope="i1"), await cluster.join("i2", scope="i2")
    slot = await cluster.now() - 100
    for member in (one, two):
        assert (await member.dispatch("a", slot, lock=False, following=slot + 1000))[2:] == ["ok"]
        assert (await member.dispatch("a", slot, lock=False, seen="1"))[2:] == ["stale"]
    assert len((await cluster.dump()).executions) == 2
    assert (await cluster.dump()).of("due")[("i1",)] == {"a": slot + 1000}
    await one.leave()
    assert ("i1",) not in (await cluster.dump()).of("due")


async def test_a_task_paused_while_an_instance_joins_can_be_resumed_there(cluster):
    """Without election and lock each instance has its own watermark, also of tasks that are not ACTIVE."""
    await cluster.define("a", every("1s"))
    await cluster.registry.set_status("a", "PAUSED")
    member = await cluster.join("i1", scope="i1")
    await cluster.registry.set_status("a", "ACTIVE", "none")
    reply = await cluster.call("upcoming", "i1", 10)
    assert reply[2] == "a" and int(reply[5]) > 0
    assert (await member.dispatch("a", await cluster.now() - 10, lock=False))[2:] == ["ok"]


async def test_instances_that_coordinate_for_themselves_catch_up_each(cluster):
    await cluster.define("a", every("1s"), overlap="ALLOW")
    one, _ = await cluster.join("i1", scope="i1"), await cluster.join("i2", scope="i2")
    await cluster.registry.set_status("a", "PAUSED")
    await cluster.registry.set_status("a", "ACTIVE", "none")
    slot = await cluster.now() - 100
    assert (await one.dispatch("a", slot, lock=False, catch_up=("none", ""), following=slot + 1000))[2:] == [
        "ok"
    ]
    assert [(await cluster.call("upcoming", name, 10))[6] for name in ("i1", "i2")] == ["", "none"]
    await one.leave()
    await cluster.join("i2", scope="i2")
    fields = {field for field in await cluster.task() if "@" in field}
    assert fields == {"watermark@i2"}, "who left, or begins anew, leaves nothing behind"


async def test_the_next_due_time_replaces_the_last_one(cluster):
    member, slot = await scheduled(cluster)
    await member.dispatch("a", slot, following=slot + 1000)
    assert (await cluster.call("upcoming", "", 10))[2:5] == [
        "a",
        str(slot + 1000),
        (await cluster.task())["rev"],
    ]
    await member.dispatch("a", slot + 50, following="")
    assert len(await cluster.call("upcoming", "", 10)) == 2


async def test_skips_are_told_with_their_range_and_counted(cluster):
    member, slot = await scheduled(cluster)
    await member.dispatch(
        "a", skips=((slot - 9000, slot - 1000, 9, "misfire"), (slot, slot, "", "paused")), mark=slot
    )
    told = [e["data"] for e in await cluster.events("SKIPPED")]
    assert told == [
        {"reason": "misfire", "first": slot - 9000, "last": slot - 1000, "count": 9},
        {"reason": "paused", "first": slot, "last": slot, "count": None},
    ]
    assert (await cluster.registry.counts())["SKIPPED"] == 10
    assert (await cluster.task())["watermark"] == str(slot)


async def test_skip_drops_a_slot_while_the_last_run_is_not_over(cluster):
    member, slot = await scheduled(cluster)
    for state in ("READY", "RUNNING", "RETRYING"):
        assert await cluster.state(f"a@{slot}") in ("", state)
        await member.dispatch("a", slot, slot + 1)
        if state == "READY":
            grant = await member.claim_one()
        elif state == "RUNNING":
            await member.finish((grant, "RETRYING"))
        slot += 2
        assert await cluster.state(f"a@{slot - 1}") == ""
    assert len(await cluster.events("READY")) == 1
    assert {e["data"]["reason"] for e in await cluster.events("SKIPPED")} == {"overlap"}
    await cluster.passes(1)
    await member.promote()
    await member.finish(await member.claim_one())
    await member.dispatch("a", slot)
    assert await cluster.state(f"a@{slot}") == "READY"


async def test_allow_starts_every_slot(cluster):
    member, slot = await scheduled(cluster, overlap="ALLOW")
    await member.dispatch("a", slot, slot + 1, slot + 2)
    assert len(await member.claim()) == 3


async def test_buffer_one_keeps_the_latest_slot_and_starts_it_when_the_last_run_is_over(cluster):
    member, slot = await scheduled(cluster, overlap="BUFFER_ONE")
    await member.dispatch("a", slot, slot + 1)
    await cluster.call("watch", f"a@{slot + 1}", "c1")
    await member.dispatch("a", slot + 2, slot + 3)
    ids = [f"a@{slot + i}" for i in range(4)]
    assert await cluster.states(ids) == ["READY", "SKIPPED", "SKIPPED", "BUFFERED"]
    assert await cluster.box("c1") == [f"done:{ids[1]} SKIPPED"]
    told = [(e["execution"], e["data"]["reason"]) for e in await cluster.events("SKIPPED")]
    assert told == [(ids[1], "replaced"), (ids[2], "replaced")]
    grant = await member.claim_one()
    assert await member.claim() == []
    await member.finish(grant)
    assert (await member.claim_one()).id == ids[3]
    assert (await cluster.events("READY"))[-1]["data"] == {"source": "buffer"}


async def test_buffer_one_replaces_also_when_the_backlog_is_full(cluster):
    member, slot = await scheduled(cluster, overlap="BUFFER_ONE", max_backlog=1)
    await member.dispatch("a", slot)
    grant = await member.claim_one()
    await member.dispatch("a", slot + 1)
    await member.dispatch("a", slot + 2)
    assert await cluster.states([f"a@{slot + 1}", f"a@{slot + 2}"]) == ["SKIPPED", "BUFFERED"]
    await member.finish((grant, "READY"))
    await member.dispatch("a", slot + 3)
    assert await cluster.states([f"a@{slot + 2}", f"a@{slot + 3}"]) == ["SKIPPED", "BUFFERED"]


@pytest.mark.parametrize("end", ["FAILED", "DEAD", "CANCELLED", "READY"])
async def test_whatever_ends_a_run_gives_its_turn_on(cluster, end):
    member, slot = await scheduled(cluster, overlap="BUFFER_ONE", max_losses=1)
    await member.dispatch("a", slot, slot + 1)
    grant = await member.claim_one()
    if end == "DEAD":
        await member.expires()
        member = await cluster.join()
    else:
        await member.finish((grant, end))
    expected = slot if end == "READY" else slot + 1
    assert (await member.claim_one()).id == f"a@{expected}"


async def test_cancel_other_cancels_what_waits_and_starts_the_new_slot(cluster):
    member, slot = await scheduled(cluster, overlap="CANCEL_OTHER")
    await member.dispatch("a", slot)
    await member.dispatch("a", slot + 1)
    assert await cluster.states([f"a@{slot}", f"a@{slot + 1}"]) == ["CANCELLED", "READY"]


async def test_cancel_other_asks_what_runs_and_starts_once_it_is_over(cluster):
    member, slot = await scheduled(cluster, overlap="CANCEL_OTHER")
    await member.dispatch("a", slot)
    grant = await member.claim_one()
    await member.dispatch("a", slot + 1)
    await member.dispatch("a", slot + 2)
    assert await cluster.box(member.box) == [f"cancel {grant.token} {grant.id}"]
    assert len(await cluster.events("CANCEL_REQUESTED")) == 1
    assert await member.claim() == []
    await member.finish((grant, "CANCELLED"))
    assert (await member.claim_one()).id == f"a@{slot + 2}"


async def test_cancel_other_ends_a_run_that_waits_for_its_retry(cluster):
    member, slot = await scheduled(cluster, overlap="CANCEL_OTHER")
    await member.dispatch("a", slot)
    await member.finish((await member.claim_one(), "RETRYING"), delay=60_000)
    await member.dispatch("a", slot + 1)
    assert await cluster.states([f"a@{slot}", f"a@{slot + 1}"]) == ["CANCELLED", "READY"]


async def test_overlap_governs_slots_only(cluster):
    member, slot = await scheduled(cluster)
    await cluster.trigger(n=2)
    await member.dispatch("a", slot)
    await cluster.trigger(n=2)
    assert len(await member.claim()) == 5


async def test_a_slot_over_a_full_backlog_is_skipped_and_told(cluster):
    member, slot = await scheduled(cluster, overlap="ALLOW", max_backlog=2)
    await member.dispatch("a", slot, slot + 1, slot + 2)
    (event,) = await cluster.events("SKIPPED")
    assert event["execution"] == f"a@{slot + 2}" and event["data"]["reason"] == "backlog"


async def test_triggers_over_the_backlog_are_refused_as_a_whole(cluster):
    await cluster.define(max_backlog=3)
    await cluster.trigger(n=2)
    before = await cluster.dump()
    with pytest.raises(BacklogFull, match=r"has 2 executions waiting, max_backlog is 3; 0 of 2 were added"):
        await cluster.registry.enqueue("a", [("a~1", "{}", ""), ("a~2", "{}", "")])
    await cluster.unchanged(before)
    assert await cluster.registry.enqueue("a", [("a~1", "{}", "")]) == 1


async def test_an_id_is_made_once_however_often_it_is_sent(cluster):
    await cluster.define()
    member = await cluster.join()
    items = [("a~k", '{"v":1}', ""), ("a~k", '{"v":2}', ""), ("a~l", "{}", "")]
    assert await cluster.registry.enqueue("a", items) == 2
    assert await cluster.registry.enqueue("a", items) == 0
    grants = await member.claim()
    assert [(g.id, g.payload) for g in grants] == [("a~k", '{"v":1}'), ("a~l", "{}")]
    await member.finish(*grants)
    assert await cluster.registry.enqueue("a", items) == 0, "as long as it is kept"


async def test_unknown_and_disabled_tasks_take_no_triggers(cluster):
    with pytest.raises(UnknownTask, match="no task 'a' in namespace 't'"):
        await cluster.registry.enqueue("a", [("a~1", "{}", "")])
    await cluster.define()
    await cluster.registry.set_status("a", "DISABLED")
    with pytest.raises(ConfigError, match="'a' is DISABLED"):
        await cluster.registry.enqueue("a", [("a~1", "{}", "")])
    await cluster.registry.set_status("a", "PAUSED")
    assert await cluster.registry.enqueue("a", [("a~1", "{}", "")]) == 1, "a paused task still takes triggers"


async def test_a_trigger_with_a_time_waits_for_it_and_wakes_the_coordinators(cluster):
    await cluster.define()
    member = await cluster.join()
    at = await cluster.now() + 150
    id = await cluster.trigger_one(at=at)
    assert await cluster.box(member.box) == ["lead"]
    assert await cluster.state(id) == "BUFFERED" and await member.claim() == []
    assert (await cluster.call("upcoming", "", 10))[1] == str(at)
    await cluster.passes(150)
    await member.promote()
    assert (await member.claim_one()).due == at


async def test_a_time_in_the_past_is_now(cluster):
    await cluster.define()
    id = await cluster.trigger_one(at=await cluster.now() - 5)
    assert await cluster.state(id) == "READY"


async def test_a_thousand_triggers_cost_one_call_and_all_arrive(cluster):
    await cluster.define()
    items = [(f"a~{i}", "{}", "") for i in range(1500)]
    assert await cluster.registry.enqueue("a", items) == 1500
    assert (await cluster.registry.sizes())["READY"] == 1500
