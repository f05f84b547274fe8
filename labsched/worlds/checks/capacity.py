"""READY work that lay beside a free slot for too long: what no limit, lock, pool or fault explains.

Used by `nothing-lost` and `bounded-recovery`. Every doubt counts as an explanation: a rate-limited task, an
instance that may still be busy with a body whose attempt was lost, a lock that may be held.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ...model import Event, Kind, State
from .nouns import LEAVES_RUNNING, definition_of, ms

if TYPE_CHECKING:
    from ..recording import Recording

_Point = tuple[int, int, str, Any]


class Overdue(msgspec.Struct, frozen=True):
    """An execution that could have started at `free`, and had not by `at`."""

    execution: str
    source: str
    ready: int
    free: int
    at: int
    event: str | None


class _Wait(msgspec.Struct):
    ready: int
    source: str
    event: str | None


class _Node(msgspec.Struct):
    """What one name can take. `free` is since when it had a slot without interruption."""

    pool: int | None = None
    handlers: dict[str, int] | None = None
    live: bool = False
    running: int = 0
    down: int = 0
    ghosts: set[int] = msgspec.field(
        default_factory=set
    )  # tokens of lost attempts whose bodies may still run
    free: int | None = None

    def has_slot(self) -> bool:
        busy = self.running + len(self.ghosts)
        return self.live and not self.down and self.pool is not None and busy < self.pool

    def takes(self, task: str, version: int | None) -> bool:
        return self.handlers is None or (task in self.handlers and version in (None, self.handlers[task]))


class _Limits(msgspec.Struct):
    """What holds one task back. `open` is since when nothing did; it may lie in the future."""

    version: int | None = None
    most: int | None = None
    rated: bool = False
    running: int = 0
    locked: bool = False
    lock_free: int = 0
    open: int | None = 0

    def is_open(self) -> bool:
        return not self.rated and not self.locked and (self.most is None or self.running < self.most)


class Capacity:
    """One walk through the history; `overdue` holds each execution's first overdue wait."""

    def __init__(self, rec: Recording) -> None:
        self.limit = rec.health.timing.start
        self.nodes: dict[str, _Node] = defaultdict(_Node)
        self.tasks: dict[str, _Limits] = defaultdict(_Limits)
        self.waiting: dict[str, dict[str, _Wait]] = defaultdict(dict)
        self.where: dict[str, tuple[str, str]] = {}
        self.overdue: dict[str, Overdue] = {}
        self.server_down = 0
        self._start(rec)
        events: Iterator[_Point] = ((ms(e), 1, "event", e) for e in rec.history)
        for at, _, what, arg in heapq.merge(_boundaries(rec), events, key=lambda point: point[:2]):
            self._event(arg, at) if what == "event" else self._boundary(what, arg, at)
        for task, waits in self.waiting.items():
            for key, wait in waits.items():
                self._judge(task, key, wait, rec.facts.end)

    def _start(self, rec: Recording) -> None:
        at, snap = rec.facts.start, rec.snapshot
        for name, task in (snap.get("tasks") or {}).items():
            self._define(name, definition_of(task.get("definition")), at)
        for name, inst in (snap.get("instances") or {}).items():
            self._join(name, inst, at)
        for name, held in (snap.get("locks") or {}).items():
            if name.startswith("task:") and held["until"] > at:
                self._lock(name.removeprefix("task:"), held=True, free=held["until"], at=at)
        for key, x in (snap.get("executions") or {}).items():
            if x["state"] == State.RUNNING:
                self._run(key, x.get("task") or "", x.get("instance") or "", at)
            elif x["state"] == State.READY:
                self.waiting[x.get("task") or ""][key] = _Wait(at, "", None)

    def _event(self, e: Event, at: int) -> None:
        key, task, name = e.execution or "", e.task or "", e.instance or ""
        if e.kind in LEAVES_RUNNING and key in self.where:
            self._leave(key, at)
        if e.kind == Kind.READY:
            self.waiting[task][key] = _Wait(at, str(e.data.get("source") or ""), e.id)
        elif key and key in self.waiting[task] and e.kind in (Kind.RUNNING, Kind.CANCELLED):
            self._judge(task, key, self.waiting[task].pop(key), at)
        if e.kind == Kind.RUNNING:
            self._run(key, task, name, at)
        elif e.kind == Kind.TASK_DEFINED:
            self._define(task, definition_of(e.data.get("definition")), at)
        elif e.kind == Kind.INSTANCE_JOINED:
            self._join(name, e.data, at)
        elif e.kind in (Kind.INSTANCE_LEFT, Kind.INSTANCE_LOST, Kind.INSTANCE_DRAINING):
            self.nodes[name].live = False
            self._node(name, at)
        elif e.kind in (Kind.LOCK_ACQUIRED, Kind.LOCK_RELEASED) and e.task:
            self._lock(e.task, held=e.kind == Kind.LOCK_ACQUIRED, free=e.data.get("until") or at, at=at)

    def _boundary(self, what: str, arg: Any, at: int) -> None:
        if what == "server":
            self.server_down += arg
            for name in list(self.nodes):
                self._node(name, at)
            return
        name, value = arg
        node = self.nodes[name]
        if what == "down":
            node.down += value
        elif what == "kill":
            node.ghosts.clear()
        elif what == "ghost":
            node.ghosts.add(value)
        else:
            node.ghosts.discard(value)
        self._node(name, at)

    def _define(self, task: str, definition: dict[str, Any], at: int) -> None:
        limits = self.tasks[task]
        limits.version, limits.most = definition.get("version"), definition.get("max_concurrency")
        limits.rated = definition.get("rate_limit") is not None
        self._task(task, at)

    def _join(self, name: str, data: dict[str, Any], at: int) -> None:
        node = self.nodes[name]
        node.live, node.pool, node.handlers, node.free = (
            True,
            data.get("pool_size"),
            data.get("handlers"),
            None,
        )
        self._node(name, at)

    def _run(self, key: str, task: str, name: str, at: int) -> None:
        self.where[key] = (name, task)
        self.nodes[name].running += 1
        self.tasks[task].running += 1
        self._node(name, at)
        self._task(task, at)

    def _leave(self, key: str, at: int) -> None:
        name, task = self.where.pop(key)
        self.nodes[name].running -= 1
        self.tasks[task].running -= 1
        self._node(name, at)
        self._task(task, at)

    def _lock(self, task: str, held: bool, free: int, at: int) -> None:
        limits = self.tasks[task]
        limits.locked, limits.lock_free = held, free
        self._task(task, at)

    def _node(self, name: str, at: int) -> None:
        node = self.nodes[name]
        free = node.has_slot() and not self.server_down
        if free and node.free is None:
            node.free = at
        elif not free and node.free is not None:
            if at - node.free > self.limit:
                for task in self.waiting:
                    self._judge_all(task, at)
            node.free = None

    def _task(self, task: str, at: int) -> None:
        limits = self.tasks[task]
        if not limits.is_open():
            if limits.open is not None and at - limits.open > self.limit:
                self._judge_all(task, at)
            limits.open = None
        elif limits.open is None:
            limits.open = max(at, limits.lock_free)

    def _judge_all(self, task: str, at: int) -> None:
        if self.tasks[task].open is not None:
            for key, wait in self.waiting[task].items():
                self._judge(task, key, wait, at)

    def _judge(self, task: str, key: str, wait: _Wait, at: int) -> None:
        limits = self.tasks[task]
        free = [n.free for n in self.nodes.values() if n.free is not None and n.takes(task, limits.version)]
        if limits.open is None or not free:
            return
        since = max(wait.ready, limits.open, min(free))
        if at - since > self.limit:
            self.overdue.setdefault(key, Overdue(key, wait.source, wait.ready, since, at, wait.event))


def _boundaries(rec: Recording) -> list[_Point]:
    """Faults and lost attempts as moments at which what an instance can take changes."""
    points: list[_Point] = []
    for span in rec.health.server:
        points.append((span.start, 0, "server", 1))
        if span.end is not None:
            points.append((span.end, 0, "server", -1))
    for span in rec.health.down:
        points.append((span.start, 0, "down", (span.target, 1)))
        if span.kind == "kill":
            points.append((span.start, 0, "kill", (span.target, 0)))
        if span.end is not None:
            points.append((span.end, 0, "down", (span.target, -1)))
    stuck = {j.get("token") for j in rec.journals if j.get("how") in ("flagged", "ignored")}
    for tried in rec.facts.tries:
        if tried.outcome == "LOST" and tried.ended is not None:
            points.append((tried.ended, 0, "ghost", (tried.instance, tried.token)))
            if tried.token not in stuck:
                points.append(
                    (tried.ended + rec.health.timing.settle, 0, "laid", (tried.instance, tried.token))
                )
    return sorted(points, key=lambda point: point[:2])
