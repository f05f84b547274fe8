"""One blocking read per client: whoever waits for anything waits on its own mailbox, nobody polls.

A mailbox is a Redis list into which scripts put short lines ("done ID", "work", "lead"). A line is a
hint: losing one costs time, never correctness, so every waiter also looks for itself now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import redis.asyncio as aioredis
from redis import exceptions as rex

from .store import Store, text
from .wire import Wire

Listen = Callable[[], Coroutine[Any, Any, None]]

BLOCK = 5.0  # seconds that one blocking read lasts at most


def block_for(redis: aioredis.Redis) -> float:
    """How long a blocking read may last on this client without running into its socket timeout."""
    # `from_url` leaves it out, and the connection then has redis-py's own default of 5 s.
    limit = redis.connection_pool.connection_kwargs.get("socket_timeout", BLOCK)
    return BLOCK if limit is None else max(0.1, min(BLOCK, limit / 2))


class Mailbox:
    """Reads the lines of one box and hands each to `on_line`, in order, from `start` to `stop`.

    It also ends by itself, giving its connection back, when a read found nothing and nobody `wanted` any.
    `supervise` runs the reading, and again when it failed in a way that nobody thought of.
    """

    def __init__(
        self,
        store: Store,
        box: str,
        on_line: Callable[[str], None],
        *,
        blocking: aioredis.Redis | None = None,
        wanted: Callable[[], bool] = lambda: True,
        supervise: Callable[[Listen], Coroutine[Any, Any, None]] = lambda listen: listen(),
    ) -> None:
        self.box = box
        self._store, self._on_line, self._wanted, self._supervise = store, on_line, wanted, supervise
        self._redis = blocking or store.redis
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(
                self._supervise(self._listen), name=f"mailbox {self.box}"
            )

    async def stop(self) -> None:
        task, self._task = self._task, None
        while task is not None and not task.done():
            # Again and again: on Python 3.11 the `wait_for` inside redis-py may swallow a cancellation.
            task.cancel()
            await asyncio.wait([task], timeout=0.1)

    async def _listen(self) -> None:
        key, block, wire = self._store.key("box", self.box), block_for(self._redis), Wire(self._redis, "")
        failures = 0
        while True:
            try:
                reply = await wire.command("BLPOP", key, block)
                failures = 0
            except (rex.ConnectionError, rex.TimeoutError, OSError, rex.ResponseError):
                # The heartbeat or the caller reports the trouble; here it only costs a pause.
                failures += 1
                await self._store.host.clock.sleep(min(0.05 * 2 ** min(failures, 6), 1.0))
                continue
            if reply:
                self._on_line(text(reply[1]))
            elif not self._wanted():
                return


class Waiting:
    """Futures keyed by what they wait for, resolved by lines "KEY REST" of a client's mailbox.

    The mailbox is read only while somebody waits.
    """

    def __init__(self, store: Store, box: str, *, blocking: aioredis.Redis | None = None) -> None:
        self.box = box
        self._mail = Mailbox(store, box, self._deliver, blocking=blocking, wanted=lambda: bool(self._futures))
        self._futures: dict[str, set[asyncio.Future[str]]] = {}

    def _deliver(self, line: str) -> None:
        key, _, rest = line.partition(" ")
        for future in self._futures.get(key, ()):
            if not future.done():
                future.set_result(rest)

    def expect(self, key: str) -> asyncio.Future[str]:
        """A future for the next line that begins with `key`; give it back with `forget`."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(key, set()).add(future)
        self._mail.start()
        return future

    def forget(self, key: str, future: asyncio.Future[str]) -> None:
        waiting = self._futures.get(key, set())
        waiting.discard(future)
        if not waiting:
            self._futures.pop(key, None)

    async def close(self) -> None:
        await self._mail.stop()
        for waiting in self._futures.values():
            for future in waiting:
                future.cancel()
        self._futures.clear()
