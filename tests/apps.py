"""Whole schedulers in this process, on one server, with timings that a loaded machine keeps."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest_asyncio
import redis
import redis.asyncio as aioredis
from cluster import NAMESPACE, Cluster
from invariants import violations
from servers import Relay, Server

from labsched import Scheduler, Settings
from labsched.connect import Opened, no_retry
from labsched.instance import Instance

TIMES = {
    "heartbeat_every": 0.3, "instance_lease": 4.0, "lease_margin": 1.0, "cancel_grace": 0.2, "drain_timeout": 5.0,
    "leader_lease": 4.0, "leader_renew_deadline": 3.0, "leader_retry": 0.5, "sweep_every": 0.3, "wake_fallback": 0.5,
}  # fmt: skip


def new_app(server: Server, *, client: Callable[..., Any] | None = None, **settings: Any) -> Scheduler:
    """An app with clients of its own on `server`."""
    make = client or functools.partial(server.client, retry=no_retry())
    url: Any = Opened(make(), make(), server.url)
    return Scheduler(
        url, namespace=NAMESPACE, settings=Settings(**{**TIMES, "pool_size": 4, **settings}), patience=3.0
    )


@asynccontextmanager
async def serving(app: Scheduler, *names: str) -> AsyncIterator[list[Instance]]:
    """Instances of one app, drained at the end."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(app.instance(name=name)) for name in names or ("i1",)]


def through(relay: Relay, socket_timeout: float = 1.0) -> Callable[[], aioredis.Redis]:
    """Makes clients whose link is that relay, and which resend nothing by themselves."""
    return lambda: aioredis.Redis(port=relay.port, socket_timeout=socket_timeout, retry=no_retry())


async def eventually(look: Callable[[], Any], within: float = 15.0) -> Any:
    """What `look` returns once that is true. For what has no event of its own; fails loudly, never by luck."""
    async with asyncio.timeout(within):
        while True:
            found = look()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.01)


async def check(server: Server) -> None:
    """The invariants of everything that was left behind."""
    await asyncio.sleep(0)
    made = Cluster(server)
    assert violations(await made.dump()) == []


@pytest_asyncio.fixture
async def app(anyserver: Server) -> AsyncIterator[Scheduler]:
    """An app on each of the three servers; not opened yet."""
    made = new_app(anyserver)
    made.server = anyserver  # type: ignore[attr-defined]
    yield made
    await check(anyserver)


@pytest_asyncio.fixture
async def valkey(valkey_process: Server) -> AsyncIterator[Server]:
    """The embedded server, emptied: for what does not depend on the kind of server."""
    with redis.Redis(host="127.0.0.1", port=valkey_process.port) as admin:
        admin.flushall()
    yield valkey_process
    await check(valkey_process)
    await valkey_process.close()
