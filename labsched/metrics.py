"""Counters, rates and distributions, all from what the scripts count: reading them scans nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import msgspec

from .config import Settings
from .errors import LabschedError
from .model import InstanceInfo, State, TaskInfo
from .registry import Registry


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """Of `count` values, in seconds. `p50` and `p99` are estimates, the middle of a bucket a quarter octave wide:
    off by up to a tenth of the value and a tenth of one unit (1 us of duration, 1 ms of lateness)."""

    count: int = 0
    mean: float | None = None
    p50: float | None = None
    p99: float | None = None


class TaskMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """One task. `success_rate` is of the executions that ended, None before the first."""

    name: str
    status: str
    running: int
    backlog: int
    succeeded: int
    failed: int
    retried: int
    lost: int
    skipped: int
    success_rate: float | None
    duration: Distribution  # of attempts
    lateness: Distribution  # start minus due, of slots


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace at one moment; `at` is Unix seconds by the server's clock. Totals count from its beginning."""

    at: float
    active_tasks: int
    running: int
    backlog: int
    states: dict[str, int]
    created: int
    succeeded: int
    failed: int
    dead: int
    cancelled: int
    skipped: int
    lost: int
    refused: int
    elections: int
    failovers: int  # elections after a leader that fell silent
    failover_time: float  # seconds between the end of their leases and the next leader, in all
    instances_lost: int  # whose lease ran out
    recovery_time: float  # seconds between the end of their leases and their recovery, in all
    locks_acquired: int
    locks_refused: int
    success_rate: float | None
    leader: str | None
    epoch: int | None
    instances: tuple[InstanceInfo, ...]
    tasks: tuple[TaskMetrics, ...]


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """One part of `Health`; `detail` says what is wrong, or the fact that was checked."""

    up: bool
    detail: str


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`up` is true when every component is."""

    up: bool
    components: dict[str, Component]


def distribution(stats: Mapping[str, int], prefix: str, unit: float) -> Distribution:
    """From histogram fields `PREFIX:BUCKET`: bucket b holds values v (of `unit` s) with floor(4*log2(v+1)) = b."""
    buckets = sorted((int(f[2:]), n) for f, n in stats.items() if f.startswith(f"{prefix}:"))
    count = sum(n for _, n in buckets)
    if not count:
        return Distribution()

    def quantile(q: float) -> float:
        up_to = itertools.accumulate(n for _, n in buckets)
        bucket = next(b for (b, _), seen in zip(buckets, up_to, strict=True) if seen >= q * count)
        return float(2 ** ((bucket + 0.5) / 4) - 1) * unit

    exact = stats.get(prefix), stats.get("n")
    middles = sum(n * (2 ** ((b + 0.5) / 4) - 1) for b, n in buckets) / count
    mean = exact[0] / exact[1] if exact[0] is not None and exact[1] else middles
    return Distribution(count=count, mean=mean * unit, p50=quantile(0.5), p99=quantile(0.99))


def _rate(succeeded: int, failed: int) -> float | None:
    return succeeded / (succeeded + failed) if succeeded + failed else None


def task_metrics(info: TaskInfo, stats: Mapping[str, int]) -> TaskMetrics:
    count = info.counts.get
    succeeded, failed = count("SUCCEEDED", 0), count("FAILED", 0) + count("DEAD", 0)
    return TaskMetrics(
        name=info.name,
        status=info.status,
        running=info.running,
        backlog=info.backlog,
        succeeded=succeeded,
        failed=failed,
        retried=count("RETRYING", 0),
        lost=count("LOST", 0),
        skipped=count("SKIPPED", 0),
        success_rate=_rate(succeeded, failed),
        duration=distribution(stats, "d", 1e-6),
        lateness=distribution(stats, "l", 1e-3),
    )


def cumulated(stats: Mapping[str, int], prefix: str, unit: float) -> list[tuple[float, int]]:
    """The same as a cumulative histogram: (upper bound in seconds, how many are at most that), the last unbounded.

    Bounds are exact, two octaves apart, from a few milliseconds to about an hour.
    """
    buckets = sorted((int(f[2:]), n) for f, n in stats.items() if f.startswith(f"{prefix}:"))
    smallest = round(math.log2(1e-3 / unit)) + 2
    found = []
    for octave in range(smallest, smallest + 22, 2):
        # The first bucket beyond, 4*octave, begins at v = 2**octave - 1, and v is whole.
        bound = float(f"{(2**octave - 2) * unit:.9g}")
        found.append((bound, sum(n for b, n in buckets if b < 4 * octave)))
    return [*found, (math.inf, sum(n for _, n in buckets))]


async def metrics(registry: Registry, now: int) -> Metrics:
    """Read everything that is counted; costs a few commands per task and instance."""
    counts, sizes, infos = await registry.counts(), await registry.sizes(), await registry.tasks()
    instances = await registry.instances()
    stats = await registry.all_stats([info.name for info in infos])
    leader = next((i for i in instances if i.leader), None)
    failed, dead = counts.get("FAILED", 0), counts.get("DEAD", 0)
    return Metrics(
        at=now / 1000,
        active_tasks=sum(info.status == "ACTIVE" for info in infos),
        running=sizes[State.RUNNING],
        backlog=sizes[State.READY] + sizes[State.RETRYING] + sizes[State.BUFFERED],
        states={str(state): size for state, size in sizes.items()},
        created=counts.get("CREATED", 0),
        succeeded=counts.get("SUCCEEDED", 0),
        failed=failed,
        dead=dead,
        cancelled=counts.get("CANCELLED", 0),
        skipped=counts.get("SKIPPED", 0),
        lost=counts.get("LOST", 0),
        refused=counts.get("REFUSED", 0),
        elections=counts.get("ELECTED", 0),
        failovers=counts.get("FAILOVER", 0),
        failover_time=counts.get("FAILOVER_MS", 0) / 1000,
        instances_lost=counts.get("INSTANCE_LOST", 0),
        recovery_time=counts.get("RECOVERY_MS", 0) / 1000,
        locks_acquired=counts.get("LOCK_ACQUIRED", 0),
        locks_refused=counts.get("LOCK_REFUSED", 0),
        success_rate=_rate(counts.get("SUCCEEDED", 0), failed + dead),
        leader=leader.name if leader else None,
        epoch=leader.epoch if leader else None,
        instances=tuple(instances),
        tasks=tuple(task_metrics(info, s) for info, s in zip(infos, stats, strict=True)),
    )


async def health(registry: Registry, settings: Settings) -> Health:
    """Look at server, leader and heartbeats; a dead server is an answer, not an error."""
    try:
        instances = await registry.instances()
    except LabschedError as error:
        return Health(up=False, components={"redis": Component(up=False, detail=str(error))})
    leader = next((i for i in instances if i.leader), None)
    late = [i.name for i in instances if i.lease_left < settings.lease_margin]
    parts = {
        "redis": Component(up=True, detail="answers"),
        "instances": Component(
            up=bool(instances) and not late,
            detail=f"late heartbeats: {', '.join(late)}" if late else f"{len(instances)} alive",
        ),
    }
    if settings.leader_election:
        parts["leader"] = Component(up=leader is not None, detail=leader.name if leader else "nobody leads")
    return Health(up=all(part.up for part in parts.values()), components=parts)
