"""One name, two processes: the newer has it, the older stops for good, and the work in between counts for nothing."""

from __future__ import annotations

import asyncio
import random
import re

import pytest
from apps import eventually, new_app, serving

from labsched import manual
from labsched.diagnosis import why
from labsched.errors import StaleIncarnation
from labsched.instance import Instance


async def claimed(cluster, **options):
    """Process p as i1 with one execution running."""
    await cluster.define(**options)
    member = await cluster.join(process="p")
    id = await cluster.trigger_one()
    await member.claim_one()
    return member, id


async def again(cluster, serial=2, process="p"):
    """The raw reply to a join that is not the first of its process."""
    return await cluster.call("join", "i1", process, serial, 4000, "", "{}", 1, "host", 1)


async def test_who_was_a_member_before_does_not_take_its_name_back_from_one_that_lives(cluster):
    old, _ = await claimed(cluster)
    new = await cluster.join(process="q")
    assert await old.heartbeat() == ["refused", "heartbeat", "superseded"]
    assert (await cluster.events("REFUSED"))[-1]["data"] == {"what": "heartbeat", "why": "superseded"}
    before = await cluster.dump()
    first = await again(cluster)
    assert (first[:2], first[3:]) == (["taken", new.inc], ["host", "1"])
    await cluster.unchanged(before)
    await cluster.passes(1)
    assert (await new.heartbeat())[0] == "ok"
    second = await again(cluster)
    assert second[1] == new.inc and int(second[2]) > int(first[2]), "by which it is known to live"


async def test_a_join_of_a_process_that_never_came_to_life_is_waited_out(cluster):
    # Sent by a process that was killed, and held up on the way: nobody renews what it joined as.
    await cluster.join(process="p")
    ghost = await cluster.join(process="q", lease=400)
    first = await again(cluster)
    assert first[0] == "taken" and await again(cluster) == first
    await cluster.passes(400)
    assert int((await again(cluster))[0]) > int(ghost.inc)


async def test_a_name_whose_lease_is_over_is_free_for_whoever_had_it_before(cluster):
    await cluster.join(process="p")
    other = await cluster.join(process="q")
    await cluster.passes(1)
    await other.heartbeat()
    await other.expires()
    assert (await again(cluster))[0].isdigit()


async def test_a_member_whose_lease_was_lost_joins_again_over_its_own_former_life(cluster):
    member, id = await claimed(cluster)
    await cluster.passes(1)
    await member.heartbeat()
    assert int((await again(cluster))[0]) > int(member.inc)
    assert (await cluster.x(id))["losses"] == "1", "it gave the work up: that counts"


async def test_a_late_copy_of_an_earlier_join_changes_nothing(cluster):
    await cluster.join(process="p")
    second = await cluster.join(process="p", serial=2)
    before = await cluster.dump()
    assert (await again(cluster, serial=1))[0] == second.inc
    await cluster.unchanged(before)


async def test_an_attempt_whose_living_instance_was_superseded_is_not_lost_to_a_poison_count(cluster):
    member, id = await claimed(cluster, max_losses=1)
    for _ in range(5):
        member = await cluster.join()
        assert (await member.claim_one()).id == id
    x = await cluster.x(id)
    assert (x["state"], x["losses"]) == ("RUNNING", "0")


async def test_a_body_that_kills_its_process_is_dead_in_the_end_though_that_is_restarted_at_once(cluster):
    member, id = await claimed(cluster)
    for _ in range(9):
        member = await cluster.join()
        await member.claim_one()
    await cluster.join()
    x = await cluster.registry.execution(id)
    assert (x.state, x.losses, x.reason) == ("DEAD", 0, "its instance was superseded 10 times")
    await cluster.registry.requeue(id)
    member = await cluster.join()
    await member.claim_one()
    await cluster.join()
    assert await cluster.state(id) == "READY", "another life counts from zero"


async def test_the_older_of_two_processes_stops_for_good_and_says_what_to_do(valkey):
    one, two, over = new_app(valkey), new_app(valkey), asyncio.Event()
    for app in (one, two):
        app.task("a", manual())(quickly)
    two.host.hostname, two.host.pid = "elsewhere", 77

    async def live():
        async with one.instance("i1"):
            over.set()
            await asyncio.Event().wait()

    living = asyncio.create_task(live())
    await over.wait()
    async with two, serving(two, "i1") as (new,):
        incarnation = new.membership.incarnation
        said = "'i1' was superseded: .*pid 77 on elsewhere.*; stop either, or give each a name of its own"
        with pytest.raises(StaleIncarnation, match=said) as caught:
            await asyncio.wait_for(living, 15)
        assert "\n" not in str(caught.value)
        assert (await two.wait(await two.trigger("a"), "10s")).instance == "i1"
        assert new.membership.incarnation == incarnation and new.failure is None
        joined = [e for e in await two.history() if e.kind == "INSTANCE_JOINED"]
        assert len(joined) == 2


async def quickly(ctx):
    return None


async def test_a_member_joins_again_once_who_took_its_name_has_died(valkey):
    app = new_app(valkey, heartbeat_every=0.1)
    async with serving(app, "i1") as (member,):
        first = member.membership.incarnation
        store = app._client
        ghost = await store.call("join", "i1", "q", 1, 600, "", "{}", 1, "host", 1)
        await eventually(lambda: int(member.membership.incarnation or 0) > int(ghost[0]))
        assert int(ghost[0]) > int(first) and member.failure is None


async def test_serving_ends_with_the_error_when_another_process_takes_the_name(valkey):
    one, two = new_app(valkey), new_app(valkey)
    for app in (one, two):
        app.task("a", manual())(quickly)
    serve = asyncio.create_task(one.serve("i1"))
    async with two:
        await eventually(two.instances)
        async with serving(two, "i1"):
            with pytest.raises(StaleIncarnation):
                await asyncio.wait_for(serve, 15)


async def test_a_block_keeps_its_own_time_limits(valkey):
    app = new_app(valkey)
    with pytest.raises(TimeoutError):
        async with app.instance("i1"), asyncio.timeout(0.01):
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError, match="mine"):
        async with app.instance("i1"):
            raise TimeoutError("mine")


async def test_instances_without_a_name_get_different_ones_on_one_host_and_pid(valkey):
    one, two = new_app(valkey), new_app(valkey)
    for n, app in enumerate((one, two)):
        app.host.hostname, app.host.pid, app.host.rng = "box", 1, random.Random(n)
    async with one.instance() as a, two.instance() as b:
        assert re.fullmatch("box-1-[0-9a-f]{6}", a.name) and a.name != b.name
        assert {i.name for i in await one.instances()} == {a.name, b.name}


async def test_a_member_whose_lease_is_over_is_listed_as_expired_until_it_is_recovered(cluster):
    dead, alive = await cluster.join("i1"), await cluster.join("i2")
    await dead.expires()
    assert {i.name: i.state for i in await cluster.registry.instances()} == {"i1": "EXPIRED", "i2": "ACTIVE"}
    await cluster.define()
    x = await cluster.registry.execution(await cluster.trigger_one())
    await alive.leave()
    assert [r.code for r in await why(cluster.registry, x, await cluster.now())] == ["no-instance"]
    alive = await cluster.join("i2")
    await alive.recover()
    assert {i.name: i.state for i in await cluster.registry.instances()} == {"i2": "ACTIVE"}


async def test_an_instance_that_failed_before_its_block_began_does_not_run_the_block(valkey, monkeypatch):
    start = Instance.start

    async def start_and_fail(member: Instance) -> None:
        await start(member)
        member._fail(StaleIncarnation("somebody else has the name"))

    monkeypatch.setattr(Instance, "start", start_and_fail)
    app = new_app(valkey)
    with pytest.raises(StaleIncarnation, match="somebody else"):
        async with app, app.instance("i1"):
            pytest.fail("it ran")


async def test_a_task_may_be_registered_while_the_definitions_are_written(valkey):
    app = new_app(valkey)
    app.add("a", manual(), asyncio.sleep)
    app.add("b", manual(), asyncio.sleep)
    async with app:
        writing = asyncio.create_task(app.define())
        await asyncio.sleep(0)
        app.add("c", manual(), asyncio.sleep)
        await writing
        assert [t.task.name for t in await app.tasks()] == ["a", "b"]
