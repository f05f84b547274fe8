"""The alarm of a simulated node: a thread of its own, so a hogged loop does not silence it."""

from __future__ import annotations

from collections.abc import Callable

from labsched.clock import Clock

from .handles import SimTimer
from .node import Node


class SimAlarm:
    """A `labsched.clock.Alarm` on `node`. Rings while the node is busy; not while it is paused (it rings on
    resume), and never once the node is dead. `functools.partial(SimAlarm, node)` is a `Host.alarm`."""

    def __init__(self, node: Node, clock: Clock, ring: Callable[[], None]) -> None:
        self._node, self._clock, self._ring = node, clock, ring
        self._deadline = 0.0
        self._timer: SimTimer | None = None
        self._wakes_at = 0.0  # by the node's clock
        self._stopped = False

    def set(self, deadline: float) -> None:
        """Move the deadline (monotonic seconds of the node's clock)."""
        if self._stopped:
            return
        self._deadline = deadline
        # Deadlines normally move later: the pending timer then looks again when it fires.
        if self._timer is None or deadline < self._wakes_at:
            self._arm(deadline)

    def stop(self) -> None:
        """Forget the deadline; the callback will not run any more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop, left = self._node.loop, max(deadline - self._clock.monotonic(), 0.0) / self._node.rate
        self._wakes_at = deadline
        self._timer = loop._call_in_lane(self._node, self._node.threads, loop.time() + left, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._clock.monotonic() < self._deadline:  # it was moved, or the clock runs slow
            self._arm(self._deadline)
            return
        self._ring()
