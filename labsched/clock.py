"""Time and luck are passed in, one of each per instance.

Ring 1 reads no clock, draws no number and makes no id but through a `Host`. The simulated world passes
a host on virtual time; nothing in ring 1 can tell the difference.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


class Clock(Protocol):
    """What a node may know of time. All values are seconds."""

    def now(self) -> float:
        """Wall clock, seconds since 1970 UTC; may be wrong, may jump. For display only."""

    def monotonic(self) -> float:
        """Never goes back; durations and local deadlines are counted on it."""

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling coroutine."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Alarm(Protocol):
    """Calls back once a monotonic deadline has passed, also while the event loop is blocked."""

    def set(self, deadline: float) -> None:
        """Move the deadline (monotonic seconds)."""

    def stop(self) -> None:
        """Forget the deadline; the callback will not run any more."""


class ThreadAlarm:
    """An `Alarm` on a thread of its own, so that a body that hogs the loop cannot silence it."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock, self._ring = clock, ring
        self._deadline: float | None = None
        self._changed = threading.Condition()
        self._stopped = False
        threading.Thread(target=self._watch, name="labsched-alarm", daemon=True).start()

    def set(self, deadline: float) -> None:
        with self._changed:
            # Deadlines normally move later: the thread then re-reads them when it wakes, and no
            # renewal pays for waking it.
            sooner = self._deadline is None or deadline < self._deadline
            self._deadline = deadline
            if sooner:
                self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                left = None if self._deadline is None else self._deadline - self._clock.monotonic()
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                self._deadline = None
            self._ring()


async def _hog(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251  (hogging the loop is what it is for)


@dataclass
class Host:
    """The machine that an instance or client runs on: its clock, its luck, its alarm, its journal.

    `journal(kind, fields)` takes the few facts that a cut-off instance cannot append to the event
    stream (leases proved, loss told); the world collects them. The default forgets them.
    """

    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.SystemRandom)
    alarm: Callable[[Clock, Callable[[], None]], Alarm] = ThreadAlarm
    journal: Callable[[str, dict[str, Any]], None] = lambda kind, fields: None
    hog: Callable[[float], Awaitable[None]] = _hog
    hostname: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)

    def new_id(self) -> str:
        """A new id, unique among all that any client makes (64 random bits)."""
        return f"{self.rng.getrandbits(64):016x}"

    def new_ids(self, n: int) -> list[str]:
        """`n` of them, drawn at once."""
        digits = f"{self.rng.getrandbits(64 * n):0{16 * n}x}" if n else ""
        return [digits[i : i + 16] for i in range(0, 16 * n, 16)]
