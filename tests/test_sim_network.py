"""The network: how long messages take, which are lost, and what a client can know of it."""

import asyncio
from typing import Any

import pytest
import redis
from simnet import MS, World

from labsched.errors import ConfigError
from labsched.worlds.simulated.loop import SimLoop
from labsched.worlds.simulated.network import Constant, Exponential, Network, Uniform, recorded, stream


@pytest.fixture
def world(sim_loop: SimLoop) -> World:
    return World(sim_loop)


def kinds(world: World, lost: bool = False) -> list[str]:
    return [f"{m.kind} {m.name}".strip() for m in world.net.messages() if bool(m.lost) == lost]


# --- time -------------------------------------------------------------------------------------------


def test_a_command_takes_there_and_back_and_a_first_one_connects(world: World) -> None:
    async def main() -> None:
        r = world.client(world.server())
        await world.note(r.ping())
        await world.note(r.ping())

    world.do(main)
    assert world.log == [(4, True), (6, True)]
    assert kinds(world) == ["connect", "accept", "request PING", "reply PING", "request PING", "reply PING"]


@pytest.mark.parametrize("latency, low, high, mean", [
    (Constant(0.002), 0.002, 0.002, 0.002),
    (Uniform(0.001, 0.003), 0.001, 0.003, 0.002),
    (Exponential(0.001, least=0.001), 0.001, 0.1, 0.002),
    (recorded([0.001, 0.003]), 0.001, 0.003, 0.002),
])  # fmt: skip
def test_latencies_follow_their_distribution_in_whole_microseconds(
    latency: Any, low: float, high: float, mean: float
) -> None:
    network = Network(SimLoop(), 7, latency)
    drawn = [network.way("a", "b").delay() for _ in range(4000)]
    assert low <= min(drawn) and max(drawn) <= high
    assert sum(drawn) / len(drawn) == pytest.approx(mean, rel=0.05)
    assert all(round(d, 6) == d for d in drawn)


def test_one_draw_more_on_one_link_moves_nothing_on_another() -> None:
    def drawn(first: int) -> list[float]:
        network = Network(SimLoop(), 7, Uniform(0.001, 0.003))
        for _ in range(first):
            network.way("x", "b").delay()
            network.way("b", "a").delay()
        return [network.way("a", "b").delay() for _ in range(5)]

    assert drawn(0) == drawn(9)
    assert stream(1, "latency", "a").random() != stream(2, "latency", "a").random()


def test_none_overtakes_another_on_one_connection(sim_loop: SimLoop) -> None:
    world = World(sim_loop, latency=Uniform(0.0, 1.0))

    async def main() -> None:
        ears = world.client(world.server("one"), "n1").pubsub()
        await ears.subscribe("c")
        r = world.client(ears.connection_pool.connection_kwargs["line"].server, "n2")
        for n in range(30):
            await r.publish("c", n)
        heard = []
        while (m := await ears.get_message(timeout=5)) is not None:
            heard += [int(m["data"])] if m["type"] == "message" else []
        assert heard == list(range(30))

    world.do(main)


def test_a_slow_link_is_slow_in_that_direction_until_it_is_told_otherwise(world: World) -> None:
    async def main() -> None:
        r = world.client(world.server())
        await r.ping()
        for factor, added in ((10.0, 0.0), (1.0, 0.5), (1.0, 0.0)):
            world.net.slow("n1", "redis", factor=factor, added=added)
            began = world.loop.time()
            await r.ping()
            world.log.append((round((world.loop.time() - began) / MS, 3), None))

    world.do(main)
    assert [took for took, _ in world.log] == [11, 502, 2]


# --- loss -------------------------------------------------------------------------------------------


def test_of_a_lost_request_nothing_happened_and_of_a_lost_reply_it_did(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r = world.client(server, request_timeout=1.0)
        await r.set("n", 0)
        world.net.lose_next("n1", "redis")
        with pytest.raises(redis.TimeoutError, match="reading"):
            await r.incr("n")
        assert await r.get("n") == b"0"
        world.net.lose_next("redis", "n1")
        began = world.loop.time()
        with pytest.raises(redis.TimeoutError, match="reading"):
            await r.incr("n")
        assert world.loop.time() - began == pytest.approx(1.0)
        assert await r.get("n") == b"1"

    world.do(main)
    assert kinds(world, lost=True) == ["request INCRBY", "reply INCRBY"]


def test_a_partition_is_silent_and_heals(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r = world.client(server, request_timeout=1.0, connect_timeout=0.5)
        await r.ping()
        world.net.partition("n1", "redis")
        await world.note(r.ping())
        await world.note(r.ping())
        world.net.heal("n1")
        await world.note(r.ping())

    world.do(main)
    assert [(at, str(found)) for at, found in world.log] == [
        (1004, "Timeout reading from redis"),
        (1504, "Timeout connecting to server redis"),
        (1508, "True"),
    ]


def test_a_one_way_partition_lets_the_other_way_pass(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r, watcher = world.client(server, request_timeout=1.0), world.client(server, "n2")
        await r.ping()
        world.net.partition("redis", "n1", both=False)
        with pytest.raises(redis.TimeoutError):
            await r.incr("n")
        assert await watcher.get("n") == b"1"
        world.net.heal("redis", "n1", both=False)
        assert await r.incr("n") == 2
        world.net.partition("n1", "redis", both=False)
        with pytest.raises(redis.TimeoutError):
            await r.incr("n")
        assert await watcher.get("n") == b"2"

    world.do(main)


def test_a_fault_for_all_covers_links_that_come_later(world: World) -> None:
    world.net.partition("*", "redis")
    server = world.server()

    async def main() -> None:
        with pytest.raises(redis.TimeoutError, match="connecting"):
            await world.client(server, "late").ping()
        world.net.heal()
        assert await world.client(server, "later").ping()

    world.do(main)


def test_a_lossy_link_loses_the_same_messages_for_the_same_seed(world: World) -> None:
    def lost(seed: int) -> list[bool]:
        network = Network(SimLoop(), seed)
        network.lossy("a", "b", 0.3)
        return [bool(network.way("a", "b").lost()) for _ in range(300)]

    assert lost(1) == lost(1) != lost(2)
    assert 60 < sum(lost(1)) < 120
    network = Network(SimLoop(), 1)
    network.lossy("a", "b", 0.3)
    network.lossy("a", "b")
    assert not any(network.way("a", "b").lost() for _ in range(100))


@pytest.mark.parametrize("call, said", [
    (lambda net: net.lossy("a", "b", 1.5), "probability is 1.5: a number from 0 to 1"),
    (lambda net: net.lose_next("a", "b", -1), "count is -1"),
    (lambda net: net.slow("a", "b", factor=-1), "factor is -1"),
    (lambda net: recorded([]), "one or more numbers"),
])  # fmt: skip
def test_bad_input_gets_one_clear_line(world: World, call: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        call(world.net)


# --- who is dead ------------------------------------------------------------------------------------


def test_what_was_sent_arrives_though_its_sender_is_dead(world: World) -> None:
    server, node = world.server(), world.node("n1")

    async def main() -> None:
        r = world.client(server, node)
        node.create_task(r.incr("n"))
        await asyncio.sleep(0.0025)  # connected at 2 ms, asked at 3 ms
        node.kill()
        await asyncio.sleep(1)
        assert await world.client(server, "n2").get("n") == b"1"
        assert not server._peers.keys() - {p for p in server._peers if p.node_name == "n2"}

    world.do(main)


def test_a_paused_node_times_out_only_if_the_reply_did_not_come(world: World) -> None:
    server, node = world.server(), world.node("n1")

    async def main() -> None:
        r = world.client(server, node, request_timeout=1.0)
        first = node.create_task(world.note(r.ping()))
        await asyncio.sleep(0.0035)
        node.pause()
        await asyncio.sleep(10)
        node.resume()
        await first

    world.do(main)
    assert world.log == [(10003.5, True)]


def test_closing_a_client_closes_its_connections(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r = world.client(server)
        await r.ping()
        await r.pipeline(transaction=False).set("a", 1).execute()
        assert len(server._peers) == 2
        await r.aclose()
        await asyncio.sleep(0.01)
        assert not server._peers
        assert await r.ping()

    world.do(main)


def test_a_cancelled_command_leaves_no_reply_behind_for_the_next(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r = world.client(server)
        await r.set("k", "v")
        asked = asyncio.ensure_future(r.incr("n"))
        await asyncio.sleep(0.0005)
        asked.cancel()
        assert await r.get("k") == b"v"
        assert await r.get("n") == b"1"
        await asyncio.sleep(0.01)
        assert len(server._peers) == 1

    world.do(main)


# --- the record -------------------------------------------------------------------------------------


def test_every_message_is_recorded_with_its_way_and_fate(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r = world.client(server)
        world.net.names[b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"] = "mine"
        await r.execute_command("EVAL", "return 1", 0)
        world.net.lose_next("n1", "redis")
        await asyncio.wait([asyncio.ensure_future(r.set("key", "value"))], timeout=1)
        await r.aclose()

    world.do(main)
    request, reply, lost = world.net.messages()[2:5]
    assert request[:6] == (0.002, 0.003, "n1", "redis", "request", "mine") and not request.lost
    assert reply[:6] == (0.003, 0.004, "redis", "n1", "reply", "mine")
    assert lost == (0.004, None, "n1", "redis", "request", "SET", 11, "lost")


def test_the_schedulers_own_scripts_are_recorded_by_their_names(world: World) -> None:
    from labsched import Scheduler, manual
    from labsched.worlds.simulated.links import open_simulated

    async def body(ctx: Any) -> None: ...

    async def main() -> None:
        app = Scheduler(open_simulated(world.server(), "n1"), namespace="demo")
        app.add("report", manual(), body)
        async with app:
            await app.trigger("report")

    world.do(main)
    assert {"define", "enqueue"} <= {m.name for m in world.net.messages()}


def test_recording_can_be_switched_off(world: World) -> None:
    world.net.recording = False

    async def main() -> None:
        await world.client(world.server()).ping()

    world.do(main)
    assert world.net.messages() == []
