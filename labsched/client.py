"""`Client`: a handle on one namespace. It triggers, waits, steers and looks; `Scheduler` adds being an instance."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from . import codec, diagnosis, rawkeys
from .durations import seconds
from .errors import ConfigError
from .handle import Handle, check_word
from .metrics import Health, Metrics, health, metrics
from .model import CatchUp, Event, Execution, InstanceInfo, LockInfo, Priority, Reason, State, TaskInfo
from .overview import Overview, overview
from .preview import Forecast, Preview, forecast, preview
from .registry import Registry
from .schedule import between
from .store import text

LOOK_AGAIN = 5.0  # seconds after which a waiter looks for itself, in case its hint was lost
MOST_SLOTS = 100_000  # slots that one backfill may make


class Client(Handle):
    """Triggers, waits, steers and looks.

    Methods raise `Unreachable`, `OutcomeUnknown` and `ServerUnsuitable` beside what each names.
    """

    # Triggering and waiting.

    async def trigger(
        self,
        name: str,
        /,
        *,
        _key: str | None = None,
        _at: datetime | None = None,
        _priority: Priority | None = None,
        **payload: Any,
    ) -> str:
        """Run a task once, now or `_at` a time. Returns the execution's id.

        The same `_key` makes one execution however often it is sent, as long as that is kept.
        Raises `UnknownTask`, `PayloadError`, `BacklogFull`, `ConfigError`.
        """
        at = None if _at is None else _milliseconds("_at", _at)
        keys = None if _key is None else [_key]
        return (await self._trigger(name, [payload], keys, at, _priority))[0]

    async def trigger_many(
        self,
        name: str,
        payloads: Iterable[Mapping[str, Any]],
        keys: Sequence[str] | None = None,
        *,
        priority: Priority | None = None,
    ) -> list[str]:
        """Run a task once per payload, sent in batches of 1,000. Returns the ids, in order.

        Raises as `trigger`; a `BacklogFull` says how many had been added before.
        """
        return await self._trigger(name, list(payloads), keys, None, priority)

    async def _trigger(
        self,
        name: str,
        payloads: Sequence[Mapping[str, Any]],
        keys: Sequence[str] | None,
        at: int | None,
        priority: Priority | None,
    ) -> list[str]:
        self._check_open()
        if priority not in (None, "high", "normal", "low"):
            raise ConfigError(f"priority is {priority!r}, allowed are high, normal, low")
        if keys is None:
            ids = [f"{name}~{id}" for id in self.host.new_ids(len(payloads))]
        else:
            if len(keys) != len(payloads):
                raise ConfigError(f"{len(keys)} keys for {len(payloads)} payloads")
            for key in keys:
                check_word("key", key)
            ids = [f"{name}~{key}" for key in keys]
        items = [
            (id, codec.payload_json(p, f"payload of {name!r}"), "")
            for id, p in zip(ids, payloads, strict=True)
        ]
        if not items:
            await self.registry.task(name)
        await self.registry.enqueue(name, items, priority=priority, at=at)
        return ids

    async def wait(self, xid: str, timeout: Any = None) -> Execution:
        """The execution once it is in a terminal state. Raises `TimeoutError`, `UnknownExecution`."""
        self._check_open()
        limit = None if timeout is None else seconds(timeout, "timeout")
        key = f"done:{xid}"
        try:
            async with asyncio.timeout(limit):
                while True:
                    future = self._waiting.expect(key)
                    try:
                        if (await self.registry.watch(xid, self._waiting.box)).terminal:
                            return await self.registry.execution(xid)
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(LOOK_AGAIN):
                                await future
                    finally:
                        self._waiting.forget(key, future)
        except TimeoutError:
            raise TimeoutError(f"execution {xid} has not ended within {timeout}") from None

    async def backfill(self, name: str, start: datetime, end: datetime) -> list[str]:
        """Run a task for each of its slots in (start, end], as fast as workers allow. Returns the ids.

        A slot that was backfilled already is not run again (as long as that run is kept).
        """
        task = (await self.registry_open().task(name)).task
        first, last = _milliseconds("start", start), _milliseconds("end", end)
        slots: list[int] = []
        for slot in between(task.schedule, first, last):
            if len(slots) == MOST_SLOTS:
                raise ConfigError(
                    f"more than {MOST_SLOTS} slots between {start} and {end}: backfill in parts"
                )
            slots.append(slot)
        items = [(f"{name}@{slot}~backfill", "{}", str(slot)) for slot in slots]
        await self.registry.enqueue(name, items, source="backfill")
        return [id for id, _, _ in items]

    # Steering.

    def registry_open(self) -> Registry:
        self._check_open()
        return self.registry

    async def pause(self, name: str) -> bool:
        """No more slots until `resume`; triggers still run. False when it was paused already."""
        return await self.registry_open().set_status(name, "PAUSED")

    async def resume(self, name: str, catch_up: CatchUp = "none") -> bool:
        """Slots again. `catch_up`: what becomes of those missed: none, the latest one, or all of them."""
        if catch_up not in ("none", "latest", "all"):
            raise ConfigError(f"catch_up is {catch_up!r}, allowed are none, latest, all")
        return await self.registry_open().set_status(name, "ACTIVE", catch_up)

    async def disable(self, name: str) -> bool:
        """Neither slots nor triggers until `resume`."""
        return await self.registry_open().set_status(name, "DISABLED")

    async def cancel(self, xid: str, force: bool = False) -> str:
        """ "cancelled", "requested" (it runs and was asked to stop) or "already" (it had ended).

        With `force` a running attempt's token is revoked at once: whatever it still does, it commits nothing.
        """
        return await self.registry_open().cancel(xid, force)

    async def requeue(self, xid: str) -> None:
        """Give a FAILED or DEAD execution another life. Raises `UnknownExecution`, `ConfigError`."""
        await self.registry_open().requeue(xid)

    async def drain(self, instance: str) -> bool:
        """Ask an instance to finish what it runs and leave; False when there is none of that name."""
        self._check_open()
        return text(await self._client.call("drain", instance, "")) == "ok"

    # Looking.

    async def now(self) -> int:
        """The server's clock, Unix milliseconds."""
        self._check_open()
        clock = await self._client.retrying(lambda: self._client.redis.execute_command("TIME"))
        return int(clock[0]) * 1000 + int(clock[1]) // 1000

    async def preview(self, name: str, n: int = 10) -> list[Preview]:
        """The next `n` slots of a task, with what daylight saving does to them."""
        task = (await self.registry_open().task(name)).task
        return preview(task.schedule, name, await self.now(), n)

    async def forecast(self, hours: float = 24) -> Forecast:
        """How many fires are due in each second to come: the herd."""
        active = [t.task for t in await self.tasks() if t.status == "ACTIVE"]
        return forecast([(t.name, t.schedule) for t in active], await self.now(), hours)

    async def tasks(self) -> list[TaskInfo]:
        """All definitions with their counters, by name."""
        return await self.registry_open().tasks()

    async def executions(
        self,
        task: str | None = None,
        state: State | str | None = None,
        limit: int = 100,
        before: datetime | None = None,
    ) -> list[Execution]:
        """Newest first (by creation; with a terminal state, by end). Logs are left out: see `execution`."""
        if state is not None and state not in set(State):
            raise ConfigError(f"state is {state!r}, allowed are {', '.join(State)}")
        if limit < 1:
            raise ConfigError(f"limit is {limit}, allowed is 1 or more")
        wanted = None if state is None else State(state)
        older = None if before is None else _milliseconds("before", before)
        return await self.registry_open().executions(task, wanted, limit, older)

    async def execution(self, xid: str) -> Execution:
        """One execution with attempts and log. Raises `UnknownExecution`."""
        return await self.registry_open().execution(xid)

    async def instances(self) -> list[InstanceInfo]:
        """Live members, by name."""
        return await self.registry_open().instances()

    async def locks(self) -> list[LockInfo]:
        """Locks that are held now, by name."""
        return await self.registry_open().locks()

    async def events(self, since: str = "-") -> AsyncIterator[Event]:
        """History after `since` (exclusive), then whatever happens, without polling; "$" begins with now.

        Raises `EventsGap` when `since` was trimmed or lies beyond the last event.
        """
        self._check_open()
        async for event in self._events.follow(since):
            yield event

    async def history(self, since: str = "-", until: str = "+") -> list[Event]:
        """The events after `since` up to `until`, without following. Raises `EventsGap`."""
        self._check_open()
        return await self._events.read(since, until)

    async def newest(self, count: int = 50, after: str = "-") -> list[Event]:
        """The newest `count` events of those after `after` (an id), oldest first; older ones are passed over."""
        self._check_open()
        return await self._events.newest(count, after)

    async def overview(self) -> Overview:
        """Instances, sizes, totals and next slots, in a number of commands that does not grow with the history."""
        return await overview(self.registry_open())

    async def metrics(self) -> Metrics:
        """Counters, rates and distributions of the namespace."""
        return await metrics(self.registry_open(), await self.now())

    async def health(self) -> Health:
        """Whether the server answers, somebody leads and heartbeats are fresh. Raises nothing for a dead server."""
        return await health(self.registry_open(), self.settings)

    async def why(self, xid: str) -> list[Reason]:
        """Why an execution is where it is. Raises `UnknownExecution`."""
        return await diagnosis.why(self.registry_open(), await self.execution(xid), await self.now())

    async def why_not(self, name: str, at: datetime | None = None) -> list[Reason]:
        """Why a task did not run at a time, or does not run now. Raises `UnknownTask`."""
        when = None if at is None else _milliseconds("at", at)
        info = await self.registry_open().task(name)
        return await diagnosis.why_not(self.registry, self._events, info, when, await self.now())

    async def keys(self, cursor: str = "0", part: str = "") -> rawkeys.KeyPage:
        """A stretch of the namespace's keys, those whose name contains `part`."""
        self._check_open()
        return await rawkeys.keys(self._client, cursor, part)

    async def key(self, name: str) -> rawkeys.KeyValue:
        """What lies under one of them. Raises `ConfigError` when there is none."""
        self._check_open()
        return await rawkeys.key(self._client, name)

    async def snapshot(self, *, ended: bool = True) -> dict[str, Any]:
        """The whole state at one instant, as recordings keep it. Reads everything; without `ended` all but the
        executions that are over, whose number has no bound."""
        self._check_open()
        return diagnosis.snapshot(await self._client.call("snapshot", "" if ended else "open"))


def _milliseconds(what: str, when: datetime) -> int:
    if not isinstance(when, datetime) or when.tzinfo is None:
        raise ConfigError(f"{what} is {when!r}: a datetime with a timezone is needed")
    return round(when.timestamp() * 1000)
