"""Virtual time held back to real time, for what people watch."""

from __future__ import annotations

import threading
import time

LONGEST_WAIT = 0.25  # seconds; so that Ctrl-C is heard on every platform


class Pacer:
    """`factor` virtual seconds pass in one real second; None: as fast as the machine can.

    May be changed from any thread while the loop runs; `wake()` ends a wait. A world that is slower than
    its pace catches up as soon as it can.
    """

    def __init__(self) -> None:
        self._factor: float | None = None
        self._anchor: tuple[float, float] | None = None  # (real, virtual) seconds that belong together
        self._changing = threading.Lock()
        self._woken = threading.Event()

    @property
    def factor(self) -> float | None:
        return self._factor

    @factor.setter
    def factor(self, factor: float | None) -> None:
        if factor is not None and not 0 < factor < float("inf"):
            raise ValueError(f"pace is a factor above 0, or None for as fast as possible, not {factor!r}")
        with self._changing:
            self._factor, self._anchor = factor, None
        self.wake()

    def rest(self) -> None:
        """Real time that passes until the next `due` does not count."""
        with self._changing:
            self._anchor = None

    def wake(self) -> None:
        self._woken.set()

    def virtual(self, now: float) -> float:
        """The virtual time that belongs to this moment, never before `now`."""
        with self._changing:
            return self._virtual(now)

    def _virtual(self, now: float) -> float:
        if self._factor is None or self._anchor is None:
            return now
        return max(now, self._anchor[1] + (time.monotonic() - self._anchor[0]) * self._factor)

    def due(self, now: float, upcoming: float) -> bool:
        """Whether the event at `upcoming` may happen; if not, waits a while first, or until woken."""
        with self._changing:
            if self._factor is None:
                return True
            if self._anchor is None:
                self._anchor = (time.monotonic(), now)
            left = (upcoming - self._virtual(now)) / self._factor
        if left <= 0:
            return True
        self._woken.wait(min(left, LONGEST_WAIT))
        self._woken.clear()
        return False
