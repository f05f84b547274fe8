"""What the server's replies about tasks, members and locks mean, as the values of model.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from . import codec
from .model import InstanceInfo, Kind, LockInfo, State, TaskInfo
from .store import pairs, text


class Roll(msgspec.Struct, frozen=True, kw_only=True):
    """Who is a member at `now` (Unix ms, the server's clock): the incarnation of each name, and when the lease of each
    ends (ms). `lead`: incarnation and epoch of the leader, None when nobody leads."""

    now: int
    names: dict[str, str]
    until: dict[str, float]
    lead: tuple[str, int] | None


class Heads(msgspec.Struct, frozen=True, kw_only=True):
    """`now`: the server's clock, Unix ms. `due`: the next slot of each task that has one, `locks`: the end of each
    that is held (the 500 that last longest), in ms. `running`: ids. `counts`: totals by kind since the beginning."""

    now: int
    roll: Roll
    due: dict[str, int]
    counts: dict[str, int]
    running: tuple[str, ...]
    locks: dict[str, int]
    sizes: dict[State, int]


def whole(stats: Any) -> dict[str, int]:
    return {field: int(float(value)) for field, value in pairs(stats).items()}


def task_of(id: str) -> str:
    """The task of an execution id; task names hold none of the separators."""
    for mark in "@~":
        id = id.partition(mark)[0]
    return id


def scores(reply: Any) -> list[tuple[Any, Any]]:
    """WITHSCORES as pairs, whether the client made pairs of it or not."""
    if reply and isinstance(reply[0], tuple | list):
        return [(member, score) for member, score in reply]
    return list(zip(reply[::2], reply[1::2], strict=True))


def task_info(h: dict[str, str], due: Any) -> TaskInfo:
    kinds = {str(kind) for kind in Kind}
    counts = {f[2:]: int(v) for f, v in h.items() if f.startswith("n:") and f[2:] in kinds}
    return TaskInfo(
        task=codec.decode_task(h["def"]),
        status=h["status"],  # type: ignore[arg-type]
        status_by=h.get("status_by", "code"),
        next_due=None if due is None else int(float(due)),
        watermark=int(h["watermark"]) if h.get("watermark") else None,
        running=int(h.get("running", "0")),
        backlog=int(h.get("backlog", "0")),
        counts=counts,
    )


def ms(clock: Any) -> int:
    return int(clock[0]) * 1000 + int(clock[1]) // 1000


def rolled(clock: Any, read: Sequence[Any]) -> Roll:
    names, leases, leader = read
    now, lead = ms(clock), pairs(leader)
    until = {text(inc): float(score) for inc, score in scores(leases)}
    leads = bool(lead) and float(lead["until"]) > now
    return Roll(
        now=now,
        names={name: inc for name, inc in pairs(names).items() if inc in until},
        until=until,
        lead=(lead["inc"], int(lead["epoch"])) if leads else None,
    )


def lease_ms(h: dict[str, str]) -> float:
    """How long a member's lease is after each heartbeat, in ms, by the settings that it joined with."""
    return float((codec.from_json(h.get("facts") or "{}") or {}).get("lease") or 0) * 1000


def instance(
    name: str, inc: str, h: dict[str, str], handlers: dict[str, str], held: int, roll: Roll
) -> InstanceInfo:
    left = roll.until[inc] - roll.now
    leads = roll.lead is not None and roll.lead[0] == inc
    return InstanceInfo(
        name=name,
        incarnation=int(inc),
        state=h["state"] if left > 0 else "EXPIRED",  # type: ignore[arg-type]
        leader=leads,
        epoch=roll.lead[1] if roll.lead and leads else None,
        joined=int(h["joined"]),
        heartbeat=int(h["seen"]),
        lease_left=left / 1000,
        pool_size=int(h["pool"]),
        running=int(held),
        hostname=h["hostname"],
        pid=int(h["pid"]),
        handlers={task: int(version) for task, version in handlers.items()},
    )


def lock(name: str, h: dict[str, str], now: int, waiters: int) -> LockInfo:
    return LockInfo(
        name=name,
        owner=h["owner"],
        token=int(h["token"]),
        lock_until=int(h["until"]),
        left=(int(h["until"]) - now) / 1000,
        released=h.get("released") == "1",
        waiters=int(waiters),
    )
