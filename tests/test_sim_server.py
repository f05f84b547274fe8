"""A server of the simulated world: what it answers, and whom it makes wait."""

import asyncio

import pytest
import redis
from simnet import World

from labsched.worlds.simulated.loop import SimLoop


@pytest.fixture
def world(sim_loop: SimLoop) -> World:
    return World(sim_loop)


# --- commands ---------------------------------------------------------------------------------------


def test_a_client_of_redis_py_works_on_it_as_on_any_server(world: World) -> None:
    async def main() -> None:
        r = world.client(world.server())
        assert await r.set("a", 1) is True and await r.get("a") == b"1"
        assert await r.xadd("s", {"f": "v"}, id="1-1") == b"1-1"
        assert await r.xrange("s") == [(b"1-1", {b"f": b"v"})]
        assert await r.scan(0, match="a*") == (0, [b"a"]) and await r.type("s") == b"stream"
        assert await r.hset("h", mapping={"x": 1.5}) == 1 and await r.hgetall("h") == {b"x": b"1.5"}
        assert await r.execute_command("CONFIG SET", "maxmemory", "0") in (True, b"OK", "OK")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            await r.incr("h")
        await r.aclose()

    world.do(main)


def test_a_client_that_decodes_gets_text(world: World) -> None:
    async def main() -> None:
        r = world.client(world.server(), decode_responses=True)
        await r.rpush("l", "ü", "x")
        assert await r.lrange("l", 0, -1) == ["ü", "x"]
        pipe = r.pipeline(transaction=False)
        pipe.lindex("l", 0)
        assert await pipe.execute() == ["ü"]
        await r.hset("h", "ü", "x")
        assert await r.hgetall("h") == {"ü": "x"}

    world.do(main)


def test_a_pipeline_is_one_message_and_an_error_in_it_stops_nothing(world: World) -> None:
    async def main() -> None:
        r = world.client(world.server())
        pipe = r.pipeline(transaction=False)
        pipe.set("a", 1)
        pipe.hget("a", "f")
        pipe.incr("a")
        found = await pipe.execute(raise_on_error=False)
        assert (found[0], type(found[1]), found[2]) == (True, redis.ResponseError, 2)

    world.do(main)
    requests = [m for m in world.net.messages() if m.kind == "request"]
    assert [m.name for m in requests] == ["SET +2"]


def test_pipelines_one_after_the_other_use_one_connection_and_a_broken_one_is_replaced(world: World) -> None:
    async def main() -> None:
        server = world.server()
        r = world.client(server)

        async def twice() -> None:
            pipe = r.pipeline(transaction=False)
            pipe.hset("h", "a", 1).hgetall("h")
            assert (await pipe.execute())[1] == {b"a": b"1"} and not pipe.command_stack

        await twice()
        await twice()
        server.restart()
        with pytest.raises(redis.ConnectionError):
            await r.pipeline(transaction=False).ping().execute()
        await twice()

    world.do(main)
    assert sum(m.kind == "connect" for m in world.net.messages()) == 2


def test_a_watched_key_that_changes_fails_the_transaction(world: World) -> None:
    async def main() -> None:
        server = world.server()
        r, other = world.client(server), world.client(server, "n2")
        async with r.pipeline() as pipe:
            await pipe.watch("k")
            await other.set("k", "theirs")
            pipe.multi()
            pipe.set("k", "ours")
            with pytest.raises(redis.WatchError):
                await pipe.execute()
        assert await r.get("k") == b"theirs"

    world.do(main)


def test_a_subscriber_hears_what_is_published(world: World) -> None:
    async def main() -> None:
        server = world.server()
        ears = world.client(server).pubsub()
        await ears.subscribe("c")
        assert (await ears.get_message(timeout=1))["type"] == "subscribe"
        assert await world.client(server, "n2").publish("c", "hello") == 1
        assert (await ears.get_message(timeout=1))["data"] == b"hello"
        before = world.loop.time()
        assert await ears.get_message(timeout=3) is None
        assert world.loop.time() == pytest.approx(before + 3)

    world.do(main)


# --- waiting ----------------------------------------------------------------------------------------


def test_who_waits_longest_is_served_first(world: World) -> None:
    server = world.server()
    served: list[str] = []

    async def wait(name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        await world.client(server, name).blpop(["box"], 60)
        served.append(name)

    async def main() -> None:
        names = [f"w{i}" for i in range(12)]
        order = names[::-1]
        waiting = [asyncio.ensure_future(wait(name, 0.01 * i)) for i, name in enumerate(order)]
        await asyncio.sleep(5)
        r = world.client(server, "pusher")
        for _ in names:
            await r.rpush("box", "x")
        await asyncio.gather(*waiting)
        assert served == order

    world.do(main)


def test_one_push_of_three_lines_serves_three(world: World) -> None:
    server = world.server()

    async def main() -> None:
        waiting = [asyncio.ensure_future(world.client(server, f"w{i}").blpop(["box"], 60)) for i in range(4)]
        await asyncio.sleep(1)
        await world.client(server, "pusher").rpush("box", "a", "b", "c")
        await asyncio.sleep(1)
        assert [w.done() for w in waiting] == [True, True, True, False]
        assert [w.result()[1] for w in waiting[:3]] == [b"a", b"b", b"c"]
        waiting[3].cancel()

    world.do(main)


def test_a_wait_ends_after_its_time_by_the_virtual_clock(world: World) -> None:
    async def main() -> None:
        r = world.client(world.server())
        await r.ping()
        began = world.loop.time()
        assert await r.blpop(["box"], 1.5) is None
        assert world.loop.time() - began == pytest.approx(1.502)  # and there and back
        assert await r.xread({"s": "$"}, block=700) in ([], None, {})
        assert world.loop.time() - began == pytest.approx(2.204)

    world.do(main)


def test_a_script_that_pushes_wakes_who_waits_and_so_does_a_new_stream_entry(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r, other = world.client(server), world.client(server, "n2")
        popped = asyncio.ensure_future(r.blpop(["box"], 60))
        read = asyncio.ensure_future(r.xread({"s": "$"}, block=60_000))
        await asyncio.sleep(1)
        await other.eval(
            "redis.call('RPUSH', KEYS[1], 'x') return redis.call('XADD', KEYS[2], '1-1', 'f', 'v')",
            2,
            "box",
            "s",
        )
        assert await popped == (b"box", b"x")
        assert await read == [[b"s", [(b"1-1", {b"f": b"v"})]]]
        assert world.loop.time() < 1.1

    world.do(main)


def test_a_blocking_move_hands_on_to_who_waits_for_its_target(world: World) -> None:
    server = world.server()

    async def main() -> None:
        last = asyncio.ensure_future(world.client(server, "a").blpop(["two"], 60))
        await asyncio.sleep(0.1)
        moved = asyncio.ensure_future(world.client(server, "b").blmove("one", "two", 60))
        await asyncio.sleep(0.1)
        await world.client(server, "c").rpush("one", "x")
        assert (await moved, await last) == (b"x", (b"two", b"x"))

    world.do(main)


def test_the_box_of_a_killed_node_is_read_by_nobody(world: World) -> None:
    server, node = world.server(), world.node("doomed")
    node.create_task(world.client(server, node).blpop(["box"], 60))

    async def main() -> None:
        await asyncio.sleep(1)
        assert len(server._waiting) == 1
        node.kill()
        await asyncio.sleep(0.01)
        assert len(server._waiting) == 0
        r = world.client(server, "other")
        await r.rpush("box", "line")
        assert await r.llen("box") == 1

    world.do(main)


def test_a_killed_node_that_is_cut_off_still_takes_one_line_with_it(world: World) -> None:
    server, node = world.server(), world.node("doomed")
    node.create_task(world.client(server, node).blpop(["box"], 60))

    async def main() -> None:
        await asyncio.sleep(1)
        world.net.partition("doomed")
        node.kill()
        r = world.client(server, "other")
        await r.rpush("box", "line")
        assert await r.llen("box") == 0

    world.do(main)
