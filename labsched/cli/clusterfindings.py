"""What `doctor` finds about instances, tasks and runs. Nothing here raises for what it finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from ..app import Scheduler
from ..model import InstanceInfo, State, TaskInfo, as_datetime
from .findings import Finding
from .output import relative

OVERDUE = 5.0  # seconds past its due time after which a slot should have been dispatched
STUCK = 60.0  # seconds that an execution may be READY without a word


def members(
    found: Sequence[InstanceInfo], infos: Sequence[TaskInfo], margin: float, election: bool
) -> Iterator[Finding]:
    if all(i.state == "EXPIRED" for i in found):
        wanted = any(info.status == "ACTIVE" for info in infos)
        over = f" (the lease of {', '.join(i.name for i in found)} is over)" if found else ""
        yield Finding(
            "instances",
            "FAIL" if wanted else "WARN",
            f"none is alive: nothing runs{over}",
            "start `labsched instance`",
        )
        return
    late = [i.name for i in found if i.lease_left < margin]
    names = ", ".join(i.name for i in found)
    if late:
        yield Finding(
            "instances", "WARN", f"late heartbeats: {', '.join(late)}",
            "look at their load and their link to the server; a body that blocks the loop does this too",
        )  # fmt: skip
    else:
        yield Finding("instances", "OK", f"{len(found)} alive: {names}")
    draining = [i.name for i in found if i.state == "DRAINING"]
    if len(draining) == len(found):
        yield Finding(
            "draining", "WARN", "every instance is draining: nothing new is claimed", "start another instance"
        )
    leader = next((i for i in found if i.leader), None)
    if leader is not None:
        yield Finding("leader", "OK", f"{leader.name}, epoch {leader.epoch}")
    elif election:
        yield Finding(
            "leader", "FAIL", "nobody leads: no slot is dispatched",
            "an election takes a few seconds; if it lasts, look at the instances' logs",
        )  # fmt: skip


def handlers(infos: Sequence[TaskInfo], found: Sequence[InstanceInfo]) -> Iterator[Finding]:
    """Tasks whose version in force no living instance can run."""
    if not found:
        return
    orphans = [
        info for info in infos if not any(i.handlers.get(info.name) == info.task.version for i in found)
    ]
    for info in orphans:
        have = sorted(
            {f"{i.name} has version {i.handlers[info.name]}" for i in found if info.name in i.handlers}
        )
        others = f" ({'; '.join(have)})" if have else ""
        waits = f", {info.backlog} runs wait" if info.backlog else ""
        idle = info.status == "PAUSED"
        yield Finding(
            "handlers", "FAIL" if info.backlog and not idle else "WARN",
            f"no living instance can run {info.name!r} version {info.task.version}{others}{waits}",
            "it is PAUSED, so nothing is missed: before you resume it start an instance that has it"
            if idle
            else "start an instance whose code registers it",
        )  # fmt: skip
    if not orphans:
        yield Finding("handlers", "OK", f"every one of {len(infos)} tasks has an instance that can run it")


def statuses(infos: Sequence[TaskInfo]) -> Iterator[Finding]:
    for info in infos:
        if info.status != "ACTIVE":
            todo = f"labsched resume {info.name}" if info.status_by == "operator" else "its code says so"
            yield Finding(
                "status", "WARN", f"task {info.name!r} is {info.status} (set by {info.status_by})", todo
            )


def overdue(infos: Sequence[TaskInfo], now: int, led: bool) -> Iterator[Finding]:
    late = [
        info for info in infos
        if info.status == "ACTIVE" and info.next_due is not None and now - info.next_due > OVERDUE * 1000
    ]  # fmt: skip
    for info in late:
        assert info.next_due is not None
        yield Finding(
            "overdue", "WARN" if led else "FAIL", f"a slot of {info.name!r} was due {relative(info.next_due, now)}",
            f"labsched why --task {info.name}" if led else "it starts once somebody leads: see instances and leader",
        )  # fmt: skip
    if not late:
        yield Finding("slots", "OK", "none is overdue")


async def runs(app: Scheduler, infos: Sequence[TaskInfo], now: int) -> AsyncIterator[Finding]:
    old = await app.executions(state=State.READY, limit=1, before=as_datetime(now - round(STUCK * 1000)))
    for x in old:
        reason = (await app.why(x.id))[0].text
        yield Finding(
            "stuck",
            "WARN",
            f"{x.id} is READY since {relative(x.created, now)}: {reason}",
            f"labsched why {x.id}",
        )
    alive = {i.name for i in await app.instances() if i.state != "EXPIRED"}
    lonely = [x for x in await app.executions(state=State.RUNNING, limit=10_000) if x.instance not in alive]
    if lonely:
        said = f"{len(lonely)} runs belong to instances whose lease is over, {lonely[0].id} among them"
        yield Finding("stuck", "WARN", said, "a leader recovers them within seconds; if not, there is none")
    if not old and not lonely:
        yield Finding("stuck", "OK", "nothing waits or runs without an owner")
    full = [info for info in infos if info.backlog > 0.8 * info.task.max_backlog]
    for info in full:
        said = f"{info.name!r} has {info.backlog} waiting, allowed are {info.task.max_backlog}"
        yield Finding("backlog", "WARN", said, "add instances, raise pool-size, or trigger less")
    if not full:
        yield Finding("backlog", "OK", f"{sum(info.backlog for info in infos)} waiting")


async def ends(app: Scheduler) -> AsyncIterator[Finding]:
    sizes = (await app.metrics()).states
    for state, what in (("DEAD", "lost too often"), ("FAILED", "failed with all retries used")):
        if sizes.get(state):
            todo = f"labsched executions --state {state}; labsched requeue ID gives one another life"
            yield Finding(state.lower(), "WARN", f"{sizes[state]} kept that {what}", todo)
        else:
            yield Finding(state.lower(), "OK", "none")
