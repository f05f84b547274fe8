"""What is measured: one table, from which the Actuator's JSON and Prometheus' text are both made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from labsched.metrics import Metrics, TaskMetrics

Tags = Mapping[str, str]
Samples = Iterable[tuple[Tags, float]]


@dataclass(frozen=True)
class Meter:
    """`name` in dots, as in the Actuator; Prometheus gets underscores, its unit and `_total`."""

    name: str
    kind: Literal["gauge", "counter"]
    about: str
    read: Callable[[Metrics], Samples]
    unit: str = ""
    tags: tuple[str, ...] = ()

    @property
    def prometheus(self) -> str:
        """The name without `_total`, which its library adds."""
        words = self.name.replace(".", "_")
        return f"{words}_{self.unit}" if self.unit else words


def _one(read: Callable[[Metrics], float | None]) -> Callable[[Metrics], Samples]:
    def samples(m: Metrics) -> Samples:
        value = read(m)
        return [] if value is None else [({}, float(value))]

    return samples


def _by_task(read: Callable[[TaskMetrics], float | None]) -> Callable[[Metrics], Samples]:
    def samples(m: Metrics) -> Samples:
        values = ((task.name, read(task)) for task in m.tasks)
        return [({"task": name}, float(value)) for name, value in values if value is not None]

    return samples


def _outcomes(m: Metrics) -> Samples:
    for task in m.tasks:
        for outcome in ("succeeded", "failed", "retried", "lost", "skipped"):
            yield {"task": task.name, "outcome": outcome}, float(getattr(task, outcome))


METERS: tuple[Meter, ...] = (
    Meter("labsched.tasks.active", "gauge", "Tasks whose slots are made into runs", _one(lambda m: m.active_tasks)),
    Meter("labsched.tasks", "gauge", "Tasks by status",
          lambda m: [({"status": s}, float(sum(t.status == s for t in m.tasks)))
                     for s in ("ACTIVE", "PAUSED", "DISABLED")], tags=("status",)),
    Meter("labsched.executions", "gauge", "Executions that are kept, by state",
          lambda m: [({"state": s}, float(n)) for s, n in m.states.items()], tags=("state",)),
    Meter("labsched.executions.running", "gauge", "Attempts that run now", _one(lambda m: m.running)),
    Meter("labsched.backlog", "gauge", "Executions that wait: ready, retrying or buffered", _one(lambda m: m.backlog)),
    Meter("labsched.executions.created", "counter", "Executions that came into being", _one(lambda m: m.created)),
    Meter("labsched.executions.succeeded", "counter", "Executions that succeeded", _one(lambda m: m.succeeded)),
    Meter("labsched.executions.failed", "counter", "Executions that failed for good", _one(lambda m: m.failed)),
    Meter("labsched.executions.dead", "counter", "Executions given up after too many losses", _one(lambda m: m.dead)),
    Meter("labsched.executions.cancelled", "counter", "Executions that were cancelled", _one(lambda m: m.cancelled)),
    Meter("labsched.slots.skipped", "counter", "Slots that became no run", _one(lambda m: m.skipped)),
    Meter("labsched.success.ratio", "gauge", "Succeeded of those that succeeded or failed, since the beginning",
          _one(lambda m: m.success_rate)),
    Meter("labsched.attempts.lost", "counter", "Attempts recovered from instances that fell silent",
          _one(lambda m: m.lost)),
    Meter("labsched.writes.refused", "counter", "Calls of stale holders, leaders and instances that a fence refused",
          _one(lambda m: m.refused)),
    Meter("labsched.leader.elections", "counter", "Elections won", _one(lambda m: m.elections)),
    Meter("labsched.leader.failovers", "counter", "Elections after a leader that fell silent",
          _one(lambda m: m.failovers)),
    Meter("labsched.leader.failover.time", "counter", "From the ends of silent leaders' leases to the next, summed",
          _one(lambda m: m.failover_time), "seconds"),
    Meter("labsched.instances.lost", "counter", "Instances whose lease ran out", _one(lambda m: m.instances_lost)),
    Meter("labsched.recovery.time", "counter", "From the ends of lost instances' leases to their recovery, summed",
          _one(lambda m: m.recovery_time), "seconds"),
    Meter("labsched.leader.epoch", "gauge", "Epoch of the present leader", _one(lambda m: m.epoch)),
    Meter("labsched.leader", "gauge", "1 for the instance that leads, 0 for the others",
          lambda m: [({"instance": i.name}, float(i.leader)) for i in m.instances], tags=("instance",)),
    Meter("labsched.locks.acquired", "counter", "Locks that were granted", _one(lambda m: m.locks_acquired)),
    Meter("labsched.locks.refused", "counter", "Tries for a lock that somebody held", _one(lambda m: m.locks_refused)),
    Meter("labsched.instances", "gauge", "Members by state",
          lambda m: [({"state": s}, float(sum(i.state == s for i in m.instances)))
                     for s in ("ACTIVE", "DRAINING", "EXPIRED")], tags=("state",)),
    Meter("labsched.instance.running", "gauge", "Attempts by instance",
          lambda m: [({"instance": i.name}, float(i.running)) for i in m.instances], tags=("instance",)),
    Meter("labsched.instance.pool.size", "gauge", "Attempts that an instance runs at once at most",
          lambda m: [({"instance": i.name}, float(i.pool_size)) for i in m.instances], tags=("instance",)),
    Meter("labsched.instance.lease.left", "gauge", "What is left of an instance's lease",
          lambda m: [({"instance": i.name}, i.lease_left) for i in m.instances], "seconds", ("instance",)),
    Meter("labsched.instance.heartbeat.age", "gauge", "Since an instance was last heard of",
          lambda m: [({"instance": i.name}, m.at - i.heartbeat / 1000) for i in m.instances], "seconds",
          ("instance",)),
    Meter("labsched.task.running", "gauge", "Attempts by task", _by_task(lambda t: t.running), tags=("task",)),
    Meter("labsched.task.backlog", "gauge", "Waiting executions by task", _by_task(lambda t: t.backlog),
          tags=("task",)),
    Meter("labsched.task.outcomes", "counter", "What became of a task's executions, attempts and slots", _outcomes,
          tags=("task", "outcome")),
    Meter("labsched.task.success.ratio", "gauge", "Succeeded of those that ended, by task",
          _by_task(lambda t: t.success_rate), tags=("task",)),
    Meter("labsched.task.duration.mean", "gauge", "Mean duration of attempts", _by_task(lambda t: t.duration.mean),
          "seconds", ("task",)),
    Meter("labsched.task.duration.p50", "gauge", "Median duration of attempts, estimated from buckets",
          _by_task(lambda t: t.duration.p50), "seconds", ("task",)),
    Meter("labsched.task.duration.p99", "gauge", "99th percentile of durations, estimated from buckets",
          _by_task(lambda t: t.duration.p99), "seconds", ("task",)),
    Meter("labsched.task.lateness.mean", "gauge", "Mean of start minus due", _by_task(lambda t: t.lateness.mean),
          "seconds", ("task",)),
    Meter("labsched.task.lateness.p50", "gauge", "Median of start minus due, estimated from buckets",
          _by_task(lambda t: t.lateness.p50), "seconds", ("task",)),
    Meter("labsched.task.lateness.p99", "gauge", "99th percentile of start minus due, estimated from buckets",
          _by_task(lambda t: t.lateness.p99), "seconds", ("task",)),
)  # fmt: skip
BY_NAME: Mapping[str, Meter] = {meter.name: meter for meter in METERS}
