"""What a node holds of a server: connections, and a `redis.asyncio.Redis` on them.

Encoded arguments go to the server as they are, without RESP and a socket; what redis-py makes of a reply is
redis-py's own code. Pipelines, transactions and subscriptions run on redis-py's pool with connections of ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import redis.asyncio as aioredis
from redis import exceptions as rex
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection

from labsched.connect import Opened, no_retry

from .channel import Channel, Command, Line
from .fakeserver import SimServer
from .node import Node, current_node


class SimConnection(AbstractConnection):
    """A connection for redis-py's pool, for whatever needs one to itself."""

    def __init__(self, *, line: Line, **options: Any) -> None:
        super().__init__(**options)
        self._line = line
        self._channel: Channel | None = None
        line.made += 1
        self._serial = line.made

    def __hash__(self) -> int:
        # The pool keeps connections in a set, and closes them in its order.
        return self._serial

    __eq__ = object.__eq__

    def repr_pieces(self) -> list[tuple[str, Any]]:
        return [("host", self._line.server.name)]

    def _host_error(self) -> str:
        return self._line.server.name

    @property
    def is_connected(self) -> bool:
        return self._channel is not None

    async def connect(self) -> None:
        if self._channel is None:
            self._channel = await self._line.dial()
            for reference in self._connect_callbacks:
                callback = reference()
                if callback is not None:
                    await callback(self)

    async def connect_check_health(
        self, check_health: bool = True, retry_socket_connect: bool = True
    ) -> None:
        await self.connect()

    async def _connect(self) -> None:
        await self.connect()

    async def disconnect(
        self, nowait: bool = False, error: Exception | None = None, failure_count: int | None = None,
        health_check_failed: bool = False,
    ) -> None:  # fmt: skip
        self._should_reconnect = False
        channel, self._channel = self._channel, None
        if channel is not None:
            self._line.hang_up(channel)

    async def can_read(self) -> bool:
        return self._channel is not None and self._channel.dirty

    can_read_destructive = can_read

    def pack_command(self, *words: Any) -> list[Any]:
        return [_encoded(words, self.encoder)]

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[Any]:
        return [_encoded(tuple(words), self.encoder) for words in commands]

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        await self.connect()
        assert self._channel is not None
        self._channel.send(command)

    async def read_response(
        self, disable_decoding: bool = False, timeout: float | None = None, *, disconnect_on_error: bool = True,
        push_request: bool | None = False,
    ) -> Any:  # fmt: skip
        if self._channel is None:
            raise rex.ConnectionError("Connection closed by server.")
        limit = self.socket_timeout if timeout is None else None if timeout == math.inf else timeout
        try:
            reply = await self._channel.receive(limit)
        except rex.TimeoutError:
            if timeout is not None:
                return None  # the caller asked for no longer
            if disconnect_on_error:
                await self.disconnect()
            raise
        except BaseException:
            if disconnect_on_error:
                await self.disconnect()
            raise
        if isinstance(reply, rex.ResponseError):
            raise reply
        return (
            _decoded(reply, self.encoder) if self.encoder.decode_responses and not disable_decoding else reply
        )

    async def read_responses(self, count: int) -> list[Any]:
        """The next replies, not decoded; an error reply is among them as an object."""
        replies: list[Any] = []
        while len(replies) < count:
            try:
                replies.append(await self.read_response(disable_decoding=True))
            except rex.ResponseError as error:
                replies.append(error)
            if self._channel is not None:
                replies += self._channel.at_hand(count - len(replies))
        return replies


class SimPool(aioredis.ConnectionPool):
    """redis-py's, without what it measures at every turn; most of a pipeline's time went there."""

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        connection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        self._in_use_connections.remove(connection)
        if connection.should_reconnect():
            await connection.disconnect()
        self._available_connections.append(connection)


class SimPipeline(Pipeline):
    """redis-py's, with less work for each call and for each reply."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands = self.command_stack
        if (
            not commands
            or self.scripts
            or self.connection
            or self.is_transaction
            or self.explicit_transaction
        ):
            return list(await super().execute(raise_on_error))
        connection = await self.connection_pool.get_connection()
        try:
            return await self._execute_pipeline(connection, commands, raise_on_error)
        finally:
            self.command_stack = []
            await self.connection_pool.release(connection)

    async def _execute_pipeline(self, connection: Any, commands: Any, raise_on_error: bool) -> list[Any]:
        await connection.send_packed_command(connection.pack_commands([args for args, _ in commands]))
        encoder, callbacks = connection.encoder, self.response_callbacks
        replies = [
            _shaped(reply, args[0], options, encoder, callbacks)
            for reply, (args, options) in zip(
                await connection.read_responses(len(commands)), commands, strict=True
            )
        ]
        if raise_on_error:
            self.raise_first_error(commands, replies)
        return replies


class SimRedis(aioredis.Redis):
    """`redis.asyncio.Redis` on a simulated network. A reply may take `request_timeout` seconds, connecting
    `connect_timeout`. Retries nothing. Its connections are closed when its `node` is killed."""

    def __init__(
        self, server: SimServer, node: Node | str, *, request_timeout: float | None = 2.0,
        connect_timeout: float | None = 2.0, decode_responses: bool = False,
    ) -> None:  # fmt: skip
        self._line = Line(server, node if isinstance(node, str) else node.name, connect_timeout)
        pool = SimPool(
            connection_class=SimConnection, line=self._line, socket_timeout=request_timeout, retry=no_retry(),
            protocol=2, driver_info=None, decode_responses=decode_responses,
        )  # fmt: skip
        super().__init__(connection_pool=pool)
        self.set_response_callback("HGETALL", _paired)
        self._limit = request_timeout
        self._idle: list[Channel] = []
        self._encoder = pool.get_encoder()  # type: ignore[no-untyped-call]
        if isinstance(node, Node):
            node.on_kill(self._line.hang_up_all)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """One command on a connection of its own, as redis-py does it, by a shorter way."""
        reply = await self._ask(_encoded(args, self._encoder))
        shaped = _shaped(reply, args[0], options, self._encoder, self.response_callbacks)
        if isinstance(shaped, Exception):
            raise shaped
        return shaped

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return SimPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    async def _ask(self, command: Command) -> Any:
        channel = None
        while self._idle and channel is None:
            channel = self._idle.pop()
            if channel.dirty:
                self._line.hang_up(channel)
                channel = None
        if channel is None:
            channel = await self._line.dial()
        try:
            channel.send([command])
            reply = await channel.receive(self._limit)
        except BaseException:
            # What idles beside a broken connection is likely no better (as in `labsched.wire`).
            for broken in (channel, *self._idle):
                self._line.hang_up(broken)
            self._idle.clear()
            raise
        self._idle.append(channel)
        return reply

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections; a later command opens one again."""
        self._idle.clear()
        await self.connection_pool.disconnect()
        self._line.hang_up_all()


def _encoded(words: tuple[Any, ...], encoder: Any) -> Command:
    if isinstance(words[0], str) and " " in words[0]:
        words = (*words[0].split(), *words[1:])
    return [
        word if type(word) is bytes else word.encode() if type(word) is str else encoder.encode(word)
        for word in words
    ]


def _shaped(reply: Any, command: Any, options: dict[str, Any], encoder: Any, callbacks: Any) -> Any:
    """What redis-py makes of a reply; an error comes back as it is."""
    if isinstance(reply, Exception):
        return options.get("EMPTY_RESPONSE", reply) if isinstance(reply, rex.ResponseError) else reply
    if encoder.decode_responses and "NEVER_DECODE" not in options:
        reply = _decoded(reply, encoder)
    callback = callbacks.get(command)
    if callback is None:
        return reply
    if options:
        options = {
            name: value
            for name, value in options.items()
            if name not in ("keys", "NEVER_DECODE", "EMPTY_RESPONSE")
        }
    return callback(reply, **options)


def _paired(response: Any, **kwargs: Any) -> dict[Any, Any]:
    """What redis-py makes of HGETALL's reply, which is a mapping already when it came by the shorter way."""
    if isinstance(response, dict):
        return response
    fields = iter(response)
    return dict(zip(fields, fields, strict=True))


def _decoded(reply: Any, encoder: Any) -> Any:
    if isinstance(reply, list):
        return [_decoded(item, encoder) for item in reply]
    if isinstance(reply, dict):
        return {_decoded(key, encoder): _decoded(value, encoder) for key, value in reply.items()}
    return encoder.decode(reply) if isinstance(reply, bytes) else reply


def open_simulated(
    server: SimServer,
    node: Node | str | None = None,
    *,
    request_timeout: float = 2.0,
    blocking_timeout: float = 10.0,
) -> Opened:
    """Two clients of one server for a `Scheduler` on `node` (default: the node whose code is running)."""
    where = node or current_node() or "outside"
    return Opened(
        SimRedis(server, where, request_timeout=request_timeout, connect_timeout=request_timeout),
        SimRedis(server, where, request_timeout=blocking_timeout, connect_timeout=request_timeout),
        f"sim:{server.name}",
        trusted=True,
    )
