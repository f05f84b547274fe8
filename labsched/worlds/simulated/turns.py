"""Whose turn it is: lanes of handles on SimPy's queue of events.

A handle that is ready waits in its node's lane; one SimPy event per instant lets the lanes run. Timers
wait in one SimPy event per distinct instant. SimPy's own `schedule` takes a delay, and `now + (when - now)`
is not always `when` in floating point, so events are pushed into its queue directly.
"""

from __future__ import annotations

import contextvars
from asyncio import base_events, format_helpers
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Any

import simpy

from .errors import Spinning
from .handles import Instant, SimHandle, SimTimer
from .node import NODE, Lane, Node
from .tasks import SimTask, describe

PATIENCE = range(1_000_000)  # handles that a node may run within one instant
FIRST, USUAL = 0, 1  # SimPy's priorities URGENT and NORMAL
TICKS = 1e6  # timers fall due at whole microseconds


class Turns(base_events.BaseEventLoop):
    """The scheduling half of `SimLoop`."""

    if TYPE_CHECKING:  # of asyncio's own, not in its published types
        _closed: bool
        _stopping: bool

        def _check_closed(self) -> None: ...

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._queue: list[Any] = env._queue
        self._lanes_ready: list[tuple[tuple[float, int, int], Lane]] = []  # a heap
        self._called = False  # a turn at this instant is under way or in SimPy's queue
        self._interrupted = False  # let go of the lanes soon: something else wants attention
        self._instants: dict[float, Instant] = {}
        self._skipped = 0  # entries of SimPy's queue that nobody awaits any more
        self._inbox: deque[SimTimer] = deque()
        self._outside_context = contextvars.copy_context()
        self._outside_context.run(NODE.set, None)
        self._outside = Lane(self, (-inf, 0, 1))
        super().__init__()

    def time(self) -> float:
        """Virtual seconds: `env.now`."""
        return self._env._now

    # ------------------------------------------------------------------ scheduling

    def _lane_of(self, context: contextvars.Context) -> Lane:
        node: Node | None = context.get(NODE)
        # A node of another simulation in this process is outside of this one.
        return self._outside if node is None or node.loop is not self else node

    def _current_lane(self) -> Lane:
        return self._lane_of(contextvars.copy_context())

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> SimHandle:
        if self._closed:
            self._check_closed()
        if context is None:
            context = contextvars.copy_context()
        node = context.get(NODE)
        lane = self._outside if node is None or node.loop is not self else node
        handle = SimHandle(callback, args, self, context, lane)
        lane.ready.append(handle)
        if lane.idle:
            self._wake(lane)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any,
        context: contextvars.Context | None = None,
    ) -> SimTimer:  # fmt: skip
        """As asyncio's; `when` is rounded to whole microseconds, but what lies ahead stays ahead.

        On a machine whose clock drifts the time until then is counted by that clock, as it is now.
        """
        if self._closed:
            self._check_closed()
        if context is None:
            context = contextvars.copy_context()
        lane = self._lane_of(context)
        if lane.rate != 1.0:
            when = self._env._now + (when - self._env._now) / lane.rate
        return self._place(SimTimer(when, callback, args, self, context, lane))

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any,
        context: contextvars.Context | None = None,
    ) -> SimTimer:  # fmt: skip
        if self._closed:
            self._check_closed()
        if context is None:
            context = contextvars.copy_context()
        node = context.get(NODE)
        lane = self._outside if node is None or node.loop is not self else node
        if lane.rate != 1.0:
            delay /= lane.rate
        return self._place(SimTimer(self._env._now + delay, callback, args, self, context, lane))

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> SimTimer:
        """From any thread; taken in between two events. With a pace, at the instant that people see."""
        if self._closed:
            self._check_closed()
        if context is None:
            context = contextvars.copy_context()
        timer = SimTimer(0.0, callback, args, self, context, self._lane_of(context))
        self._inbox.append(timer)
        self._interrupt()
        return timer

    def _interrupt(self) -> None:
        self._interrupted = True

    def _call_in_lane(self, node: Node, lane: Lane, when: float, callback: Callable[..., object]) -> SimTimer:
        return self._place(SimTimer(when, callback, (), self, node.context, lane))

    def _place(self, timer: SimTimer) -> SimTimer:
        when, now = timer._when, self._env._now
        if when == inf:
            return timer
        due = round(when * TICKS) / TICKS
        if due <= now < when:  # a tiny rest of time must pass, or whoever waits for it spins
            due = (round(now * TICKS) + 1) / TICKS
        timer._when = due
        if due <= now or not timer.lane.alive:
            self._append(timer)
            return timer
        timer.instant = instant = self._instants.get(due) or self._new_instant(due)
        instant.timers.append(timer)
        instant.awaited += 1
        return timer

    def _new_instant(self, due: float) -> Instant:
        instant = self._instants[due] = Instant(due, self._turn)
        heappush(self._queue, (due, USUAL, next(self._env._eid), instant))
        return instant

    def _append(self, timer: SimTimer) -> None:
        lane = timer.lane
        lane.ready.append(timer)
        if lane.idle:
            self._wake(lane)

    def _timer_handle_cancelled(self, timer: SimTimer) -> None:
        instant = timer.instant
        if instant is None:
            return
        timer.instant = None
        instant.awaited -= 1
        if not instant.awaited:
            instant.timers.clear()
            del self._instants[instant.when]
            self._skip()

    def _skip(self) -> None:
        self._skipped += 1
        if self._skipped > 100 and self._skipped * 2 > len(self._queue):
            self._queue[:] = [entry for entry in self._queue if not _unawaited(entry[3])]
            heapify(self._queue)
            self._skipped = 0

    # ------------------------------------------------------------------ running

    def _wake(self, lane: Lane) -> None:
        lane.idle = False
        heappush(self._lanes_ready, (lane.rank, lane))
        if not self._called:
            self._call()

    def _call(self) -> None:
        self._called = True
        instant = Instant(self._env._now, self._turn, awaited=1)
        heappush(self._queue, (instant.when, USUAL, next(self._env._eid), instant))

    def _turn(self, instant: Instant) -> None:
        self._called = True
        lanes = self._lanes_ready
        if instant.timers:
            del self._instants[instant.when]
            for timer in instant.timers:
                timer.instant = None
                lane = timer.lane
                lane.ready.append(timer)
                if lane.idle:
                    lane.idle = False
                    heappush(lanes, (lane.rank, lane))
        try:
            while lanes and not self._interrupted:
                lane = heappop(lanes)[1]
                if not lane.held:
                    self._run_lane(lane)
        finally:
            self._called = False
            if lanes:
                self._call()

    def _run_lane(self, lane: Lane) -> None:
        ready = lane.ready
        try:
            for _ in PATIENCE:
                if not ready:
                    return
                handle = ready.popleft()
                if not handle._cancelled:
                    try:
                        handle._context.run(handle._callback, *handle._args)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as error:
                        self._callback_failed(handle, error)
                if lane.held or self._interrupted:
                    return
            raise Spinning(_spinning(lane, self.time()))
        finally:
            if lane.held:
                if lane.yielded:
                    ready.rotate(1)
                    lane.yielded = False
            elif ready:
                heappush(self._lanes_ready, (lane.rank, lane))
            else:
                lane.idle = True

    def _callback_failed(self, handle: SimHandle | SimTimer, error: BaseException) -> None:
        source = format_helpers._format_callback_source(handle._callback, handle._args)
        self.call_exception_handler(
            {"message": f"Exception in callback {source}", "exception": error, "handle": handle}
        )


def _unawaited(event: Any) -> bool:
    return event.__class__ is Instant and not event.awaited


def _spinning(lane: Lane, now: float) -> str:
    what = [getattr(handle._callback, "__self__", handle._callback) for handle in lane.ready]
    names = [describe(task) for task in what if isinstance(task, SimTask)][:3]
    return (
        f"{getattr(lane, 'name', 'outside')} ran {len(PATIENCE):,} handles at {now:.6f} s "
        f"without letting time pass: {'; '.join(names) or what[:3]}"
    )
