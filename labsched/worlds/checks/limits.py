"""`pool-respected`: no instance runs more than its pool, no task more than its limits."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from ...model import Event, Kind
from .facts import Facts
from .nouns import LEAVES_RUNNING, definition_of, ms
from .result import CheckResult, Finder

if TYPE_CHECKING:
    from ..recording import Recording

_ROUNDING = 1.5  # ms: event times are cut to milliseconds, and so are both ends of a pause between starts


class _Bucket(msgspec.Struct):
    """The weakest reading of "`count` starts per `per` seconds, bursts of up to `count`": a bucket of that size."""

    count: int
    per: float
    level: float
    at: int

    def start(self, at: int) -> bool:
        """Takes one; False when there was none."""
        rate = self.count / (self.per * 1000)
        self.level = min(self.count, self.level + max(at - self.at, 0) * rate) - 1
        self.at = at
        return self.level >= -_ROUNDING * rate - 1e-6


def pool_respected(rec: Recording) -> CheckResult:
    """At every RUNNING: the instance has no more attempts than `pool_size`, the task no more than
    `max_concurrency`, and its `rate_limit` had room, by the limits in force at that moment.

    An attempt counts until it is finished, returned or LOST, though its body may run longer. Tested: starts that
    came up to a limit, so that one more would have broken it.
    """
    find = Finder("pool-respected")
    watch = _Watch(find, rec.facts)
    watch.start(rec)
    for e in rec.history:
        watch.take(e, ms(e))
    return find.result()


class _Watch:
    def __init__(self, find: Finder, facts: Facts) -> None:
        self.find, self.facts = find, facts
        self.where: dict[str, tuple[str, str]] = {}
        self.by_instance: Counter[str] = Counter()
        self.by_task: Counter[str] = Counter()
        self.pool: dict[str, int | None] = {}
        self.most: dict[str, int | None] = {}
        self.rate: dict[str, _Bucket | None] = {}

    def start(self, rec: Recording) -> None:
        for name, inst in (rec.snapshot.get("instances") or {}).items():
            self.pool[name] = inst.get("pool_size")
        for name, task in (rec.snapshot.get("tasks") or {}).items():
            self._define(name, definition_of(task.get("definition")), self.facts.start)
        for key, x in (rec.snapshot.get("executions") or {}).items():
            if x["state"] == Kind.RUNNING:
                self._count(key, x.get("instance") or "", x.get("task") or "")

    def take(self, e: Event, at: int) -> None:
        if e.kind == Kind.INSTANCE_JOINED and e.instance:
            self.pool[e.instance] = e.data.get("pool_size")
        elif e.kind == Kind.TASK_DEFINED and e.task:
            self._define(e.task, definition_of(e.data.get("definition")), at)
        elif e.kind == Kind.RUNNING and e.execution:
            self._leave(e.execution)
            self._count(e.execution, e.instance or "", e.task or "")
            self._judge(e, at)
        elif e.kind in LEAVES_RUNNING and e.execution:
            self._leave(e.execution)

    def _define(self, task: str, definition: dict[str, Any], at: int) -> None:
        self.most[task] = definition.get("max_concurrency")
        rate, old = definition.get("rate_limit"), self.rate.get(task)
        if rate is None:
            self.rate[task] = None
        elif old is None or (old.count, old.per) != (rate["count"], rate["per"]):
            self.rate[task] = _Bucket(rate["count"], rate["per"], rate["count"], at)

    def _count(self, key: str, instance: str, task: str) -> None:
        self.where[key] = (instance, task)
        self.by_instance[instance] += 1
        self.by_task[task] += 1

    def _leave(self, key: str) -> None:
        if key in self.where:
            instance, task = self.where.pop(key)
            self.by_instance[instance] -= 1
            self.by_task[task] -= 1

    def _judge(self, e: Event, at: int) -> None:
        instance, task = e.instance or "", e.task or ""
        self._compare(
            e, at, f"{instance} ran", self.by_instance[instance], self.pool.get(instance), "its pool size"
        )
        self._compare(e, at, f"{task} ran", self.by_task[task], self.most.get(task), "its max_concurrency")
        bucket = self.rate.get(task)
        if bucket is not None:
            fine = bucket.start(at)
            self.find.tested += bucket.level < 1
            if not fine:
                limit = f"{bucket.count} starts per {bucket.per:g} s"
                self.find.found(at, f"{e.execution} started at {self.facts.clock(at)}, past {limit}", e.id)

    def _compare(self, e: Event, at: int, who: str, running: int, limit: int | None, name: str) -> None:
        if limit is None:
            return
        self.find.tested += running >= limit
        if running > limit:
            self.find.found(
                at, f"{who} {running} attempts at {self.facts.clock(at)}, {name} is {limit}", e.id
            )
