"""The guarantees, judged while the cluster runs: the same checks that judge recordings, over what happened since the
dashboard was opened.

What only an instance itself knows (its journal) is not here, so guarantees about that stay "not exercised". A
violation that was seen stays until nobody watches any more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from labsched.model import Event
from labsched.worlds.checks import GUARANTEES, Report
from labsched.worlds.recording import Recording

if TYPE_CHECKING:
    from labsched.app import Scheduler

EVERY = 10.0  # seconds between judgements
MOST_EVENTS = 4000  # judged at once: about 0.2 s of a thread
REST = 30.0  # seconds between snapshots, which read all definitions and all that waits
MOST_OPEN = 2000  # executions in a snapshot; the server does nothing else while it makes one


class Lamp(msgspec.Struct):
    """One guarantee: how often it was exercised, and the first violation in a sentence, with its Unix seconds."""

    guarantee: str
    tested: int = 0
    violated: int = 0
    sentence: str = ""
    at: float | None = None


class Judge:
    """Judges stretches without a gap: each begins with a snapshot, and ends when events were missed or are too many."""

    def __init__(self, app: Scheduler) -> None:
        self._app = app
        self._first: dict[str, Any] | None = None
        self._events: list[Event] = []
        self._before: dict[str, int] = {}  # tested in the stretches that are closed
        self._judged_at = 0.0
        self._rested_at = 0.0
        self.lamps = [Lamp(guarantee) for guarantee in GUARANTEES]
        self.judged = "judged in a moment"

    async def take(self, events: list[Event], now: float, *, missed: bool, waiting: int = 0) -> None:
        """The newest events, in order; `missed` when there were others between these and the last ones; `waiting`
        executions are open."""
        if missed:
            await self._close(now)
        if self._first is None:
            await self._begin(now, missed=missed, waiting=waiting)
            return
        after = _place(self._first["last_event"])
        self._events += [event for event in events if _place(event.id) > after]
        if len(self._events) > MOST_EVENTS:
            await self._close(now)
        elif now - self._judged_at >= EVERY:
            await self._judge(now)

    async def _begin(self, now: float, *, missed: bool, waiting: int) -> None:
        if missed or waiting > MOST_OPEN:
            self.judged = "not judged now: too much happens at once"
        elif now >= self._rested_at:
            self._first, self._rested_at, self._judged_at = (
                await self._app.snapshot(ended=False),
                now + REST,
                now,
            )

    async def _close(self, now: float) -> None:
        """Judge what there is, and forget it."""
        try:
            if self._first is not None and self._events:
                await self._judge(now)
        finally:  # a judgement that was cut off must not go on with a gap in it
            self._before = {lamp.guarantee: lamp.tested for lamp in self.lamps}
            self._first, self._events = None, []

    async def _judge(self, now: float) -> None:
        assert self._first is not None
        self._judged_at = now
        # In a thread, so that heartbeats go on; the events are copied, as more may come meanwhile.
        report = await asyncio.to_thread(self._recording(self._first, list(self._events), now).check)
        self._light(report, now)

    def _recording(self, first: dict[str, Any], events: list[Event], now: float) -> Recording:
        return Recording(
            world="real", namespace=self._app.namespace, started=first["at"] / 1000,
            ended=max(now, events[-1].at if events else now), snapshot=first, history=events,
        )  # fmt: skip

    def _light(self, report: Report, now: float) -> None:
        for lamp in self.lamps:
            result = report[lamp.guarantee]
            lamp.tested = self._before.get(lamp.guarantee, 0) + result.tested
            if result.violations:
                lamp.violated += 1
                if not lamp.sentence:
                    lamp.sentence, lamp.at = result.violations[0].sentence, result.violations[0].at
        since = now - self._first["at"] / 1000 if self._first else 0
        self.judged = f"judged over the last {since:.0f} s: {len(self._events)} events"


def _place(id: str) -> tuple[int, int]:
    ms, _, seq = (id or "0-0").partition("-")
    return int(ms), int(seq or 0)
