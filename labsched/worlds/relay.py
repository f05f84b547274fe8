"""A network link that can be cut: a TCP relay between one instance and its server.

TCP only: `unix://` has no link to cut, and `rediss://` would see the relay's address where its
certificate names another.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, Literal, TypeVar

from labsched.errors import ConfigError

T = TypeVar("T")
Direction = Literal["both", "requests", "replies"]
_SIDES: dict[str, tuple[str, ...]] = {
    "both": ("requests", "replies"),
    "requests": ("requests",),
    "replies": ("replies",),
}
# While a direction is cut, a connection holds one piece here and at most twice as much in its reader;
# then the relay stops reading and the sender's own socket fills up.
_PIECE = 65_536


def sides(direction: str) -> tuple[str, ...]:
    """The sides that a direction means, or ConfigError."""
    if direction not in _SIDES:
        raise ConfigError(f"direction is {direction!r}: allowed are {', '.join(_SIDES)}")
    return _SIDES[direction]


class Relay:
    """Passes bytes between its own port on 127.0.0.1 and a server, until it is told not to.

    `cut()` behaves as a network does that loses packets: nothing is closed, bytes of that direction
    stay where they are, new connections are accepted (by the kernel) and hear nothing. `heal()` lets
    everything go on, with what was held first: late requests arrive late. Every connection dials the
    target anew, so the target may restart. `delay` holds each piece back for so many seconds, each way.
    """

    def __init__(self, target_host: str, target_port: int, *, delay: float = 0.0) -> None:
        self.target = (target_host, target_port)
        self.delay = delay
        self.port = 0
        self._open = {side: asyncio.Event() for side in _SIDES["both"]}
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.heal()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._links)

    async def start(self) -> int:
        """Listen; returns the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_PIECE)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    def cut(self, direction: Direction = "both") -> None:
        """Stop passing bytes of that direction."""
        for side in sides(direction):
            self._open[side].clear()

    def heal(self) -> None:
        """Pass everything again."""
        for gate in self._open.values():
            gate.set()

    def drop(self) -> None:
        """Close all connections, as a server or firewall does that resets them."""
        for link in self._links:
            link.cancel()

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        links = list(self._links)
        self.drop()
        await asyncio.gather(*links, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from here to the target and back, until either side ends it."""
        writers = [writer]
        try:
            await self._open["requests"].wait()
            back, there = await asyncio.open_connection(*self.target, limit=_PIECE)
            writers.append(there)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, there, "requests"))
                pumps.create_task(self._pump(back, writer, "replies"))
            for end in writers:
                end.close()  # what is still in its buffer is sent first
        except (OSError, ExceptionGroup):
            pass  # the target is down or a side was reset: the other side is told below
        finally:
            for end in writers:
                if not end.is_closing():
                    end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, side: str) -> None:
        while piece := await source.read(_PIECE):
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._open[side].wait()
            sink.write(piece)
            await sink.drain()
        # The end of a connection is news too, and a cut link passes no news.
        await self._open[side].wait()
        if sink.can_write_eof():
            sink.write_eof()


class Links:
    """Relays by name, on a thread of their own.

    A notebook's loop stands still while a cell draws or computes; that must not cut a cluster's links.
    """

    def __init__(self) -> None:
        self._relays: dict[str, Relay] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="labsched-links", daemon=True)
        self._thread.start()

    def add(self, name: str, target_host: str, target_port: int) -> int:
        """A new relay; returns its port."""

        async def add() -> int:
            relay = self._relays[name] = Relay(target_host, target_port)
            return await relay.start()

        return self._run(add()).result()

    def cut(self, name: str, direction: Direction = "both") -> None:
        sides(direction)
        self._call(name, "cut", direction)

    def heal(self, name: str) -> None:
        self._call(name, "heal")

    def drop(self, name: str) -> None:
        self._call(name, "drop")

    def close(self) -> None:
        """Stop all relays and the thread. Safe to call twice."""
        if not self._thread.is_alive():
            return
        self._run(self._stop(self._relays.values())).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self, relays: Iterable[Relay]) -> None:
        for relay in relays:
            await relay.stop()

    def _call(self, name: str, verb: str, *args: Any) -> None:
        async def call() -> None:
            getattr(self._relays[name], verb)(*args)

        self._run(call()).result()

    def _run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)
