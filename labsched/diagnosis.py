"""Answers to "why is it still READY?", "why did it not run?", and the whole state for a recording."""

from __future__ import annotations

from typing import Any

from . import codec
from .durations import show
from .events import Events
from .model import Event, Execution, InstanceInfo, Kind, Reason, State, TaskInfo, as_datetime
from .registry import Registry
from .schedule import after, latest
from .store import text, texts


def _clock(ms: float) -> str:
    when = as_datetime(round(ms))
    assert when is not None
    return when.strftime("%Y-%m-%d %H:%M:%S.") + f"{round(ms) % 1000:03d} UTC"


def _say(code: str, sentence: str, at: float | None = None) -> Reason:
    return Reason(code=code, text=sentence, at=None if at is None else at / 1000)


async def why(registry: Registry, x: Execution, now: int) -> list[Reason]:
    """Why an execution is in its state, the most telling reason first."""
    if x.terminal:
        return _why_ended(x)
    info, instances = await registry.task(x.task), await _alive(registry)
    if x.state is State.RUNNING:
        return await _why_running(registry, x, instances, now)
    if x.state is State.RETRYING:
        outcome = x.attempts[-1] if x.attempts else None
        what = (
            f"attempt {outcome.number} {outcome.outcome}: {outcome.error}" if outcome else "an attempt failed"
        )
        return [_say("backoff", f"waits before its next try; {what}")]
    if x.state is State.BUFFERED:
        if x.reason == "overlap":
            policy = info.task.overlap
            return [_say("overlap", f"an earlier run of {x.task!r} is not over; overlap policy {policy}")]
        return [_say("delayed", f"waits for its time, {_clock(x.due or now)}", x.due)]
    return await _why_ready(registry, x, info, instances, now)


async def _alive(registry: Registry) -> list[InstanceInfo]:
    return [i for i in await registry.instances() if i.state != "EXPIRED"]


async def _unled(registry: Registry, alive: list[InstanceInfo]) -> bool:
    """Whether slots and lost work have nobody to see to them: none leads, and all were told to elect a leader."""
    if any(i.leader for i in alive):
        return False
    return all([await registry.elects(i) for i in alive])


async def _why_running(registry: Registry, x: Execution, alive: list[InstanceInfo], now: int) -> list[Reason]:
    since = f"as attempt {x.attempt} since {show((now - (x.started or now)) / 1000)}"
    if any(i.name == x.instance for i in alive):
        found = [_say("running", f"runs on {x.instance} {since}", x.started)]
    else:
        if not alive:
            then = "no instance is alive to recover it"
        elif await _unled(registry, alive):
            then = "nobody leads, so nobody recovers it yet"
        else:
            then = "a leader is about to recover it"
        lost = f"was begun on {x.instance} {since}, whose lease is over (EXPIRED): {then}"
        found = [_say("expired", lost, x.started)]
    if x.cancel_requested:
        found.append(_say("cancel-requested", "was asked to stop and has not ended yet"))
    return found


def _why_ended(x: Execution) -> list[Reason]:
    last = x.attempts[-1] if x.attempts else None
    if x.state is State.SUCCEEDED:
        return [_say("succeeded", f"attempt {x.attempt} on {x.instance} succeeded", x.finished)]
    if x.state is State.FAILED and x.error:
        outcome = last.outcome if last else "FAILED"
        return [
            _say("failed", f"attempt {x.attempt} {outcome}: {x.error.type}: {x.error.message}", x.finished)
        ]
    return [_say(x.state.lower(), x.reason or x.state.lower(), x.finished)]


async def _why_ready(
    registry: Registry, x: Execution, info: TaskInfo, instances: list[InstanceInfo], now: int
) -> list[Reason]:
    task, found = info.task, []
    able = [i for i in instances if i.handlers.get(task.name) == task.version]
    if not instances:
        found.append(_say("no-instance", "no instance is alive"))
    elif not able:
        have = sorted(
            {f"{i.name} has version {i.handlers[task.name]}" for i in instances if task.name in i.handlers}
        )
        others = f" ({'; '.join(have)})" if have else ""
        what = f"the handler of {task.name!r} version {task.version}"
        found.append(_say("no-handler", f"no live instance has {what}{others}"))
    elif all(i.state == "DRAINING" for i in able):
        found.append(_say("draining", "every instance that has the handler is draining"))
    elif all(i.running >= i.pool_size for i in able if i.state == "ACTIVE"):
        found.append(_say("no-slot", f"all slots are taken on {', '.join(i.name for i in able)}"))
    if task.max_concurrency is not None and info.running >= task.max_concurrency:
        found.append(
            _say("max-concurrency", f"{info.running} run already, max_concurrency is {task.max_concurrency}")
        )
    if task.rate_limit is not None:
        found.append(
            _say("rate-limit", f"at most {task.rate_limit.count} starts per {show(task.rate_limit.per)}")
        )
    for lock in await registry.locks():
        if lock.name == f"task:{task.name}" and x.slot is not None:
            state = "kept by lock_at_least_for" if lock.released else f"held by {lock.owner}"
            found.append(
                _say("lock", f"the task's lock is {state} for another {show(lock.left)}", lock.lock_until)
            )
    if x.losses:
        found.append(_say("lost", f"lost {x.losses} times so far, DEAD after {task.max_losses}"))
    return found or [
        _say("waiting", f"waits its turn, {info.backlog} executions of {task.name!r} are waiting")
    ]


async def why_not(
    registry: Registry, events: Events, info: TaskInfo, at: int | None, now: int
) -> list[Reason]:
    """Why a task did not run at `at` (ms), or, without it, why it does not run now."""
    task = info.task
    if at is None:
        return await _why_not_now(registry, info, now)
    slot = latest(task.schedule, at)
    if slot is None:
        return [_say("no-slot", f"{task.name!r} has no slot at or before {_clock(at)}")]
    found = []
    if slot != at:
        found.append(
            _say("not-a-slot", f"{_clock(at)} is no slot; the last one before it is {_clock(slot)}", slot)
        )
    run = await registry.load([f"{task.name}@{slot}"])
    if run:
        ran = _say("it-ran", f"it became execution {run[0].id}, which is {run[0].state}")
        return [*found, ran, *await why(registry, run[0], now)]
    if slot > now:
        return [*found, _say("future", f"that slot is still to come, in {show((slot - now) / 1000)}", slot)]
    skipped = [_skip(e) for e in await events.read("-") if _covers(e, task.name, slot)]
    found += skipped or await _why_not_slot(registry, info, slot, now)
    return found


def _covers(e: Event, task: str, slot: int) -> bool:
    return e.kind is Kind.SKIPPED and e.task == task and e.data["first"] <= slot <= e.data["last"]


_SKIPS = {
    "overlap": "the run before it was not over (overlap policy SKIP)",
    "misfire": "it was found too late (misfire policy)",
    "paused": "the task was paused, and the resume did not ask to catch up",
    "backlog": "max_backlog executions were waiting already",
    "replaced": "a later slot took its turn (overlap policy BUFFER_ONE or CANCEL_OTHER)",
}


def _skip(e: Event) -> Reason:
    reason = e.data["reason"]
    return _say(f"skipped-{reason}", f"skipped: {_SKIPS.get(reason, reason)}", e.at * 1000)


async def _why_not_slot(registry: Registry, info: TaskInfo, slot: int, now: int) -> list[Reason]:
    if info.status != "ACTIVE":
        return [_say(info.status.lower(), f"the task is {info.status} (set by {info.status_by})")]
    if info.watermark is not None and slot <= info.watermark:
        return [
            _say("before", "the task was not defined or not active then, or retention has forgotten the run")
        ]
    return await _why_not_now(registry, info, now)


async def _why_not_now(registry: Registry, info: TaskInfo, now: int) -> list[Reason]:
    task = info.task
    if info.status != "ACTIVE":
        return [_say(info.status.lower(), f"the task is {info.status} (set by {info.status_by})")]
    instances = await _alive(registry)
    found = []
    if not instances:
        found.append(_say("no-instance", "no instance is alive"))
    elif await _unled(registry, instances):
        found.append(_say("no-leader", "nobody leads, so no slot is dispatched"))
    waiting = await registry.executions(task.name, State.READY, 1, None)
    if waiting:
        return [*found, _say("ready", f"{waiting[0].id} waits"), *await why(registry, waiting[0], now)]
    coming = after(task.schedule, now)
    if coming is None:
        found.append(_say("never", f"{task.name!r} has no slot to come"))
    else:
        found.append(
            _say("not-yet", f"its next slot is {_clock(coming)}, in {show((coming - now) / 1000)}", coming)
        )
    return found


def snapshot(reply: list[Any]) -> dict[str, Any]:
    """The reply of `snapshot.lua` as recordings keep it."""

    def rows(flat: list[Any], width: int) -> list[list[str]]:
        values = texts(flat)
        return [values[i : i + width] for i in range(0, len(values), width)]

    def number(value: str) -> int | None:
        return int(float(value)) if value else None

    leader = rows(reply[2], 4)
    return {
        "at": int(reply[0]),
        "last_event": text(reply[1]),
        "leader": {
            "instance": leader[0][0], "incarnation": int(leader[0][1]),
            "epoch": int(leader[0][2]), "until": int(leader[0][3]),
        } if leader else None,
        "executions": {
            id: {"state": state, "task": task, "attempt": int(attempt or 0), "token": number(token),
                 "instance": inst or None, "slot": number(slot)}
            for id, state, task, attempt, token, inst, slot in rows(reply[3], 7)
        },
        "tasks": {
            name: {"status": status, "watermark": number(mark), "definition": definition}
            for name, status, mark, definition in rows(reply[4], 4)
        },
        "locks": {
            name: {"owner": owner, "token": number(token), "until": number(until), "least_until": number(least)}
            for name, owner, token, until, least in rows(reply[5], 5)
        },
        "instances": {
            name: {"incarnation": int(inc), "until": number(until), **(codec.from_json(facts) or {})}
            for name, inc, until, facts in rows(reply[6], 4)
        },
    }  # fmt: skip
