"""A look at a server's data from outside the world: no message, no time, whatever is broken."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from redis.asyncio.client import Pipeline

from labsched.app import Scheduler
from labsched.connect import Opened

from .clocks import sim_host
from .fakeserver import SimServer
from .links import SimRedis
from .node import Node
from .scripting import ScriptSocket

T = TypeVar("T")


class DirectRedis(SimRedis):
    """Commands are executed on the spot, also on a server that is stopped, cut off or full. For reading:
    what it writes is in no replica's history."""

    def __init__(self, server: SimServer, node: Node) -> None:
        super().__init__(server, node)
        self._server = server

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _DirectPipeline(self, transaction, shard_hint)

    async def _ask(self, command: list[bytes]) -> Any:
        replies: list[Any] = []
        data = self._server.data
        socket = ScriptSocket(data, replies.append)
        socket.never_waits = True
        data.execute(socket, command, self._server.clock.now(), 0)
        socket.closed()
        return replies[0]


class _DirectPipeline(Pipeline):
    """One command after the other, each on the spot. redis-py's would go through the network."""

    def __init__(self, redis: DirectRedis, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(redis.connection_pool, redis.response_callbacks, transaction, shard_hint)
        self._redis = redis

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands, self.command_stack = self.command_stack, []
        return [await self._redis.execute_command(*args, **options) for args, options in commands]


def observer(redis: DirectRedis, node: Node, namespace: str, seed: object) -> Scheduler:
    """A client (still to be opened) that sees the namespace as it is, without taking part."""
    opened = Opened(redis, redis, "sim:observer", trusted=True)
    return Scheduler(opened, namespace=namespace, host=sim_host(node, seed))


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The outcome of a coroutine of the observer, which never has to wait; inside a running world."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("the observer never waits")
