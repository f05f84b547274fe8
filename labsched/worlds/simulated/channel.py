"""One connection of a node to a server, and all that a client has of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redis import exceptions as rex

if TYPE_CHECKING:
    from .fakeserver import SimServer

Command = list[bytes]


class Channel:
    """One connection, as its node holds it: requests go out, replies come in, each in order."""

    __slots__ = (
        "_answered",
        "_failed",
        "_inbox",
        "_server",
        "_waiter",
        "back_at",
        "is_open",
        "node_name",
        "out_at",
    )

    def __init__(self, server: SimServer, node_name: str) -> None:
        self._server, self.node_name = server, node_name
        self._inbox: deque[Any] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._failed = ""
        self._answered = False
        self.is_open = False
        self.out_at = self.back_at = 0.0  # when the last message of that direction arrives

    @property
    def dirty(self) -> bool:
        """Something is there that nobody has asked for, or the other end is closed."""
        return bool(self._inbox or self._failed)

    # --- the node's side ------------------------------------------------------------------------------

    async def open(self, limit: float | None) -> None:
        """Raises ConnectionError when refused, TimeoutError after `limit` seconds."""
        self._send("connect", (), 0, self._server.connected, self)
        try:
            while not self._answered:
                await self._wait(limit, "Timeout connecting to server")
        except BaseException:
            self.close()
            raise
        if self._failed:
            raise rex.ConnectionError(self._failed)

    def send(self, commands: list[Command]) -> None:
        """Put commands on their way, in one message."""
        what: tuple[Any, ...] = ()
        size = 0
        if self._server.network.recording:
            first = commands[0]
            what = (first[0], first[1] if len(first) > 1 else b"", len(commands) - 1)
            size = sum(sum(map(len, command)) for command in commands)
        self._send("request", what, size, self._server.requested, self, commands, what)

    async def receive(self, limit: float | None) -> Any:
        """The next reply, as the server gave it; an error reply is an exception object.

        Raises TimeoutError after `limit` seconds, ConnectionError when the connection is closed.
        """
        while not self._inbox:
            if self._failed:
                raise rex.ConnectionError(self._failed)
            await self._wait(limit, "Timeout reading from")
        return self._inbox.popleft()

    def at_hand(self, most: int) -> list[Any]:
        """Up to so many replies that are there already."""
        inbox = self._inbox
        return [inbox.popleft() for _ in range(min(most, len(inbox)))]

    def close(self) -> None:
        """Whatever still comes is dropped; the server hears of it unless the message is lost."""
        if self.is_open or not self._answered:
            self._send("close", (), 0, self._server.closed, self)
        self.is_open, self._answered, self._failed = False, True, "Connection closed by server."

    def _send(
        self, kind: str, what: tuple[Any, ...], size: int, deliver: Callable[..., object], *args: Any
    ) -> None:
        server = self._server
        self.out_at = server.network.send(
            self.node_name, server.name, kind, what, size, self.out_at, deliver, *args
        )

    async def _wait(self, limit: float | None, what: str) -> None:
        loop = self._server.network.loop
        self._waiter = waiter = loop.create_future()
        timer = (
            None if limit is None else loop.call_later(limit, _give_up, waiter, f"{what} {self._server.name}")
        )
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    # --- what arrives ---------------------------------------------------------------------------------

    def accepted(self) -> None:
        if not self._answered:
            self.is_open = True
            self._tell()

    def refused(self) -> None:
        if not self._answered:
            self._failed = f"Error 111 connecting to {self._server.name}:6379. Connection refused."
            self._tell()

    def reset(self) -> None:
        if self.is_open:
            self.is_open, self._failed = False, "Connection closed by server."
            self._tell()

    def replied(self, replies: list[Any]) -> None:
        if self.is_open:
            self._inbox.extend(replies)
            self._tell()

    def _tell(self) -> None:
        self._answered = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _give_up(waiter: asyncio.Future[None], what: str) -> None:
    if not waiter.done():
        waiter.set_exception(rex.TimeoutError(what))


class Line:
    """All connections of one client of one node to one server."""

    def __init__(self, server: SimServer, node_name: str, connect_limit: float | None) -> None:
        self.server, self.node_name = server, node_name
        self.connect_limit = connect_limit
        self._open: dict[Channel, None] = {}
        self.made = 0

    async def dial(self) -> Channel:
        channel = Channel(self.server, self.node_name)
        self.made += 1
        self._open[channel] = None
        try:
            await channel.open(self.connect_limit)
        except BaseException:
            self._open.pop(channel, None)  # `hang_up_all` may have been first
            raise
        return channel

    def hang_up(self, channel: Channel) -> None:
        self._open.pop(channel, None)
        channel.close()

    def hang_up_all(self) -> None:
        """Also what the kernel does when the process is gone."""
        for channel in list(self._open):
            self.hang_up(channel)
