"""What `metrics` draws, as plain numbers over time: rates, quantiles and levels. No ink here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import msgspec

from ...model import Kind
from ...worlds.checks.nouns import STATES, Try
from .bars import Reading, by_number, frame

if TYPE_CHECKING:
    import pandas as pd

    from ...worlds.recording import Recording

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_MOST_BINS = 60
_RAISED = frozenset({"FAILED", "TIMED_OUT", "LOST"})
_DTYPES = {"panel": "string", "series": "string", "t": "float64", "value": "float64"}


class Point(msgspec.Struct, frozen=True):
    """`t` is the middle of a bin, or of what is shown of it, for rates and quantiles; for levels it is the moment of
    the change."""

    panel: str
    series: str
    t: float
    value: float


class Numbers:
    """The series of one recording, by panel and name, each in order of time."""

    def __init__(self, rec: Recording, start: float, end: float | None) -> None:
        self.read = Reading(rec, start, end)
        self.step = next(
            (step for step in _STEPS if self.read.span / step <= _MOST_BINS), self.read.span / _MOST_BINS
        )
        self.counted: dict[str, int] = {}
        self.points = [
            *self._rates(),
            *self._durations(),
            *self._lateness(),
            *self._ready(),
            *self._running(),
        ]

    @property
    def data(self) -> pd.DataFrame:
        return frame(self.points, _DTYPES)

    @property
    def instances(self) -> list[str]:
        return self.read.instances

    def series(self, panel: str, name: str) -> tuple[list[float], list[float]]:
        """Moments and values."""
        found = [point for point in self.points if point.panel == panel and point.series == name]
        return [point.t for point in found], [point.value for point in found]

    # --- bins

    def _bin(self, t: float) -> int:
        return math.floor(t / self.step)

    def _middle(self, number: int) -> float:
        first, last = number * self.step, (number + 1) * self.step
        return (max(first, self.read.start) + min(last, self.read.end)) / 2

    def _ended(self) -> Iterator[tuple[float, Try]]:
        """Attempts that ended in the stretch, with the moment."""
        for tried in self.read.facts.tries:
            if tried.ended is not None and self.read.start <= self.read.seconds(tried.ended) <= self.read.end:
                yield self.read.seconds(tried.ended), tried

    def _rates(self) -> Iterator[Point]:
        """Attempts per second by how they ended; bins in which none did count 0."""
        bins = range(self._bin(self.read.start), self._bin(self.read.end - 1e-9) + 1)
        counts = {name: dict.fromkeys(bins, 0) for name in ("succeeded", "failed")}
        for t, tried in self._ended():
            name = (
                "succeeded" if tried.outcome == "SUCCEEDED" else "failed" if tried.outcome in _RAISED else ""
            )
            number = min(self._bin(t), bins[-1])
            if name:
                counts[name][number] += 1
        self.counted = {name: sum(by_bin.values()) for name, by_bin in counts.items()}
        for name, by_bin in counts.items():
            # The first and last bin may be cut by the edges: a rate counts the time that is there.
            for number, count in by_bin.items():
                first, last = number * self.step, (number + 1) * self.step
                wide = min(last, self.read.end) - max(first, self.read.start)
                yield Point("rates", name, self._middle(number), count / max(wide, 0.001))

    def _durations(self) -> Iterator[Point]:
        done = ((t, (tried.ended - tried.started) / 1000) for t, tried in self._ended() if tried.ended is not None
                and tried.outcome in ("SUCCEEDED", "FAILED", "TIMED_OUT"))  # fmt: skip
        yield from self._quantiles("durations", done)

    def _lateness(self) -> Iterator[Point]:
        """First attempts, by when they began."""
        late = (
            (self.read.seconds(run.started), run.late_ms / 1000) for run in self.read.facts.runs.values()
            if run.started is not None and run.late_ms is not None
        )  # fmt: skip
        yield from self._quantiles(
            "lateness", ((t, value) for t, value in late if self.read.start <= t <= self.read.end)
        )

    def _quantiles(self, panel: str, values: Iterable[tuple[float, float]]) -> Iterator[Point]:
        by_bin: dict[int, list[float]] = {}
        for t, value in values:
            by_bin.setdefault(self._bin(t), []).append(value)
        for name, part in (("p50", 0.5), ("p95", 0.95)):
            for number, found in sorted(by_bin.items()):
                yield Point(panel, name, self._middle(number), quantile(found, part))

    # --- levels

    def _ready(self) -> Iterator[Point]:
        """How many executions wait in READY."""
        ready = {name for name, seen in self._before().items() if seen.get("state") == Kind.READY}
        changes = []
        level = len(ready)
        for event in self.read.rec.history:
            if event.execution is None or (event.kind not in STATES and event.kind != Kind.LOST):
                continue
            was = event.execution in ready
            if event.kind == Kind.READY:
                ready.add(event.execution)
            else:
                ready.discard(event.execution)
            if was != (event.execution in ready):
                changes.append((self.read.seconds(round(event.at * 1000)), 1 - 2 * was))
        yield from self._level("ready", "ready", level, changes)

    def _before(self) -> dict[str, dict[str, object]]:
        return self.read.rec.snapshot.get("executions") or {}

    def _running(self) -> Iterator[Point]:
        for name in by_number(self.read.instances):
            mine = [bar for bar in self.read.attempts if bar.band == name]
            changes = [(bar.start, 1) for bar in mine]
            changes += [(bar.end, -1) for bar in mine if bar.outcome != "RUNNING"]
            yield from self._level("running", name, 0, changes)

    def _level(self, panel: str, name: str, level: int, changes: list[tuple[float, int]]) -> Iterator[Point]:
        """A staircase: its value from each moment on, from the start of the stretch to its end."""
        changes = sorted(changes)
        levels = list(accumulate((change for _, change in changes), initial=level))
        before = sum(t <= self.read.start for t, _ in changes)
        yield Point(panel, name, self.read.start, levels[before])
        inside = [
            (t, levels[n + 1]) for n, (t, _) in enumerate(changes) if self.read.start < t <= self.read.end
        ]
        for n, (t, value) in enumerate(inside):
            if n + 1 == len(inside) or inside[n + 1][0] > t:  # what lasted no time is no step
                yield Point(panel, name, t, value)
        yield Point(panel, name, self.read.end, inside[-1][1] if inside else levels[before])


def quantile(values: list[float], part: float) -> float:
    """The smallest value that at least that part of the values does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def broken(ts: list[float], values: list[float], step: float) -> tuple[list[float], list[float]]:
    """The series with a hole where bins are missing, so that no line is drawn across them."""
    xs, ys = ts[:1], values[:1]
    for (before, after), value in zip(pairwise(ts), values[1:], strict=True):
        if after - before > 1.5 * step:
            xs.append((before + after) / 2)
            ys.append(math.nan)
        xs.append(after)
        ys.append(value)
    return xs, ys
