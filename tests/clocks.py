"""Clocks for tests."""

from __future__ import annotations


class StandingClock:
    """Stands still until it is moved, or slept on."""

    def __init__(self, now: float = 1_764_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
