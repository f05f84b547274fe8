"""`/metrics`: the table of meters, and two histograms for each task, in the text that Prometheus reads."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from labsched.metrics import Metrics, cumulated

from .endpoints import Shared
from .meters import METERS, Meter

if TYPE_CHECKING:
    from labsched.app import Scheduler

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
HISTOGRAMS = (
    ("labsched_task_duration_seconds", "Duration of attempts", "d", 1e-6),
    ("labsched_task_lateness_seconds", "Start minus due of the runs of slots", "l", 1e-3),
)


class _Reading(Collector):
    """What was read a moment ago, as families of metrics; a collector may not wait for a server."""

    def __init__(self, seen: Metrics, stats: Sequence[Mapping[str, int]]) -> None:
        self._seen, self._stats = seen, stats

    def collect(self) -> Iterator[Metric]:
        for meter in METERS:
            yield self._family(meter)
        for name, about, prefix, unit in HISTOGRAMS:
            yield self._histogram(name, about, prefix, unit)

    def _family(self, meter: Meter) -> Metric:
        kind = GaugeMetricFamily if meter.kind == "gauge" else CounterMetricFamily
        family = kind(meter.prometheus, meter.about, labels=meter.tags)
        for tags, value in meter.read(self._seen):
            family.add_metric([tags[tag] for tag in meter.tags], value)
        return family

    def _histogram(self, name: str, about: str, prefix: str, unit: float) -> Metric:
        family = HistogramMetricFamily(name, about, labels=("task",))
        for task, stats in zip(self._seen.tasks, self._stats, strict=True):
            counted = cumulated(stats, prefix, unit)
            buckets = [("+Inf" if math.isinf(bound) else repr(bound), float(n)) for bound, n in counted]
            shown = task.duration if prefix == "d" else task.lateness
            family.add_metric([task.name], buckets, sum_value=shown.count * (shown.mean or 0.0))
        return family


class Exposition:
    """`/metrics`, made at most once a second in each of its two formats."""

    def __init__(self, app: Scheduler) -> None:
        self._app = app
        self._made = {wanted: Shared(functools.partial(self._make, wanted)) for wanted in ("", OPEN_METRICS)}

    async def get(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type: OpenMetrics when asked for, else Prometheus' own format."""
        return await self._made[OPEN_METRICS if "openmetrics" in accept else ""].get()

    async def _make(self, accept: str) -> tuple[bytes, str]:
        seen = await self._app.metrics()
        stats = await self._app.registry_open().all_stats([task.name for task in seen.tasks])
        # A thousand tasks make 50,000 lines: in a thread, so that heartbeats go on.
        return await asyncio.to_thread(_text, seen, stats, accept)


def _text(seen: Metrics, stats: Sequence[Mapping[str, int]], accept: str) -> tuple[bytes, str]:
    registry = CollectorRegistry()
    registry.register(_Reading(seen, stats))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    encode, kind = choose_encoder(accept)
    return encode(registry), kind
