"""A link that can be cut: what passes, what waits, what is told."""

import asyncio
import contextlib
import time

import pytest
from redis import exceptions as rex

from labsched.connect import open_url
from labsched.errors import ConfigError
from labsched.worlds.relay import Links, Relay
from labsched.worlds.server import Server


class Echo:
    """A server that answers each piece with the same piece, and keeps what it heard."""

    def __init__(self):
        self.heard = b""
        self.ended = asyncio.Event()
        self.arrived = asyncio.Event()

    async def serve(self, reader, writer):
        try:
            while piece := await reader.read(65536):
                self.heard += piece
                self.arrived.set()
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        self.ended.set()
        writer.close()

    async def start(self, port=0):
        self.listener = await asyncio.start_server(self.serve, "127.0.0.1", port)
        self.port = self.listener.sockets[0].getsockname()[1]
        return self


@pytest.fixture
async def echo():
    server = await Echo().start()
    yield server
    server.listener.close()


@pytest.fixture
async def relay(echo):
    made = Relay("127.0.0.1", echo.port)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(autouse=True)
async def patience():
    async with asyncio.timeout(20):
        yield


async def silent(reader, seconds=0.1):
    """Nothing comes, and the connection stays open."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), seconds)
    return not reader.at_eof()


async def test_bytes_pass_both_ways(relay):
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    data = bytes(range(256)) * 4000
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    assert relay.connections == 1


async def test_a_cut_closes_nothing_and_healing_delivers_what_was_held(relay, echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    relay.cut()
    writer.write(b"late")
    assert await silent(reader)
    assert echo.heard == b""
    relay.heal()
    assert await reader.readexactly(4) == b"late"


async def test_with_requests_cut_replies_still_pass(relay, echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    relay.cut("replies")
    writer.write(b"a")
    await echo.arrived.wait()
    relay.heal()
    relay.cut("requests")
    writer.write(b"b")
    assert await reader.readexactly(1) == b"a"
    assert await silent(reader)
    assert echo.heard == b"a"


async def test_with_replies_cut_requests_take_effect(relay, echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    relay.cut("replies")
    writer.write(b"done")
    await echo.arrived.wait()
    assert echo.heard == b"done"
    assert await silent(reader)
    relay.heal()
    assert await reader.readexactly(4) == b"done"


@pytest.mark.parametrize(("direction", "heard"), [("both", b""), ("requests", b""), ("replies", b"x")])
async def test_new_connections_are_accepted_while_cut_and_hear_nothing(relay, echo, direction, heard):
    relay.cut(direction)
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(b"x")
    if heard:
        await echo.arrived.wait()
    assert await silent(reader)
    assert echo.heard == heard
    relay.heal()
    assert await reader.readexactly(1) == b"x"


async def test_the_end_of_a_connection_is_no_news_while_cut(relay, echo):
    _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(b"x")
    await echo.arrived.wait()
    relay.cut()
    writer.close()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(echo.ended.wait(), 0.1)
    relay.heal()
    await echo.ended.wait()


async def test_a_cut_link_holds_a_bounded_amount(relay):
    relay.cut()
    _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    piece, written = b"x" * 65536, 0
    with pytest.raises(TimeoutError):
        while written < 100_000_000:
            writer.write(piece)
            written += len(piece)
            await asyncio.wait_for(writer.drain(), 0.2)
    # Here the kernel's socket buffers are counted too, which it may grow to a few MB each.
    assert written < 20_000_000
    writer.transport.abort()


async def test_drop_closes_all_connections_and_lets_new_ones_in(relay):
    reader, _ = await asyncio.open_connection("127.0.0.1", relay.port)
    other, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(b"x")
    assert await other.readexactly(1) == b"x"
    relay.drop()
    for each in (reader, other):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await each.readexactly(1)
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(b"y")
    assert await reader.readexactly(1) == b"y"


async def test_the_last_reply_arrives_before_the_end():
    async def serve(reader, writer):
        await reader.read(1)
        writer.write(b"x" * 5_000_000)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    relay = Relay("127.0.0.1", listener.sockets[0].getsockname()[1])
    await relay.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(b"?")
    assert len(await reader.read()) == 5_000_000
    await relay.stop()
    listener.close()


async def test_a_target_that_is_down_ends_the_connection_and_may_come_back(relay, echo):
    echo.listener.close()
    await echo.listener.wait_closed()
    reader, _ = await asyncio.open_connection("127.0.0.1", relay.port)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    back = await Echo().start(echo.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    back.listener.close()


async def test_delay_holds_each_piece_back_both_ways(echo):
    relay = Relay("127.0.0.1", echo.port, delay=0.1)
    await relay.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    began = time.monotonic()
    writer.write(b"x")
    await reader.readexactly(1)
    assert time.monotonic() - began >= 0.2
    await relay.stop()


async def test_an_unknown_direction_is_refused(relay):
    with pytest.raises(ConfigError, match="allowed are both, requests, replies"):
        relay.cut("sideways")


async def test_links_live_on_while_the_callers_loop_stands_still():
    """A redis client behind a cut link times out, its late request arrives, and a restart is survived."""
    links = Links()
    async with Server(appendonly="always") as server:
        there = links.add("i1", "127.0.0.1", server.port)
        made = open_url(server.url.replace(f":{server.port}/", f":{there}/"), request_timeout=0.2)
        direct = open_url(server.url)
        assert await made.redis.incr("x") == 1
        links.cut("i1", "both")
        with pytest.raises(rex.TimeoutError):
            await made.redis.incr("x")
        assert await direct.redis.get("x") == b"1"
        links.heal("i1")
        while await direct.redis.get("x") != b"2":
            time.sleep(0.01)  # noqa: ASYNC251  (this loop does nothing at all meanwhile; the link does)
        await asyncio.to_thread(server.restart)
        assert await made.redis.incr("x") == 3
        links.drop("i1")
        with contextlib.suppress(rex.ConnectionError):  # unless the client has noticed in time
            await made.redis.get("x")
        assert await made.redis.incr("x") == 4
        await made.close()
        await direct.close()
    links.close()
    links.close()
