"""The scheduler of ring 1, unchanged, on simulated servers: three instances with the cadence of the sample tasks."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from simnet import World

from labsched import Scheduler, every
from labsched.worlds.simulated.clocks import sim_host
from labsched.worlds.simulated.fakeserver import SimServer
from labsched.worlds.simulated.links import open_simulated
from labsched.worlds.simulated.loop import SimLoop
from labsched.worlds.simulated.network import Uniform
from labsched.worlds.simulated.node import Node

TASKS = {"daily-report": ("5s", 0.2), "cleanup-temp-files": ("1s", 0.05), "data-backup": ("10s", 1.0)}


async def member(node: Node, server: SimServer, seed: object) -> None:
    app = Scheduler(open_simulated(server, node), namespace="demo", host=sim_host(node, seed))
    for name, (period, seconds) in TASKS.items():

        async def body(ctx: Any, seconds: float = seconds) -> None:
            await asyncio.sleep(seconds)

        app.add(name, every(period), body)
    async with app.instance(node.name):
        await asyncio.Event().wait()


def cluster(loop: SimLoop, seed: object = 1) -> tuple[World, SimServer, list[Node]]:
    world = World(loop, seed=seed, latency=Uniform(0.000_1, 0.000_3))
    server = world.server()
    nodes = [world.node(f"i{n}") for n in (1, 2, 3)]
    for node in nodes:
        node.create_task(member(node, server, seed))
    return world, server, nodes


def ended(world: World, server: SimServer) -> Counter[str]:
    async def count() -> Counter[str]:
        async with Scheduler(open_simulated(server, "watch"), namespace="demo") as app:
            return Counter([event.kind for event in await app.history()])

    found: Counter[str] = world.do(count)
    return found


def test_three_instances_run_a_minute_of_the_sample_tasks(sim_loop: SimLoop) -> None:
    world, server, _ = cluster(sim_loop)
    sim_loop.run(until=60.5)
    kinds = ended(world, server)
    # 60 clean-ups, 12 reports, 6 backups; the last backup is not through.
    assert kinds["SUCCEEDED"] >= 76 and not kinds["FAILED"] and not kinds["LOST"]


def test_the_same_seed_sends_the_same_messages_and_another_seed_others() -> None:
    def messages(seed: int) -> Any:
        loop = SimLoop()
        world, _, _ = cluster(loop, seed)
        loop.run(until=10)
        loop.close()
        return world.net.messages()

    assert messages(1) == messages(1) != messages(2)


@pytest.mark.parametrize("fault", ["kill", "partition", "restart", "failover", "full", "lossy"])
def test_the_cluster_comes_back_after_a_fault(sim_loop: SimLoop, fault: str) -> None:
    world, server, nodes = cluster(sim_loop)
    sim_loop.run(until=10.4)
    if fault == "kill":
        nodes[0].kill()
    elif fault == "partition":
        world.net.partition("i1")
    elif fault == "restart":
        server.restart(down_for=3.0)
    elif fault == "failover":
        server.failover(lag=0.1, offset=0.0, down_for=1.0)
    elif fault == "full":
        server.full = True
    elif fault == "lossy":
        world.net.lossy("*", "redis", 0.2)
    sim_loop.run(until=20.4)
    world.net.heal()
    world.net.lossy("*", "redis")
    server.full = False
    sim_loop.run(until=35.0)
    before = ended(world, server)["SUCCEEDED"]
    sim_loop.run(until=45.0)
    assert ended(world, server)["SUCCEEDED"] - before >= 12  # 10 clean-ups, 2 reports, 1 backup


@pytest.mark.parametrize("outage", [5.0, 60.0])
def test_a_follower_of_events_outlives_any_outage_without_a_gap(sim_loop: SimLoop, outage: float) -> None:
    world, server, _ = cluster(sim_loop)
    seen: list[str] = []

    async def follow() -> None:
        node = world.node("watcher")
        async with Scheduler(open_simulated(server, node), namespace="demo", host=sim_host(node, 1)) as app:
            async for event in app.events():
                seen.append(event.id)

    following = world.node("watcher").create_task(follow())
    sim_loop.run(until=5)
    world.net.partition("watcher")
    sim_loop.run(until=5 + outage)
    world.net.heal("watcher")
    sim_loop.run(until=80)
    assert not following.done()

    async def history() -> list[str]:
        async with Scheduler(open_simulated(server, "reader"), namespace="demo") as app:
            return [event.id for event in await app.history()]

    assert len(seen) > 500 and seen == world.do(history)[: len(seen)]
    following.cancel()
