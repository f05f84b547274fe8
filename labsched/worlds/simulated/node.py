"""A node owns handles: whatever is scheduled from its context runs only while the node may run.

Ownership travels in a context variable, as asyncio copies the context of whoever creates a task or a
handle. So code does not know that it is on a node, and cannot leave it by mistake.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import Killed

if TYPE_CHECKING:
    from .handles import SimHandle, SimTimer
    from .loop import SimLoop
    from .turns import Turns

T = TypeVar("T")

NODE: contextvars.ContextVar[Node | None] = contextvars.ContextVar("labsched_node", default=None)


def current_node() -> Node | None:
    """The node whose code is running; None outside of all."""
    return NODE.get()


class Lane:
    """Handles that run in order, and only while the lane is not held.

    `idle` means that the next handle has to wake it: False while it is queued to run, and while it is held,
    so that the hot path asks one question only.
    """

    __slots__ = ("alive", "count", "held", "idle", "loop", "rank", "rate", "ready", "yielded")

    def __init__(self, loop: Turns, rank: tuple[float, int, int]) -> None:
        self.loop, self.rank = loop, rank
        self.ready: deque[SimHandle | SimTimer] = deque()
        self.count = itertools.count(1).__next__  # numbers its tasks and futures
        self.idle = True
        self.held = 0  # how many reasons hold it
        self.alive = True
        self.rate = 1.0  # seconds that its timers count in a true second
        self.yielded = False  # the coroutine that hogs is the last in `ready`, and comes first afterwards

    def hold(self) -> None:
        self.held += 1
        self.idle = False

    def release(self) -> None:
        self.held -= 1
        if not self.held:
            if self.ready:
                self.loop._wake(self)
            else:
                self.idle = True


class Node(Lane):
    """A machine of the simulated world. All durations are virtual seconds.

    At one instant the node with the lowest `order` runs until it is quiet, then the next; equal orders run in
    the order of their making. What is outside of all nodes comes before them.
    """

    __slots__ = ("_hogs", "_on_kill", "context", "name", "order", "paused", "threads")

    def __init__(self, loop: SimLoop, name: str, order: float = 0) -> None:
        serial = len(loop._nodes)
        super().__init__(loop, (order, serial, 1))
        self.loop: SimLoop
        self.name, self.order = name, order
        self.paused = False
        self.context = loop._outside_context.copy()
        self.context.run(NODE.set, self)
        self.threads = Lane(loop, (order, serial, 0))  # runs while the node's loop is busy
        self._on_kill: list[Callable[[], object]] = []
        self._hogs = 0
        loop._nodes.append(self)

    def __repr__(self) -> str:
        return f"<Node {self.name} {self.state}>"

    @property
    def state(self) -> str:
        """One of running, busy, paused, killed."""
        if not self.alive:
            return "killed"
        return "paused" if self.paused else "busy" if self._hogs else "running"

    # ------------------------------------------------------------------ running code on it

    def run(self, fn: Callable[..., T], *args: Any) -> T:
        """Call `fn` now, as code of this node: what it schedules is the node's. Killed when it is dead."""
        self._check_alive()
        context = contextvars.copy_context()
        context.run(NODE.set, self)
        return context.run(fn, *args)

    def create_task(self, coro: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Start `coro` on this node. Killed (and the coroutine closed) when the node is dead."""
        if not self.alive:
            coro.close()
        return self.run(lambda: self.loop.create_task(coro, name=name))

    def _check_alive(self) -> None:
        if not self.alive:
            raise Killed(f"node {self.name!r} was killed: make a new Node to restart it")

    # ------------------------------------------------------------------ faults

    def kill(self) -> None:
        """SIGKILL: none of its handles runs again, no `finally`, no `except`. Killing twice is once.

        When the node kills itself, its current handle runs on to its next `await`.
        """
        if not self.alive:
            return
        self.alive = self.threads.alive = False
        self.hold()
        self.threads.hold()
        self.loop._bury(self)
        callbacks, self._on_kill = self._on_kill, []
        for callback in callbacks:
            self.loop._outside_context.copy().run(callback)

    def on_kill(self, callback: Callable[[], object]) -> None:
        """Call `callback` at the moment of the kill, outside of the node: to close its sockets."""
        self._on_kill.append(callback)

    def pause(self) -> None:
        """SIGSTOP: its handles wait, alarms too. Pausing twice is once; a dead node stays dead."""
        if self.alive and not self.paused:
            self.paused = True
            self.hold()
            self.threads.hold()

    def resume(self) -> None:
        """SIGCONT: what fell due meanwhile runs now, in the order in which it fell due."""
        if self.alive and self.paused:
            self.paused = False
            self.threads.release()
            self.release()

    def busy(self, seconds: float) -> None:
        """Its event loop is hogged for that long from now: handles wait, alarms ring. Overlapping hogs add
        up to their latest end."""
        if seconds > 0:
            self._hogs += 1
            self.hold()
            self.loop._call_in_lane(self, self.threads, self.loop.time() + seconds, self._unhog)

    def _unhog(self) -> None:
        self._hogs -= 1
        self.release()

    async def hog(self, seconds: float) -> None:
        """The calling coroutine of this node blocks the node's loop for that long, then goes on before
        anything else of the node does. `Host.hog` of the simulated world."""
        assert current_node() is self, "a coroutine hogs the loop that it runs on"
        if seconds > 0:
            self.busy(seconds)
            self.yielded = True
            await asyncio.sleep(0)
