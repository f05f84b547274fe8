"""One reader for all dashboards of an instance: it looks at the cluster once a second while somebody watches.

What it costs does not grow with the watchers, nor with how busy the cluster is: at most `MOST_EVENTS` of the newest
events are read a second, and when there were more it says how many were passed over and reads from the registry what
they would have told.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from labsched.errors import LabschedError, UnknownTask
from labsched.metrics import TaskMetrics, task_metrics
from labsched.model import State
from labsched.schedule import describe

from .endpoints import limited
from .judge import Judge
from .model import Model

if TYPE_CHECKING:
    from labsched.app import Scheduler

EVERY = 1.0  # seconds between looks
LINGER = 5.0  # seconds that it goes on after the last watcher left: a reload must not begin anew
MOST_EVENTS = 500  # read in one look
MOST_TASKS = 4  # whose numbers are read again in one look, those that waited longest
MOST_PROGRESS = 4  # runs whose progress is read in one look
MOST_WATCHERS = 200

log = logging.getLogger("labsched")


class Row(msgspec.Struct):
    """A task as the table shows it."""

    metrics: TaskMetrics
    schedule: str
    last: str = ""  # how its last run ended


class Feed:
    """`watch()` gives messages as JSON: first all that is known, then what changed."""

    def __init__(self, app: Scheduler, every: float = EVERY) -> None:
        self._app, self._every = app, every
        self._model = Model()
        self._judge = Judge(app)
        self._rows: dict[str, Row] = {}
        self._changed: set[str] = set()
        self._view: dict[str, Any] = {}
        self._place = ""  # id of the newest event that was read
        self._watchers: set[asyncio.Queue[bytes]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    # Watching.

    async def watch(self) -> AsyncIterator[bytes]:
        """Messages for one dashboard, until it goes away. A slow one gets a whole message instead of many parts."""
        if len(self._watchers) >= MOST_WATCHERS:
            raise LabschedError(f"{MOST_WATCHERS} dashboards are open already")
        queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=10)
        self._start()
        await self._ready.wait()
        yield self.whole()
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    async def once(self) -> bytes:
        """All that is known, not older than one look."""
        self._start()
        await self._ready.wait()
        return self.whole()

    def whole(self) -> bytes:
        return self._message("whole", self._rows, list(self._model.seconds), list(self._model.attempts))

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    # Looking.

    def _start(self) -> None:
        if self._looking is None or self._looking.done():
            self._ready.clear()
            self._place = ""
            self._looking = asyncio.get_running_loop().create_task(self._look_on(), name="feed")

    async def _look_on(self) -> None:
        quiet = 0.0
        while quiet < LINGER:
            try:
                await limited(self._look(), writes=False)
            except LabschedError as error:
                self._view = {**self._view, "trouble": str(error)}
            except Exception:
                # A dashboard that stands still would look as if the cluster did.
                log.exception("the dashboard's feed: this should not happen")
                self._view = {
                    **self._view,
                    "trouble": "the dashboard has failed, and tries again; the log says why",
                }
            self._ready.set()
            self._tell()
            quiet = 0.0 if self._watchers else quiet + self._every
            await asyncio.sleep(self._every)

    async def _look(self) -> None:
        if not self._place:
            await self._begin()
        events = await self._app.newest(MOST_EVENTS, self._place)
        missed = len(events) == MOST_EVENTS
        if missed:
            await self._reload()
        seen = await self._app.overview()
        if events:
            self._place = events[-1].id
        self._model.apply(events)
        self._model.expire(seen.at)
        self._note_outcomes(events)
        await self._judge.take(events, seen.at, missed=missed)
        await self._refresh(list(itertools.islice(self._model.dirty, MOST_TASKS)))
        progress = await self._progress(seen.at)
        self._view = {
            "progress": progress,
            "at": seen.at,
            "namespace": self._app.namespace,
            "place": self._place,
            "instances": seen.instances,
            "states": seen.states,
            "counts": seen.counts,
            "due": seen.due,
            "missed": missed,
            "guarantees": self._judge.lamps,
            "judged": self._judge.judged,
        }

    async def _begin(self) -> None:
        """Everything once. Events that happened before are only there to be seen."""
        past = await self._app.newest(MOST_EVENTS)
        self._place = past[-1].id if past else "0-0"
        self._model, self._judge = Model(), Judge(self._app)
        self._model.apply(past)
        self._model.dirty.clear()
        await self._reload()
        whole = await self._app.metrics()
        schedules = {info.name: describe(info.task.schedule) for info in await self._app.tasks()}
        self._rows = {row.name: Row(row, schedules.get(row.name, "")) for row in whole.tasks}
        self._note_outcomes(past)

    async def _progress(self, now: float) -> dict[str, Any]:
        """How far the longest-running bodies are, as far as they say."""
        long = sorted((a for a in self._model.running.values() if now - a.start > 1), key=lambda a: a.start)
        found = await self._app.registry_open().load([a.execution for a in long[:MOST_PROGRESS]])
        return {x.id: x.progress for x in found if x.progress is not None}

    async def _reload(self) -> None:
        self._model.load(await self._app.executions(state=State.RUNNING, limit=1000), await self._app.locks())

    async def _refresh(self, names: list[str]) -> None:
        for name in names:
            self._model.dirty.pop(name, None)
            with contextlib.suppress(UnknownTask):
                info = await self._app.registry_open().task(name)
                (stats,) = await self._app.registry_open().all_stats([name])
                last = self._rows[name].last if name in self._rows else ""
                self._rows[name] = Row(task_metrics(info, stats), describe(info.task.schedule), last)
                self._changed.add(name)

    def _note_outcomes(self, events: list[Any]) -> None:
        for event in events:
            row = self._rows.get(event.task or "")
            if row is not None and event.kind in ("SUCCEEDED", "FAILED", "DEAD", "CANCELLED", "SKIPPED"):
                row.last = str(event.kind)
                self._changed.add(event.task)

    # Telling.

    def _tell(self) -> None:
        rows = {name: self._rows[name] for name in self._changed if name in self._rows}
        self._changed.clear()
        part = self._message("part", rows, list(self._model.seconds)[-3:], [])
        for queue in self._watchers:
            late = queue.full()
            while late and not queue.empty():
                queue.get_nowait()
            queue.put_nowait(self.whole() if late else part)

    def _message(self, kind: str, rows: dict[str, Row], seconds: list[Any], attempts: list[Any]) -> bytes:
        model = self._model
        return msgspec.json.encode(
            {
                "kind": kind, **self._view, "tasks": rows, "seconds": seconds, "attempts": attempts,
                "running": list(model.running.values()), "recent": list(model.recent)[::-1],
                "locks": list(model.locks.values()), "leaders": list(model.leaders),
                "events": list(model.events)[-30:],
            }
        )  # fmt: skip
