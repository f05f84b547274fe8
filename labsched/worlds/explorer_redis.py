"""The `redis.asyncio.Redis` of a program under exploration: each server command is a step that somebody grants.

All of redis-py works as it is (pipelines, WATCH, scripts); only what would be a connection is ours. What the
server does as one is one step: a command, a script, MULTI to EXEC.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Generator
from typing import Any, cast

from redis import exceptions as rex
from redis.asyncio.client import Pipeline

from .simulated.channel import Command
from .simulated.links import SimRedis
from .simulated.mending import MendedServer
from .simulated.scripting import ScriptSocket


class Ask:
    """What a client waits for: that the server does these commands, as one."""

    __slots__ = ("channel", "commands", "reply")

    def __init__(self, commands: list[Command], channel: StepChannel) -> None:
        self.commands, self.channel = commands, channel
        self.reply = ""  # the last command's, once they are done

    def __await__(self) -> Generator[Ask, None, None]:
        yield self

    def __str__(self) -> str:
        return "; ".join(" ".join(map(_word, command)) for command in self.commands)

    def serve(self, server: MendedServer, now: float, serial: int) -> bool:
        """Have it done. False when the server lets the client wait."""
        replies, socket = self.channel.replies, self.channel.socket
        assert socket is not None
        for command in self.commands:
            server.execute(socket, command, now, serial)
        server.changed.clear()
        if replies:
            self.reply = text(replies[-1])
        return not socket.waits()


class StepChannel:
    """A connection; requests wait in it until their replies are asked for, and go to the server then."""

    def __init__(self, server: MendedServer) -> None:
        self.replies: deque[Any] = deque()
        self._outbox: deque[list[Command]] = deque()
        self.socket: ScriptSocket | None = ScriptSocket(server, self.replies.append)

    @property
    def dirty(self) -> bool:
        return bool(self.replies or self._outbox)

    def send(self, commands: list[Command]) -> None:
        if commands[0][0] == b"MULTI" and commands[-1][0] == b"EXEC":
            self._outbox.append(commands)
        else:
            self._outbox.extend([command] for command in commands)

    async def receive(self, limit: float | None) -> Any:
        """The next reply; an error reply is an exception object. Here a client stops and others may go on."""
        while not self.replies:
            if not self._outbox:
                raise rex.ConnectionError("nothing was asked, so nothing will be answered")
            await Ask(self._outbox.popleft(), self)
        return self.replies.popleft()

    def close(self) -> None:
        """Lets go of the server too: whoever died may be kept, its server need not."""
        if self.socket is not None:
            self.socket.closed()
            self.socket = None


class StepLine:
    """Stands where SimRedis has the connections of a node."""

    name = "server"  # as `line.server.name`, for redis-py's messages

    def __init__(self) -> None:
        self.made = 0
        self.server: Any = self
        self.data: MendedServer

    async def dial(self) -> StepChannel:
        self.made += 1
        return StepChannel(self.data)

    def hang_up(self, channel: StepChannel) -> None:
        channel.close()

    def hang_up_all(self) -> None:
        """They end with the server, which each run has anew."""


class StepPipeline(Pipeline):
    """redis-py's own, without the asyncio task in which it gives its connection back."""

    async def reset(self) -> None:  # type: ignore[override]
        self.command_stack, self.scripts = [], set()
        try:
            if self.watching and self.connection:
                await self.connection.send_command("UNWATCH")
                await self.connection.read_response()
        finally:
            self.watching = self.explicit_transaction = False
            connection, self.connection = self.connection, None
            if connection:
                await self.connection_pool.release(connection)


class StepRedis(SimRedis):
    """One client's handle, for one run after another: `begin` gives it the server of the next."""

    def __init__(self, *, decode_responses: bool) -> None:
        line = StepLine()
        super().__init__(cast(Any, line), "client", decode_responses=decode_responses)
        self._line = cast(Any, line)
        self.connection_pool.connection_kwargs["line"] = line

    def begin(self, server: MendedServer) -> None:
        """Forget all connections: a client that died may have held some."""
        cast(StepLine, self._line).data = server
        self._idle.clear()
        self.connection_pool.reset()

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        return StepPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def register_script(self, script: Any) -> Any:
        """As if somebody had loaded it before: NOSCRIPT and SCRIPT LOAD once in a server's life are no step."""
        source = script.encode() if isinstance(script, str) else bytes(script)
        cache = cast(StepLine, self._line).data.script_cache
        cache[hashlib.sha1(source).hexdigest().encode()] = source
        return super().register_script(script)


def flat(reply: dict[Any, Any]) -> list[Any]:
    """HGETALL's reply as the server sends it; the fake one hands it over as a mapping."""
    return list(itertools.chain.from_iterable(reply.items()))


def text(reply: Any) -> str:
    """A reply for people."""
    if reply is None:
        return "nil"
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "backslashreplace")
    if isinstance(reply, dict):
        return text(flat(reply))
    if isinstance(reply, list):
        return f"[{', '.join(map(text, reply))}]"
    return str(reply)


def _word(word: bytes) -> str:
    shown = word.decode("utf-8", "backslashreplace")
    shown = " ".join(shown.split()) if shown else '""'
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
