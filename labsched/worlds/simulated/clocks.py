"""Clocks that can be wrong, and the host that an instance or client of a simulated node gets."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from labsched.clock import Host
from labsched.errors import ConfigError

from .alarm import SimAlarm
from .network import stream
from .node import Node, current_node

EPOCH = 1_750_000_000.0  # Unix seconds of virtual time 0


class SimClock:
    """A `labsched.clock.Clock` on virtual time: of a node, or of a server (which reads `now` alone).

    `offset`: seconds by which its wall clock is wrong from the start. `drift`: seconds that it gains per
    second, below 0 when it is slow; it moves `now` and `monotonic` alike, and sleeps last accordingly, as do the
    timers of asyncio (`asyncio.timeout`, `call_later`) on a machine that keeps time by it. What waits already when
    the drift changes goes on as it was.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, offset: float = 0.0, drift: float = 0.0) -> None:
        self._loop = loop
        self._base = loop.time()  # what follows is as of then
        self._wall, self._steady = EPOCH + self._base + offset, self._base
        self._rate = 1.0
        self._node: Node | None = None
        self.drift(drift)

    def now(self) -> float:
        """Unix seconds as this clock has them."""
        return self._wall + (self._loop.time() - self._base) * self._rate

    def monotonic(self) -> float:
        """Drifts, never jumps."""
        return self._steady + (self._loop.time() - self._base) * self._rate

    async def sleep(self, seconds: float) -> None:
        """Until this clock has gained `seconds`, by the drift of this moment."""
        on_it = current_node() is self._node is not None
        await asyncio.sleep(seconds if on_it else seconds / self._rate)

    def govern(self, node: Node) -> None:
        """From now on `node` counts its timers by this clock; the node before it, a dead process, does not matter."""
        self._node, node.rate = node, self._rate

    # --- faults ---------------------------------------------------------------------------------------

    def jump(self, seconds: float) -> None:
        """The wall clock steps by that much. The inverse is the same with the other sign, or `correct`."""
        self._wall += seconds

    def drift(self, rate: float = 0.0) -> None:
        """From now on it gains `rate` seconds per second; 0 is true time again, with what it has gained so far."""
        if not -1 < rate < float("inf"):
            raise ConfigError(f"drift is {rate}: seconds per second, above -1 (a clock that stands still)")
        self._settle()
        self._rate = 1.0 + rate
        if self._node is not None:
            self._node.rate = self._rate

    def correct(self) -> None:
        """NTP did its work: the wall clock is right. Drift stays, `monotonic` is not touched."""
        self._settle()
        self._wall = EPOCH + self._base

    @property
    def error(self) -> float:
        """By how many seconds the wall clock is wrong; above 0 it is fast."""
        return self.now() - EPOCH - self._loop.time()

    def _settle(self) -> None:
        self._wall, self._steady = self.now(), self.monotonic()
        self._base = self._loop.time()


def sim_host(
    node: Node,
    seed: object,
    *,
    clock: SimClock | None = None,
    journal: Callable[[str, dict[str, Any]], None] | None = None,
    pid: int = 1,
) -> Host:
    """The machine that ring 1 sees on `node`: its clock, a random stream of its own, its alarm. `pid` tells two
    processes of one name apart.

    Two hosts of one node and seed draw the same numbers, so a restarted node needs a seed of its own.
    """
    clock = clock or SimClock(node.loop)
    clock.govern(node)
    return Host(
        clock=clock,
        rng=stream(seed, "host", node.name),
        alarm=functools.partial(SimAlarm, node),
        journal=journal or (lambda kind, fields: None),
        hog=node.hog,
        hostname=node.name,
        pid=pid,
    )
