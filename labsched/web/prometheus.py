"""`/metrics`: the table of meters, and two histograms for each task, in the text that Prometheus reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from labsched.metrics import Metrics, cumulated

from .meters import METERS, Meter

if TYPE_CHECKING:
    from labsched.app import Scheduler

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


async def exposition(app: Scheduler, accept: str) -> tuple[bytes, str]:
    """The text and its content type: OpenMetrics when asked for, else Prometheus' own format."""
    seen = await app.metrics()
    stats = await app.registry_open().all_stats([task.name for task in seen.tasks])
    registry = CollectorRegistry()
    registry.register(_Reading(seen, stats))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    encode, kind = choose_encoder(accept)
    return encode(registry), kind
