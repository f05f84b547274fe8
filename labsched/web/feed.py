"""One reader for all dashboards of an instance: it looks at the cluster once a second while somebody watches.

What it costs does not grow with the watchers, nor with how busy the cluster is: at most `MOST_EVENTS` of the newest
events are read a second; when there were more it says that some were missed, and reads from the registry a little of
what they would have told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from labsched.errors import LabschedError
from labsched.model import InstanceInfo
from labsched.overview import Overview, overview

from .endpoints import limited
from .judge import Judge
from .model import Model
from .rows import Row, Rows

if TYPE_CHECKING:
    from labsched.app import Scheduler

EVERY = 1.0  # seconds between looks
# Seconds that it goes on after the last watcher left: beginning reads five values of every task.
LINGER = 60.0
MOST_EVENTS = 500  # read in one look
MOST_TASKS = 4  # that are read again in one look, for their means and quantiles, those that waited longest
MOST_PROGRESS = 3  # runs whose progress is read in one look
# Runs and locks that events did not tell of, read in one look after some were missed; no progress then.
MOST_UNKNOWN = 1
# Read at the beginning: the newest events, for the timeline and what ended lately, and runs that are under way.
MOST_PAST, MOST_RUNNING = 3000, 200
MOST_WATCHERS = 200
AT_ONCE = 100  # tasks whose numbers are worked out in one go: the instance's heartbeats go on between

Queue = asyncio.Queue[bytes | None]  # None: the end

log = logging.getLogger("labsched")


class Feed:
    """`messages()` are JSON: first all that is known, then what changed. A list that is as it was told last is left
    out of a part; whoever reads keeps the one that it has."""

    def __init__(self, app: Scheduler, every: float = EVERY) -> None:
        self._app, self._every = app, every
        self._model = Model()
        self._judge = Judge(app)
        self._rows = Rows()
        self._seen: Overview | None = None
        self._all_known = False  # whether the model has every run that is under way
        self._progress: dict[str, Any] = {}
        self._view: dict[str, Any] = {}
        self._place = ""  # id of the newest event that was read
        self._lists: dict[str, bytes] = {}  # as they were told last
        self._whole: bytes | None = None  # the same for all who ask between two looks
        self._anew = False  # parts do not follow from what was told before
        self._watchers: set[Queue] = set()
        self._looking: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._closed = False

    # Watching.

    @property
    def full(self) -> bool:
        """Whether as many dashboards are open as one process serves, or it is about to leave."""
        return self._closed or len(self._watchers) >= MOST_WATCHERS

    @contextlib.contextmanager
    def joined(self) -> Iterator[Queue]:
        """One more dashboard, for the length of the block."""
        queue: Queue = asyncio.Queue(maxsize=10)
        self._watchers.add(queue)
        self._start()
        try:
            yield queue
        finally:
            self._watchers.discard(queue)

    async def messages(self, queue: Queue) -> AsyncIterator[bytes]:
        """What one dashboard gets, until the feed goes away. A slow one gets a whole message instead of many parts."""
        await self._ready.wait()
        while not queue.empty():
            queue.get_nowait()
        message: bytes | None = self.whole()
        while message is not None:
            yield message
            message = await queue.get()

    async def once(self) -> bytes:
        """All that is known, not older than one look."""
        self._start()
        await self._ready.wait()
        return self.whole()

    def whole(self) -> bytes:
        if self._whole is None:
            model = self._model
            self._whole = self._message(
                "whole", self._rows.all, list(model.seconds), list(model.attempts), self._lists
            )
        return self._whole

    async def close(self) -> None:
        """End all streams: whoever leaves waits for nobody who watches."""
        self._closed = True
        for queue in self._watchers:
            _put(queue, None)
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
                if not self._place:
                    await limited(self._begin(), writes=False)
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
        events = await self._app.newest(MOST_EVENTS, self._place)
        missed = len(events) == MOST_EVENTS
        stirred = {event.instance or "" for event in events if event.kind.startswith("INSTANCE_")}
        self._seen = seen = await overview(self._app.registry_open(), self._seen, stirred)
        # From here on these events are not read again: whatever counts them comes before what may fail.
        if events:
            self._place = events[-1].id
        self._model.apply(events)
        self._rows.outcomes(events)
        self._rows.fold(events)
        await self._judge.take(events, seen.at, missed=missed, waiting=sum(seen.states.values()))
        if missed:
            self._model.prune(seen.running, seen.locks)
        learns = missed or not self._all_known
        if learns:
            await self._learn(seen, MOST_UNKNOWN)
            self._all_known = not missed and self._model.running.keys() >= set(seen.running)
        self._model.expire(seen.at)
        await self._refresh()
        if self._all_known:
            self._rows.running(Counter(a.task for a in self._model.running.values()))
        if not learns:
            self._progress = await self._read_progress(seen.at)
        self._view = {
            "trouble": "",
            "progress": self._progress,
            "at": seen.at,
            "namespace": self._app.namespace,
            "place": self._place,
            "instances": self._members(seen),
            "states": seen.states,
            "counts": seen.counts,
            "missed": missed,
            "judged": self._judge.judged,
        }

    def _members(self, seen: Overview) -> list[InstanceInfo]:
        """Only some were read anew; how many runs each has is known from events, unless some were missed."""
        if not self._all_known:
            return list(seen.instances)
        runs = Counter(attempt.instance for attempt in self._model.running.values())
        return [msgspec.structs.replace(i, running=runs[i.name]) for i in seen.instances]

    async def _begin(self) -> None:
        """Everything once. Events that happened before are only there to be seen."""
        registry = self._app.registry_open()
        past, seen = await self._app.newest(MOST_PAST), await overview(registry)
        self._model, self._judge, self._rows, self._seen = Model(), Judge(self._app), Rows(), seen
        self._model.apply(past)
        self._model.dirty.clear()
        self._model.prune(seen.running, seen.locks)
        await self._learn(seen, MOST_RUNNING)
        self._all_known = len(seen.running) <= MOST_RUNNING
        names = await registry.names()
        for first in range(0, len(names), AT_ONCE):
            chunk = names[first : first + AT_ONCE]
            self._rows.load(*await registry.counted(chunk))
            self._rows.ended(await registry.last_ends(chunk))
        self._rows.outcomes(past)
        self._anew = True
        self._place = past[-1].id if past else "0-0"  # last: what was begun in vain is begun again

    async def _read_progress(self, now: float) -> dict[str, Any]:
        """How far the longest-running bodies are, as far as they say."""
        long = sorted((a for a in self._model.running.values() if now - a.start > 1), key=lambda a: a.start)
        found = await self._app.registry_open().load([a.execution for a in long[:MOST_PROGRESS]], brief=True)
        return {x.id: x.progress for x in found if x.progress is not None}

    async def _learn(self, seen: Overview, most: int) -> None:
        """At most so many runs and locks that no event told of."""
        registry, model = self._app.registry_open(), self._model
        runs = [id for id in seen.running if id not in model.running][:most]
        locks = [name for name in seen.locks if name not in model.locks][:most]
        model.load(
            await registry.load(runs, brief=True), await registry.load_locks(locks, round(seen.at * 1000))
        )

    async def _refresh(self) -> None:
        """Read some rows again: those of tasks that nobody knew, then those that waited longest."""
        dirty = self._model.dirty
        names = sorted(dirty, key=self._rows.all.__contains__)[:MOST_TASKS]
        self._rows.load(*await self._app.registry_open().counted(names))
        for name in names:
            del dirty[name]

    # Telling.

    def _tell(self) -> None:
        rows = {name: self._rows.all[name] for name in self._rows.changed}
        self._rows.changed.clear()
        self._whole = None
        before, self._lists = self._lists, self._encoded()
        if self._anew:
            part = self.whole()
        else:
            new = {name: told for name, told in self._lists.items() if before.get(name) != told}
            part = self._message("part", rows, list(self._model.seconds)[-3:], [], new)
        self._anew = False
        for queue in self._watchers:
            _put(queue, self.whole() if queue.full() else part)

    def _encoded(self) -> dict[str, bytes]:
        model = self._model
        lists = {
            "running": list(model.running.values()), "recent": list(model.recent)[::-1],
            "locks": list(model.locks.values()), "leaders": list(model.leaders), "events": list(model.events),
            "notable": list(model.notable), "guarantees": self._judge.lamps,
            "due": self._seen.due if self._seen else {},
        }  # fmt: skip
        return {name: msgspec.json.encode(told) for name, told in lists.items()}

    def _message(
        self,
        kind: str,
        rows: dict[str, Row],
        seconds: list[Any],
        attempts: list[Any],
        lists: dict[str, bytes],
    ) -> bytes:
        raw = {name: msgspec.Raw(told) for name, told in lists.items()}
        return msgspec.json.encode(
            {"kind": kind, **self._view, "tasks": rows, "seconds": seconds, "attempts": attempts, **raw}
        )


def _put(queue: Queue, message: bytes | None) -> None:
    """What a full queue holds is dropped: a whole message, or the end, makes up for it."""
    while queue.full():
        while not queue.empty():
            queue.get_nowait()
    queue.put_nowait(message)
