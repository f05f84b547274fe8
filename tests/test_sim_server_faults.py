"""What can go wrong with a server of the simulated world: down, restarted, failed over, slow, full, paused."""

import asyncio
from typing import Any

import pytest
import redis
from simnet import World

from labsched.errors import ConfigError
from labsched.worlds.simulated.loop import SimLoop

SHA = "return redis.call('INCR', KEYS[1])"


@pytest.fixture
def world(sim_loop: SimLoop) -> World:
    return World(sim_loop)


# --- up and down ------------------------------------------------------------------------------------


def test_a_server_that_is_down_refuses_and_one_that_goes_down_closes(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r = world.client(server)
        await r.set("k", "v")
        blocked = asyncio.ensure_future(r.blpop(["box"], 60))
        await asyncio.sleep(1)
        server.stop()
        with pytest.raises(redis.ConnectionError, match="closed by server"):
            await blocked
        with pytest.raises(
            redis.ConnectionError, match=r"Error 111 connecting to redis:6379. Connection refused"
        ):
            await r.get("k")
        server.start()
        assert await r.get("k") == b"v"

    world.do(main)


@pytest.mark.parametrize("keep", [True, False])
def test_a_restart_keeps_the_data_or_loses_it_and_forgets_scripts_either_way(
    world: World, keep: bool
) -> None:
    server = world.server()

    async def main() -> None:
        r = world.client(server)
        sha = await r.script_load(SHA)
        assert await r.evalsha(sha, 1, "n") == 1
        server.restart(keep=keep, down_for=2.0)
        await asyncio.sleep(1.9)
        assert not server.up
        await asyncio.sleep(0.2)
        with pytest.raises(redis.exceptions.NoScriptError):
            await r.evalsha(sha, 1, "n")
        assert await r.get("n") == (b"1" if keep else None)

    world.do(main)


def test_a_stop_calls_off_the_start_that_is_under_way(world: World) -> None:
    server = world.server()

    async def main() -> None:
        server.restart(down_for=2.0)
        server.stop()
        await asyncio.sleep(5)
        assert not server.up

    world.do(main)


def test_a_client_that_missed_the_restart_is_told_when_it_speaks(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r = world.client(server)
        await r.set("k", "v")
        world.net.partition("n1")
        server.restart()
        world.net.heal("n1")
        with pytest.raises(redis.ConnectionError, match="closed by server"):
            await r.get("k")
        assert await r.get("k") == b"v"

    world.do(main)


def test_what_was_under_way_when_the_server_went_down_is_not_done(world: World) -> None:
    server = world.server(service=1.0)

    async def main() -> None:
        r = world.client(server)
        asked = asyncio.ensure_future(r.incr("n"))
        await asyncio.sleep(0.5)
        server.restart()
        with pytest.raises(redis.ConnectionError):
            await asked
        await asyncio.sleep(2)
        assert await world.client(server, "n2").get("n") is None

    world.do(main)


def test_a_key_expires_for_a_script_that_is_called_by_its_sha(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r = world.client(server)
        sha = await r.script_load("return redis.call('GET', KEYS[1])")
        await r.set("k", "v", px=500)
        assert await r.evalsha(sha, 1, "k") == b"v"
        await asyncio.sleep(1)
        assert await r.evalsha(sha, 1, "k") is None

    world.do(main)


# --- failover ---------------------------------------------------------------------------------------


def test_the_replica_has_what_the_server_had_the_lag_ago(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r = world.client(server)
        for n in range(10):
            await r.rpush("l", n)
            await asyncio.sleep(0.1)
        server.failover(lag=0.35)
        with pytest.raises(redis.ConnectionError):
            await r.ping()
        assert await r.lrange("l", 0, -1) == [b"%d" % n for n in range(7)]

    world.do(main)


def test_the_replica_repeats_effects_not_luck_nor_time(world: World) -> None:
    server = world.server()
    script = """
    redis.call('SET', KEYS[1], redis.call('TIME')[1] .. redis.call('TIME')[2])
    return redis.call('SPOP', KEYS[2])
    """

    async def main() -> None:
        r = world.client(server)
        await r.sadd("s", *range(50))
        sha = await r.script_load(script)
        for i in range(5):
            await r.evalsha(sha, 2, f"t{i}", "s")
            await asyncio.sleep(0.123)
        popped = asyncio.ensure_future(r.blpop(["box"], 60))
        await asyncio.sleep(0.5)
        await world.client(server, "n2").rpush("box", "a", "b")
        await popped
        async with r.pipeline(transaction=True) as pipe:
            pipe.incr("n")
            pipe.xadd("st", {"a": "b"})
            await pipe.execute()
        before = await dump(r)
        server.failover()
        assert await dump(world.client(server, "n3")) == before

    async def dump(r: Any) -> Any:
        times = [await r.get(f"t{i}") for i in range(5)]
        return (
            times,
            sorted(await r.smembers("s")),
            await r.lrange("box", 0, -1),
            await r.get("n"),
            await r.xrange("st"),
        )

    world.do(main)


def test_a_script_within_a_transaction_is_done_at_exec_and_by_the_replica_too(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r = world.client(server)
        sha = await r.script_load(SHA)
        async with r.pipeline(transaction=True) as pipe:
            pipe.evalsha(sha, 1, "n")
            pipe.evalsha(sha, 1, "n")
            assert await pipe.execute() == [1, 2]
        server.failover()
        assert await world.client(server, "n2").get("n") == b"2"

    world.do(main)


def test_the_new_server_may_have_a_clock_that_is_behind(world: World) -> None:
    server = world.server()

    async def main() -> None:
        before = (await world.client(server).time())[0]
        await asyncio.sleep(5)
        server.failover(offset=-60.0, down_for=1.0)
        await asyncio.sleep(1.5)
        assert (await world.client(server).time())[0] < before - 50

    world.do(main)


def test_without_a_history_there_is_nothing_to_fail_over_to(world: World) -> None:
    with pytest.raises(ConfigError, match="keeps no history"):
        world.server(history=False).failover()
    with pytest.raises(ConfigError, match="lag is -1"):
        world.server().failover(lag=-1)


# --- slow, full, paused -----------------------------------------------------------------------------


def test_a_slow_server_does_one_command_after_the_other(world: World) -> None:
    server = world.server(service=0.1)

    async def main() -> None:
        clients = [world.client(server, f"n{i}") for i in range(3)]
        await asyncio.gather(*(world.note(r.incr("n")) for r in clients))
        server.service = 0.0
        await world.note(clients[0].incr("n"))

    world.do(main)
    # To connect takes 2 ms, to be asked and to answer 1 ms each.
    assert world.log == [(104, 1), (204, 2), (304, 3), (306, 4)]


def test_a_paused_server_answers_when_it_resumes(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r, other = world.client(server), world.client(server, "n2", request_timeout=2.0)
        await r.set("k", "v")
        blocked = asyncio.ensure_future(world.note(r.blpop(["box"], 1)))
        await asyncio.sleep(0.5)
        server.pause()
        asked = asyncio.ensure_future(world.note(r.get("k")))
        with pytest.raises(redis.TimeoutError):
            await other.incr("n")
        await asyncio.sleep(1)
        assert not world.log
        server.resume()
        await asyncio.gather(asked, blocked)
        assert sorted(repr(reply) for _, reply in world.log) == ["None", "b'v'"]
        # Nobody waited for the reply any more, but the request had arrived.
        assert await other.get("n") == b"1"

    world.do(main)


def test_out_of_memory_and_read_only_are_told_as_redis_tells_them(world: World) -> None:
    server = world.server()

    async def main() -> None:
        r = world.client(server)
        await r.set("k", "v")
        server.full = True
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            await r.eval("return redis.call('SET', KEYS[1], 'x')", 1, "k")
        assert await r.get("k") == b"v"
        server.full, server.read_only = False, True
        with pytest.raises(redis.exceptions.ReadOnlyError):
            await r.set("k", "x")
        server.restart(keep=False)
        with pytest.raises(redis.ConnectionError):
            await r.get("k")
        with pytest.raises(redis.exceptions.ReadOnlyError):
            await r.set("k", "x")
        server.read_only = False
        assert await r.set("k", "x") is True

    world.do(main)


# --- several ----------------------------------------------------------------------------------------


def test_five_servers_have_clocks_data_and_faults_of_their_own(world: World) -> None:
    servers = [world.server(f"r{i}", clock=world.clock(offset=10.0 * i)) for i in range(5)]

    async def main() -> None:
        clients = [world.client(server) for server in servers]
        servers[3].stop()
        servers[4].full = True
        replies = await asyncio.gather(
            *(r.set("lock", "me", nx=True, px=1000) for r in clients), return_exceptions=True
        )
        assert replies[:3] == [True, True, True]
        assert [type(reply) for reply in replies[3:]] == [
            redis.ConnectionError,
            redis.exceptions.OutOfMemoryError,
        ]
        times = [(await r.time())[0] for r in clients[:3]]
        assert [t - times[0] for t in times] == [0, 10, 20]
        servers[1].clock.jump(5)
        assert [await r.exists("lock") for r in clients[:3]] == [1, 0, 1]

    world.do(main)
