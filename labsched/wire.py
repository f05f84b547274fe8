"""EVALSHA with less work per call than redis-py's `execute_command`, which costs a third of a busy worker.

Commands are packed by hiredis in one go, and connections of the client's own pool are kept for a moment
between calls, since most calls are followed by another. Whatever the client's pool counts, limits and closes
stays so. A client with ways of its own (fakeredis, a single connection, a wrapper) is used as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import hiredis
import redis.asyncio as aioredis
from redis import exceptions as rex
from redis.asyncio.connection import AbstractConnection, ConnectionPool

from .scripts import script

KEEP = 0.05  # seconds for which a connection is kept from the pool after a call
ROOMY = 10  # a pool that allows fewer connections gets each back at once

Step = tuple[str, Sequence[Any]]


class Wire:
    """Runs scripts on one client, each call once. Not thread-safe, like the client. Raises what redis-py raises.

    Strings in a reply are bytes, or text when a client that is used as it is decodes them.
    """

    def __init__(self, redis: aioredis.Redis, prefix: str, *, trusted: bool = False) -> None:
        self._redis, self._prefix, self._trusted = redis, prefix, trusted
        self._kept: list[AbstractConnection] = []
        self._known: set[str] = set()  # scripts that the server has
        self._timer: asyncio.TimerHandle | None = None
        pool = getattr(redis, "connection_pool", None)
        self._plain = (
            type(redis).execute_command is aioredis.Redis.execute_command
            and type(pool) is ConnectionPool
            and not redis.single_connection_client
        )
        self._keeps = self._plain and pool is not None and pool.max_connections >= ROOMY

    async def evalsha(self, name: str, args: Sequence[Any]) -> Any:
        """Run one script."""
        (reply,) = await self.evalshas([(name, args)])
        return reply

    async def evalshas(self, steps: Sequence[Step]) -> list[Any]:
        """Run several scripts in one round trip, in order. One that raised raises here, after all were sent."""
        if len(steps) > 1 and not self._known.issuperset(name for name, _ in steps):
            # A script that the server has yet to learn would run after those behind it.
            return [await self.evalsha(name, args) for name, args in steps]
        if self._plain:
            replies = await self._send(b"".join(self._packed(step) for step in steps), len(steps))
        else:
            replies = await self._piped(steps)
        for i, reply in enumerate(replies):
            if isinstance(reply, rex.NoScriptError):
                self._known.clear()
                replies[i] = await self._whole(steps[i])
            elif isinstance(reply, Exception):
                raise reply
            self._known.add(steps[i][0])
        return replies

    async def command(self, *args: Any) -> Any:
        """Run any other command once."""
        if not self._plain:
            return await self._redis.execute_command(*args)
        (reply,) = await self._send(hiredis.pack_command(args), 1)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _packed(self, step: Step) -> bytes:
        name, args = step
        packed: bytes = hiredis.pack_command(
            ("EVALSHA", script(name, self._trusted)[1], 1, self._prefix, *args)
        )
        return packed

    async def _whole(self, step: Step) -> Any:
        """The script's text, for a server that never saw it or whose cache was flushed."""
        name, args = step
        return await self._redis.execute_command(
            "EVAL", script(name, self._trusted)[0], 1, self._prefix, *args
        )

    async def _piped(self, steps: Sequence[Step]) -> list[Any]:
        if len(steps) == 1:
            name, args = steps[0]
            try:
                sha = script(name, self._trusted)[1]
                return [await self._redis.execute_command("EVALSHA", sha, 1, self._prefix, *args)]
            except rex.NoScriptError as error:
                return [error]
        pipe = self._redis.pipeline(transaction=False)
        for name, args in steps:
            pipe.execute_command("EVALSHA", script(name, self._trusted)[1], 1, self._prefix, *args)
        return list(await pipe.execute(raise_on_error=False))

    async def _send(self, packed: bytes, count: int) -> list[Any]:
        connection = self._kept.pop() if self._kept else await self._redis.connection_pool.get_connection()
        try:
            writer = getattr(connection, "_writer", None)
            if isinstance(writer, asyncio.StreamWriter):
                # `send_packed_command` would make a task per call (Python 3.11) to bound the sending; the
                # bound on the reply does for both.
                writer.write(packed)
            else:
                await connection.send_packed_command([packed], check_health=False)
            replies = [await _read(connection) for _ in range(count)]
        except BaseException:
            # Its stream is broken or holds half a reply; what idles beside it is likely no better, and each
            # silent connection would cost another time limit.
            kept, self._kept = self._kept, []
            pool = self._redis.connection_pool
            for broken in (connection, *kept):
                await broken.disconnect(nowait=True)
                await pool.release(broken)
            await pool.disconnect(inuse_connections=False)
            raise
        await self._done(connection)
        return replies

    async def _done(self, connection: AbstractConnection) -> None:
        if not self._keeps:
            await self._redis.connection_pool.release(connection)
            return
        self._keep(connection)

    def _give_back(self) -> None:
        kept, self._kept, self._timer = self._kept, [], None
        for connection in kept:
            if not _released(self._redis.connection_pool, connection):
                self._keep(connection)

    def _keep(self, connection: AbstractConnection) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(KEEP, self._give_back)
        self._kept.append(connection)


def _released(pool: ConnectionPool, connection: AbstractConnection) -> bool:
    """Give a connection back without a task; False when the pool is busy, and later is better.

    A loop that stops in the same round would never begin the task, and its coroutine would never be awaited.
    """
    returning = pool.release(connection)
    try:
        returning.send(None)
    except StopIteration:
        return True
    # Somebody holds the pool's lock, the only thing that it waits for: nothing has happened, and nothing will.
    returning.close()
    return False


async def _read(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except rex.ResponseError as error:
        return error
