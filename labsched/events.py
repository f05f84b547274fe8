"""The event stream: read a stretch of it, or follow it without polling."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import redis.asyncio as aioredis
from redis import exceptions as rex

from .codec import event as decode_event
from .errors import ConfigError, EventsGap, OutcomeUnknown, Unreachable
from .mailbox import block_for
from .model import Event
from .store import Store, pairs, passes, text

PAGE = 1000
_OUT_OF_REACH = (Unreachable, OutcomeUnknown, rex.ConnectionError, rex.TimeoutError, OSError)


def _position(id: str) -> tuple[int, int]:
    ms, _, seq = id.partition("-")
    if not ms.isdigit() or not (seq or "0").isdigit():
        raise ConfigError(
            f"since is {id!r}, allowed is '-', '$', an event id such as 1700000000000-0 or a time in ms"
        )
    return int(ms), int(seq or 0)


def _names_an_event(at: str) -> bool:
    return "-" in at and at != "0-0"  # else it is a time, or the beginning


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

    async def newest(self, count: int, after: str = "-") -> list[Event]:
        """The newest `count` events of those after `after`, oldest first, in one command. No gap is told."""
        end = "-" if after in ("-", "0-0") else f"({after}"
        found = await self._ask("XREVRANGE", self._key, "+", end, "COUNT", count)
        return [_decode(entry) for entry in reversed(found)]

    async def _trimmed(self) -> str | None:
        """An id with nothing but removed events up to it, and nothing removed after it."""
        found = await self._ask("HGET", self._store.key("meta"), "trimmed")
        return None if found is None else text(found)

    async def _check_place(self, at: str) -> None:
        """Whether a reader may go on from `at`: an event's id, or a time in ms."""
        if _names_an_event(at):
            return await self._check_kept(at)
        gone = await self._trimmed()
        if gone is not None and _position(at) < _position(gone):
            raise EventsGap(f"events after {at} were trimmed, up to {gone}")
        await self._check_end(at)

    async def _check_end(self, at: str) -> None:
        last = await self.last_id()
        if _position(at) > _position(last):
            raise EventsGap(f"{at} lies beyond the last event {last}: the history was reset")

    async def _check_kept(self, at: str, first: str | None = None) -> None:
        """Whether the history is the one in which `at` stood, with all that came between it and the `first` read next.

        While that event is there, nothing after it was removed; a server that was emptied, or lost what it had
        acknowledged, does not have it, however many events have come since.
        """
        if await self._ask("XRANGE", self._key, at, at, "COUNT", 1):
            return
        # Asked second: what retention removes, it writes down in the same step.
        gone = await self._trimmed()
        if gone is None or _position(gone) < _position(at):
            await self._check_end(at)
            raise EventsGap(f"event {at} is there no longer and was not trimmed: the history was reset")
        if _position(at) < _position(gone):
            if first is None:
                raise EventsGap(f"events after {at} were trimmed, up to {gone}")
            if _position(gone) < _position(first):
                raise EventsGap(f"events after {at} were trimmed before they were read, up to {gone}")

    async def _start(self, since: str) -> str:
        if since == "$":
            return await self.last_id()
        if since == "-":
            return "0-0"
        _position(since)
        await self._check_place(since)
        return since

    async def read(self, since: str = "-", until: str = "+") -> list[Event]:
        """All events after `since` (exclusive) up to `until` (inclusive), at once. Raises as `follow`."""
        at = await self._start(since)
        found: list[Event] = []
        while True:
            page = await self._ask(
                "XRANGE", self._key, f"({at}" if at != "0-0" else "-", until, "COUNT", PAGE
            )
            if page and found:
                await self._check_kept(at, text(page[0][0]))
            found.extend(_decode(entry) for entry in page)
            if len(page) < PAGE:
                return found
            at = text(page[-1][0])

    async def follow(self, since: str = "-") -> AsyncIterator[Event]:
        """Events after `since`, then each new one as it comes, for ever, across reconnects without a gap.

        Raises `EventsGap` when `since`, or later the place reached, was trimmed, or when the history was reset: the
        event is gone, or lies beyond the last one. A `since` in plain ms is a time, and need not be an event's. A
        server that cannot be reached is waited for, but at the beginning: then `Unreachable`, `OutcomeUnknown`.
        """
        at = await self._start(since)
        doubtful = False
        while True:
            try:
                if doubtful:
                    await self._check_place(at)
                    doubtful = False
                entries = await self._next(at)
            except (*_OUT_OF_REACH, rex.ResponseError) as error:
                # UNBLOCKED: the server became a replica; LOADING and the like: it is not there yet.
                if isinstance(error, rex.ResponseError) and not passes(error):
                    raise await self._store.translate(error) from None
                # The server may come back with less history than we saw: look before going on.
                doubtful = at != "0-0"
                await self._store.host.clock.sleep(0.2)
                continue
            for entry in entries:
                at = text(entry[0])
                yield _decode(entry)

    async def _next(self, at: str) -> Any:
        """The entries after `at`, waiting for them as long as one blocking read may last."""
        block = round(block_for(self._blocking) * 1000)
        entries = _entries(await self._blocking.xread({self._key: at}, count=PAGE, block=block))
        if entries and _names_an_event(at):
            await self._check_kept(at, text(entries[0][0]))
        return entries
