"""SimLoop: an asyncio event loop whose time is `simpy.Environment.now`.

Order, the same in every run: by time; at one instant by node (outside first, then by `order`), each node
running until it is quiet; within a node first come, first served. SimPy events of the same instant take
their turns between those of the loop, in the order in which they were scheduled. So how many hops a piece
of asyncio takes on one Python version or another moves nothing on the other nodes.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable
from heapq import heappop, heappush
from typing import Any, TypeVar

import simpy

from . import abandoned
from .collecting import seldom_collected
from .errors import NothingLeft
from .handles import Instant
from .node import NODE, Node
from .pacing import Pacer
from .refused import Refused
from .tasks import SimFuture, SimTask, describe
from .threads import in_thread
from .troubles import Trouble, Troubles
from .turns import FIRST, TICKS, Turns

T = TypeVar("T")

NAMED = 20  # waiters that NothingLeft names


class SimLoop(Refused, Turns):  # type: ignore[misc]
    """Runs asyncio code in virtual time; one per simulated world. All times are virtual seconds.

    Nothing in it reads a real clock, unless a pace is set. Threads, sockets and processes are refused with
    `NotSimulated`. A loop lives until it is closed: the garbage collector would run `finally` blocks of the
    world at a moment of its own choosing.
    """

    def __init__(self, env: simpy.Environment | None = None) -> None:
        super().__init__(env if env is not None else simpy.Environment())
        self._pacer = Pacer()
        self._nodes: list[Node] = []
        self._tasks: dict[SimTask, None] = {}  # the pending ones, oldest first; asyncio holds none of them
        self._troubles = Troubles(self)
        self._exhausted = self._reached = False
        abandoned.keep(self)

    @property
    def env(self) -> simpy.Environment:
        """The SimPy environment; `env.process(...)` runs native processes on the same clock."""
        return self._env

    @property
    def nodes(self) -> list[Node]:
        """Every node ever made on this loop, dead ones too, oldest first."""
        return list(self._nodes)

    # ------------------------------------------------------------------ running

    def run(self, main: Awaitable[T] | None = None, *, until: float | None = None) -> T | None:
        """Let the world run until `main` is done, or `until` (absolute), or `stop()`; may be called again.

        Events at `until` itself belong to the next run. Returns what `main` returns, raises what it raises;
        TimeoutError when `until` came first (a task passed as `main` goes on with the next run).
        NothingLeft when `main` waits for what can never happen. Without `main` and `until`, ends when
        nothing is left. Where another loop runs already, as in a notebook, the world runs in a thread of
        its own meanwhile.
        """
        self._check_closed()
        if self.is_running():
            raise RuntimeError("this simulation runs already")
        if until is not None and not until >= self.time():
            raise ValueError(f"until={until!r} lies before now, {self.time():.6f} s")
        if asyncio._get_running_loop() is not None:
            return in_thread(lambda: self._run(main, until), interrupt=self.stop)
        return self._run(main, until)

    def _run(self, main: Awaitable[T] | None, until: float | None) -> T | None:
        future = None if main is None else self._start(main)
        marker = None if until is None else self._mark(until)
        self._exhausted = self._reached = False
        try:
            with seldom_collected():
                self.run_forever()
        finally:
            self._pacer.rest()
            if marker is not None and not self._reached:
                marker.awaited = 0
                self._skip()
            if future is not None:
                future.remove_done_callback(self._main_done)
        return None if future is None else self._outcome(future, until)

    def _start(self, main: Awaitable[T]) -> asyncio.Future[T]:
        context = contextvars.copy_context()
        context.run(NODE.set, None)
        future = context.run(asyncio.ensure_future, main, loop=self)
        future.add_done_callback(self._main_done, context=self._outside_context)
        return future

    def _main_done(self, _: object) -> None:
        self.stop()

    def _mark(self, until: float) -> Instant:
        marker = Instant(until, self._halt, awaited=1)
        heappush(self._queue, (until, FIRST, next(self._env._eid), marker))
        return marker

    def _halt(self, _: Instant) -> None:
        self._reached = True
        self.stop()

    def _outcome(self, future: asyncio.Future[T], until: float | None) -> T:
        if future.done():
            return future.result()
        what = describe(future) if isinstance(future, SimTask) else repr(future)
        if self._exhausted:
            raise NothingLeft(self._who_waits(what))
        if self._reached:
            raise TimeoutError(f"not done by {until} s: {what}")
        raise RuntimeError(f"stopped at {self.time():.6f} s before it was done: {what}")

    def run_until_complete(self, future: Awaitable[T]) -> T:  # type: ignore[override]
        """As asyncio's; `run` says the same with a time limit."""
        return self.run(future)  # type: ignore[return-value]

    def _run_once(self) -> None:
        """What asyncio's `run_forever` repeats until told to stop."""
        queue, env, pacer = self._queue, self._env, self._pacer
        while True:
            if self._interrupted:
                self._interrupted = False
                self._take_inbox()
                if self._stopping:
                    return
            if not queue:
                self._exhausted = self._stopping = not self._inbox
                self._interrupted = True
                continue
            event = queue[0][3]
            if event.__class__ is Instant and not event.awaited:
                heappop(queue)
                self._skipped -= 1
            elif pacer.factor is not None and not pacer.due(env._now, queue[0][0]):
                continue
            elif event.__class__ is Instant:  # what env.step() would do, at a third of its price
                env._now = heappop(queue)[0]
                event.callback(event)
            else:
                env.step()

    def _take_inbox(self) -> None:
        if not self._inbox:
            return
        upcoming = self._queue[0][0] if self._queue else self.time()
        seen = min(self._pacer.virtual(self.time()), upcoming)
        while self._inbox:
            timer = self._inbox.popleft()
            timer._when = max(int(seen * TICKS) / TICKS, self.time())
            self._place(timer)

    def stop(self) -> None:
        """End the current `run` after the callback under way; from any thread."""
        super().stop()
        self._interrupt()

    def _interrupt(self) -> None:
        super()._interrupt()
        self._pacer.wake()

    @property
    def pace(self) -> float | None:
        """Virtual seconds per real second; None (the default): as fast as possible. Set from any thread."""
        return self._pacer.factor

    @pace.setter
    def pace(self, factor: float | None) -> None:
        self._pacer.factor = factor

    # ------------------------------------------------------------------ tasks

    def create_future(self) -> asyncio.Future[Any]:
        return SimFuture(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        self._check_closed()
        if context is None:
            context = contextvars.copy_context()
        task = SimTask(coro, loop=self, lane=self._lane_of(context), name=name, context=context, **options)
        self._tasks[task] = None
        task.add_done_callback(self._task_done, context=self._outside_context)
        return task

    def _task_done(self, task: Any) -> None:
        self._tasks.pop(task, None)
        self._troubles.look(task)

    def _bury(self, node: Node) -> None:
        """Its tasks stay referenced; its timers no longer count as something that will happen."""
        timers = [timer for instant in self._instants.values() for timer in instant.timers]
        for timer in timers:
            if timer.instant is not None and not timer.lane.alive:
                self._timer_handle_cancelled(timer)
                timer.lane.ready.append(timer)

    def _who_waits(self, main: str) -> str:
        others = [describe(task) for task in self._tasks if task.node is None or task.node.alive]
        waiting = [main, *(other for other in others if other != main)]
        more = [f"and {len(waiting) - NAMED} more"] if len(waiting) > NAMED else []
        lines = "".join(f"\n  {line}" for line in [*waiting[:NAMED], *more])
        return f"nothing will ever happen after {self.time():.6f} s, and these wait:{lines}"

    # ------------------------------------------------------------------ troubles

    @property
    def troubles(self) -> list[Trouble]:
        """Exceptions that nobody caught, by time."""
        return self._troubles.known()

    def check(self) -> None:
        """Raise an ExceptionGroup of all `troubles`; quiet when there are none."""
        self._troubles.check()

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self._troubles.add(context)

    # ------------------------------------------------------------------ the end

    def close(self) -> None:
        """End the world. No code of it runs any more: pending tasks are dropped without their `finally`."""
        if self._closed:
            return
        super().close()
        self._troubles.known()
        abandoned.abandon(self._tasks)
        self._tasks.clear()
        for lane in (self._outside, *self._nodes, *(node.threads for node in self._nodes)):
            lane.ready.clear()
            lane.hold()
        for instant in self._instants.values():
            instant.timers.clear()
        self._instants.clear()
        self._queue.clear()
        self._inbox.clear()
        self._lanes_ready.clear()
        abandoned.let_go(self)
