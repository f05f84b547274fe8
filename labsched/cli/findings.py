"""What `doctor` looks at in a namespace. Each look yields findings, and never raises for what it finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Literal

import msgspec

from ..app import Scheduler
from ..model import InstanceInfo, State, TaskInfo, as_datetime
from ..preflight import Preflight
from ..store import FORMAT, Store, text
from .output import relative, span

Verdict = Literal["OK", "WARN", "FAIL"]

OFF_BY = 1.0  # seconds of clock offset that are worth a word
OVERDUE = 5.0  # seconds past its due time after which a slot should have been dispatched
STUCK = 60.0  # seconds that an execution may be READY without a word


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. `todo` says what to do about it."""

    what: str
    verdict: Verdict
    text: str
    todo: str = ""


# --- the server -------------------------------------------------------------------------------------


def server(found: Preflight) -> Iterator[Finding]:
    if not found.checked:
        yield Finding("server", "WARN", found.notes[0], "let this user run INFO, so that it can be checked")
        return
    yield Finding("server", "OK", f"{found.server} {found.version}, {found.role or 'role unknown'}")
    yield Finding("eviction", "OK", f"maxmemory-policy is {found.maxmemory_policy or 'unknown'}")
    yield _persistence(found)
    yield _replicas(found)
    yield _memory(found)


def _persistence(p: Preflight) -> Finding:
    if p.last_write_ok is False:
        return Finding(
            "persistence", "FAIL", "the server's last write to its disk failed", "look at its disk and log"
        )
    if p.appendonly is False:
        kept = "what the last snapshot holds" if p.snapshots else "nothing"
        todo = "CONFIG SET appendonly yes, if the history must outlive the server"
        return Finding(
            "persistence", "WARN", f"no append-only file: a crash of the server leaves {kept}", todo
        )
    if p.appendonly is None:
        return Finding("persistence", "WARN", "the server does not tell whether it persists", "")
    may_lose = {
        "everysec": ": a crash may lose about the last second",
        "no": ": a crash may lose many seconds",
    }
    verdict: Verdict = "WARN" if p.appendfsync == "no" else "OK"
    todo = "CONFIG SET appendfsync everysec, or always" if verdict == "WARN" else ""
    said = (
        f"append-only file, appendfsync {p.appendfsync or 'unknown'}{may_lose.get(p.appendfsync or '', '')}"
    )
    return Finding("persistence", verdict, said, todo)


def _replicas(p: Preflight) -> Finding:
    if p.replicas and not p.min_replicas_to_write:
        todo = "CONFIG SET min-replicas-to-write 1, or two primaries may both accept writes after a partition"
        return Finding("replicas", "WARN", f"{p.replicas} replicas, min-replicas-to-write is 0", todo)
    least = "unknown" if p.min_replicas_to_write is None else str(p.min_replicas_to_write)
    return Finding("replicas", "OK", f"{p.replicas or 0} replicas, min-replicas-to-write {least}")


def _memory(p: Preflight) -> Finding:
    used = "unknown" if p.used_memory is None else f"{p.used_memory / 2**20:.1f} MiB"
    if not p.maxmemory:
        return Finding("memory", "OK", f"{used} used, no limit")
    share = (p.used_memory or 0) / p.maxmemory
    verdict: Verdict = "FAIL" if share > 0.98 else "WARN" if share > 0.9 else "OK"
    todo = "raise maxmemory, or keep less history (scheduler.history)" if verdict != "OK" else ""
    return Finding("memory", verdict, f"{used} of {p.maxmemory / 2**20:.1f} MiB used ({share:.0%})", todo)


def clock(offset: float, trip: float) -> Finding:
    said = f"this machine is {span(abs(offset))} {'ahead of' if offset > 0 else 'behind'} the server"
    if abs(offset) < OFF_BY + trip:
        return Finding("clock", "OK", said)
    return Finding(
        "clock", "WARN", said, "leases do not mind, but logs and --at will look wrong: run NTP on both"
    )


# --- the namespace ----------------------------------------------------------------------------------


async def layout(store: Store) -> AsyncIterator[Finding]:
    found = await store.retrying(lambda: store.redis.execute_command("HGET", store.key("meta"), "format"))
    if found is None:
        yield Finding(
            "namespace", "WARN", f"{store.namespace!r} is empty: nobody has used it on this server",
            "check --namespace and --url, or start `labsched instance`",
        )  # fmt: skip
        return
    if int(found) > FORMAT:
        yield Finding(
            "namespace", "FAIL", f"{store.namespace!r} has format {text(found)}, this labsched knows {FORMAT}",
            "upgrade labsched here, or use another namespace",
        )  # fmt: skip
        return
    yield Finding("namespace", "OK", f"{store.namespace!r}, format {text(found)}")
    wrong = await store.wrong_keys()
    if " is a " in wrong:
        yield Finding(
            "keys",
            "FAIL",
            wrong,
            "some other program wrote there: remove those keys, or use another namespace",
        )
    else:
        yield Finding("keys", "OK", "every key has its type")


def members(
    found: Sequence[InstanceInfo], infos: Sequence[TaskInfo], margin: float, election: bool
) -> Iterator[Finding]:
    if not found:
        wanted = any(info.status == "ACTIVE" for info in infos)
        yield Finding(
            "instances",
            "FAIL" if wanted else "WARN",
            "none is alive: nothing runs",
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
            "remove nothing yet: it is paused and stale" if idle else "start an instance whose code registers it",
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


# --- executions -------------------------------------------------------------------------------------


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
    alive = {i.name for i in await app.instances()}
    lonely = [x for x in await app.executions(state=State.RUNNING, limit=10_000) if x.instance not in alive]
    if lonely:
        said = f"{len(lonely)} runs belong to instances that are gone, {lonely[0].id} among them"
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


async def history(store: Store, keep: int) -> Finding:
    length, trimmed = await store.retrying(lambda: _history(store))
    gone = f", those up to {text(trimmed)} were trimmed" if trimmed is not None else ", none was trimmed"
    return Finding("events", "OK", f"{length} kept of at most {keep}{gone}")


async def _history(store: Store) -> tuple[int, bytes | None]:
    pipe = store.redis.pipeline(transaction=False)
    pipe.execute_command("XLEN", store.key("events"))
    pipe.execute_command("HGET", store.key("meta"), "trimmed")
    length, trimmed = await pipe.execute()
    return length, trimmed
