"""Makes event histories by hand. Times are seconds since the recording began, tokens are small numbers.

h = History()
h.at(1.0).join("i1", 1)
h.at(5.0).ready("tick@5", slot=5).run("tick@5", 2, "i1").done("tick@5", 2, "i1")
rec = h.rec(end=60)
"""

from __future__ import annotations

import re
from typing import Any, Self

import msgspec

from labsched.model import Event, Kind, Task
from labsched.schedule import Schedule, every
from labsched.worlds.recording import Recording

T0 = 1_767_225_600_000  # 2026-01-01T00:00Z in ms, a multiple of every period used here

FACTS: dict[str, Any] = {
    "pool_size": 2, "lease": 4.0, "lease_margin": 1.0, "cancel_grace": 0.5, "drain_timeout": 10.0,
    "sweep_every": 1.0, "leader_lease": 5.0, "election": True, "lock": True, "pid": 100, "hostname": "h",
    "handlers": {"tick": 1, "job": 1},
}  # fmt: skip


def T(seconds: float) -> int:
    """Seconds of the recording as Unix ms."""
    return T0 + round(seconds * 1000)


def X(seconds: float, task: str = "tick") -> str:
    """The id of the execution of that slot."""
    return f"{task}@{T(seconds)}"


def definition(name: str, schedule: Schedule, **options: Any) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(Task(name=name, schedule=schedule, handler=name, **options))
    )
    return made


class History:
    """Collects events; every verb returns the history, so that verbs of one moment stand in one line."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[Event] = []
        self.journals: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []

    def at(self, seconds: float) -> Self:
        self.now = seconds
        return self

    def add(self, kind: str, execution: str | None = None, **fields: Any) -> Self:
        """Any event: `task`, `attempt`, `token`, `instance`, `epoch` are fields, the rest is data."""
        own = {key: fields.pop(key, None) for key in ("task", "attempt", "token", "instance", "epoch")}
        at = T(self.now)
        task = own.pop("task") or (re.split("[@!]", execution)[0] if execution else None)
        event = Event(
            id=f"{at}-{len(self.events)}",
            at=at / 1000,
            kind=Kind(kind),
            execution=execution,
            task=task,
            data=fields,
            **own,
        )
        self.events.append(event)
        return self

    # The cluster.

    def join(self, name: str, token: int, **facts: Any) -> Self:
        return self.add("INSTANCE_JOINED", instance=name, token=token, **(FACTS | facts))

    def gone(self, name: str, token: int, until: float, reason: str = "lease") -> Self:
        return self.add("INSTANCE_LOST", instance=name, token=token, reason=reason, until=T(until), held=0)

    def elect(self, name: str, epoch: int, until: float | None = None, token: int | None = None) -> Self:
        end = self.now + 5 if until is None else until
        return self.add("LEADER_ELECTED", instance=name, token=token, epoch=epoch, until=T(end))

    # Tasks.

    def define(self, task: str, schedule: Schedule | None = None, since: float = 0, **options: Any) -> Self:
        status = options.get("status", "ACTIVE")
        made = definition(task, schedule or every(5), **options)
        return self.add("TASK_DEFINED", task=task, version=1, status=status, since=T(since), definition=made)

    # Executions.

    def ready(self, x: str, slot: float | None = None, source: str = "schedule", **fields: Any) -> Self:
        first = {} if source not in ("schedule", "trigger", "backfill") else {"due": T(self.now)}
        given = {"slot": None if slot is None else T(slot), "source": source} | first
        return self.add("READY", x, **(given | fields))

    def run(self, x: str, token: int, instance: str, attempt: int = 1, until: float | None = None) -> Self:
        end = self.now + 1800 if until is None else until
        return self.add(
            "RUNNING", x, attempt=attempt, token=token, instance=instance, until=T(end), late_ms=0
        )

    def done(self, x: str, token: int, instance: str, kind: str = "SUCCEEDED", **data: Any) -> Self:
        return self.add(kind, x, attempt=1, token=token, instance=instance, **data)

    def lose(self, x: str, token: int, instance: str, reason: str = "lease") -> Self:
        """LOST and, in the same step, READY."""
        self.add("LOST", x, attempt=1, token=token, instance=instance, reason=reason, losses=1)
        return self.ready(x, source="lost")

    # Locks.

    def take(
        self, lock: str, token: int, owner: str, until: float, least: float = 0, x: str | None = None
    ) -> Self:
        data = {"lock": lock, "until": T(until), "least_until": T(least)}
        return self.add("LOCK_ACQUIRED", x, token=token, instance=owner, **data)

    def extend(self, lock: str, token: int, owner: str, until: float) -> Self:
        return self.add("LOCK_EXTENDED", token=token, instance=owner, lock=lock, until=T(until))

    def release(
        self, lock: str, token: int, owner: str, until: float | None = None, x: str | None = None
    ) -> Self:
        end = self.now if until is None else until
        return self.add("LOCK_RELEASED", x, token=token, instance=owner, lock=lock, until=T(end))

    # Beside the stream.

    def fault(self, kind: str, target: str, **more: Any) -> Self:
        self.faults.append({"at": T(self.now) / 1000, "kind": kind, "target": target, "by": "plan", **more})
        return self

    def note(self, kind: str, instance: str, incarnation: int, **fields: Any) -> Self:
        """A journal line; the monotonic clock shows the same seconds."""
        line = {
            "kind": kind,
            "at": self.now,
            "mono": self.now,
            "instance": instance,
            "incarnation": incarnation,
        }
        self.journals.append(line | fields)
        return self

    def rec(self, end: float | None = None, **fields: Any) -> Recording:
        given: dict[str, Any] = {
            "world": "simulated",
            "namespace": "test",
            "seed": 7,
            "snapshot": EMPTY,
        } | fields
        return Recording(
            started=T0 / 1000,
            ended=T(self.now if end is None else end) / 1000,
            history=self.events,
            journals=self.journals,
            fault_log=self.faults,
            **given,
        )


EMPTY: dict[str, Any] = {
    "executions": {}, "tasks": {}, "locks": {}, "leader": None, "instances": {}, "at": T0, "last_event": "0-0",
}  # fmt: skip


def cluster(**facts: Any) -> History:
    """i1 (incarnation 1, leader, epoch 3) and i2 (incarnation 2) have just joined; `tick` runs every 5 s."""
    h = History().define("tick", every(5))
    return h.join("i1", 1, **facts).join("i2", 2, **facts).elect("i1", 3, token=1)


def one_runs(instance: str, **facts: Any) -> History:
    """`cluster`, in which that instance has begun to run the slot of 5 s, with token 9."""
    return cluster(**facts).at(5).ready(X(5), slot=5).run(X(5), 9, instance)


def slot(
    h: History, at: float, token: int, instance: str = "i1", epoch: int = 3, task: str = "tick"
) -> History:
    """The whole life of one slot of `tick`, 10 ms late and 100 ms long."""
    x = X(at, task)
    h.at(at + 0.01).ready(x, slot=at, instance="i1" if epoch == 3 else instance, epoch=epoch)
    h.run(x, token, instance).at(at + 0.11).done(x, token, instance)
    return h


def quiet(until: float = 60, **facts: Any) -> History:
    """A cluster on which nothing goes wrong: every slot of `tick` up to `until` succeeds."""
    h = cluster(**facts)
    for n, at in enumerate(range(5, round(until) + 1, 5)):
        slot(h, at, 10 + n, "i1" if n % 2 else "i2")
    return h.at(until)
