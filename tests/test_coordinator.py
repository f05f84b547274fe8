"""The coordinator, act by act, on steps and clocks that are moved by hand."""

from __future__ import annotations

from typing import Any

import pytest
from cluster import Cluster, Member

from labsched import Settings, coordinator, every
from labsched.clock import Host
from labsched.coordinator import Coordinator
from labsched.election import Election
from labsched.model import Misfire


class HandMonotonic:
    """This instance's clock, moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


async def leading(cluster: Cluster, host: Host | None = None) -> tuple[Coordinator, Member]:
    member, host = await cluster.join(), host or Host()
    election = Election(cluster.store, host, Settings(), member.name)
    made = Coordinator(cluster.store, host, Settings(), member.name, election, "")
    made.incarnation = election.incarnation = member.inc
    assert await election.campaign() is None
    await made._look()
    return made, member


async def test_a_leader_whose_servers_clock_stepped_back_sleeps_until_it_has_caught_up(cluster):
    if cluster.clock is None:
        pytest.skip("only there the server's clock can be set")
    await cluster.define()
    await cluster.trigger_one(at=await cluster.now() + 100)
    clock = HandMonotonic()
    leader, _ = await leading(cluster, Host(clock=clock))
    assert await leader._act()  # from now on the timer is all that it waits for
    clock.at += 0.2
    cluster.clock.now -= 10
    assert await leader._act() and leader._idle_for() > 1, "it would ask again at once"


async def slots_behind(cluster: Cluster, name: str, seconds: int, **options: Any) -> int:
    """A task with a slot each second whose last slot was so long ago; its watermark."""
    await cluster.define(name, every("1s"), overlap="ALLOW", max_backlog=10_000, **options)
    mark = (await cluster.now() // 1000 - seconds) * 1000
    await cluster.redis.hset(cluster.store.key("task", name), "watermark", mark)
    return mark


async def caught_up(cluster: Cluster, leader: Coordinator) -> list[int]:
    """Acts until no slot is due; how many executions each act made."""
    made = []
    while leader._due and leader._due[0].at <= leader._server_now():
        before = await cluster.redis.zcard(cluster.store.key("all"))
        assert await leader._act()
        made.append(await cluster.redis.zcard(cluster.store.key("all")) - before)
    return made


async def fired(cluster: Cluster, name: str) -> list[int]:
    """The slots of a task in the order in which they fired, up to its watermark."""
    return [e["data"]["slot"] for e in await cluster.events("READY") if e["task"] == name]


async def test_what_one_call_fires_is_bounded_and_the_rest_comes_next_in_order(cluster):
    tasks = {"a": 350, "b": 400, "c": 450}
    marks = {
        name: await slots_behind(cluster, name, seconds, misfire=Misfire("FIRE_ALL"))
        for name, seconds in tasks.items()
    }
    leader, _ = await leading(cluster)
    made = await caught_up(cluster, leader)
    assert max(made) <= coordinator.FIRES and sum(made) >= sum(tasks.values())
    for name, mark in marks.items():
        end = int((await cluster.task(name))["watermark"])
        assert await fired(cluster, name) == list(range(mark + 1000, end + 1, 1000))
    assert await cluster.events("SKIPPED") == []


async def test_catching_up_on_all_goes_on_over_as_many_plans_as_it_takes(cluster):
    """After the first plan the misfire policy must not see what the pause left over."""
    behind = coordinator.FIRES * 2 + 100
    mark = await slots_behind(cluster, "a", behind, misfire=Misfire("SKIP"))
    await cluster.registry.set_status("a", "PAUSED")
    await cluster.registry.set_status("a", "ACTIVE", "all")
    leader, _ = await leading(cluster)
    assert len(await caught_up(cluster, leader)) >= 3
    task = await cluster.task("a")
    assert await fired(cluster, "a") == list(range(mark + 1000, int(task["watermark"]) + 1, 1000))
    assert await cluster.events("SKIPPED") == [] and task["catch_up"] == "", "and then the policy is back"
