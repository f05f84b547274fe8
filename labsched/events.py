"""The event stream: read a stretch of it, or follow it without polling."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import redis.asyncio as aioredis
from redis import exceptions as rex

from .codec import event as decode_event
from .errors import ConfigError, EventsGap
from .mailbox import block_for
from .model import Event
from .store import Store, pairs, text

PAGE = 1000


def _position(id: str) -> tuple[int, int]:
    ms, _, seq = id.partition("-")
    if not ms.isdigit() or not (seq or "0").isdigit():
        raise ConfigError(f"since is {id!r}, allowed is '-', '$' or an event id such as 1700000000000-0")
    return int(ms), int(seq or 0)


def _decode(entry: Any) -> Event:
    return decode_event(text(entry[0]), pairs(entry[1]))


def _entries(reply: Any) -> Any:
    """The entries of the one stream that XREAD was asked for: a list in RESP2, a mapping in RESP3."""
    if not reply:
        return ()
    return next(iter(reply.values()))[0] if isinstance(reply, dict) else reply[0][1]


class Events:
    """Reads the history of one namespace, oldest first."""

    def __init__(self, store: Store, blocking: aioredis.Redis | None = None) -> None:
        self._store = store
        self._blocking = blocking or store.redis
        self._key = store.key("events")

    async def _ask(self, *command: str | int) -> Any:
        return await self._store.retrying(lambda: self._store.redis.execute_command(*command))

    async def last_id(self) -> str:
        """Id of the newest event, "0-0" when there is none."""
        newest = await self._ask("XREVRANGE", self._key, "+", "-", "COUNT", 1)
        return text(newest[0][0]) if newest else "0-0"

    async def _trimmed(self) -> str | None:
        """An id with nothing but removed events up to it, and nothing removed after it."""
        found = await self._ask("HGET", self._store.key("meta"), "trimmed")
        return None if found is None else text(found)

    async def _check_gap(self, since: str) -> None:
        gone = await self._trimmed()
        if gone is not None and _position(since) < _position(gone):
            raise EventsGap(f"events after {since} were trimmed, up to {gone}")
        last = await self.last_id()
        if _position(since) > _position(last):
            raise EventsGap(f"{since} lies beyond the last event {last}: the history was reset")

    async def _check_overtaken(self, at: str, first: str) -> None:
        """Whether retention has removed events between the place reached and the `first` one read after it."""
        gone = await self._trimmed()
        if at != "0-0" and gone is not None and _position(at) < _position(gone) < _position(first):
            raise EventsGap(f"events after {at} were trimmed before they were read, up to {gone}")

    async def _start(self, since: str) -> str:
        if since == "$":
            return await self.last_id()
        if since == "-":
            return "0-0"
        _position(since)
        await self._check_gap(since)
        return since

    async def read(self, since: str = "-", until: str = "+") -> list[Event]:
        """All events after `since` (exclusive) up to `until` (inclusive), at once."""
        at = await self._start(since)
        found: list[Event] = []
        while True:
            page = await self._ask(
                "XRANGE", self._key, f"({at}" if at != "0-0" else "-", until, "COUNT", PAGE
            )
            if page and found:
                await self._check_overtaken(at, text(page[0][0]))
            found.extend(_decode(entry) for entry in page)
            if len(page) < PAGE:
                return found
            at = text(page[-1][0])

    async def follow(self, since: str = "-") -> AsyncIterator[Event]:
        """Events after `since`, then each new one as it comes, for ever, across reconnects without a gap.

        Raises `EventsGap` when `since` (or, after a long disconnect, the place reached) was trimmed or
        lies beyond the last event.
        """
        at = await self._start(since)
        block = round(block_for(self._blocking) * 1000)
        doubtful = False
        while True:
            try:
                if doubtful:
                    await self._check_gap(at)
                    doubtful = False
                reply: Any = await self._blocking.xread({self._key: at}, count=PAGE, block=block)
            except (rex.ConnectionError, rex.TimeoutError, OSError):
                # The server may come back with less history than we saw: look before going on.
                doubtful = at != "0-0"
                await self._store.host.clock.sleep(0.2)
                continue
            entries = _entries(reply)
            if entries:
                await self._check_overtaken(at, text(entries[0][0]))
            for entry in entries:
                at = text(entry[0])
                yield _decode(entry)
