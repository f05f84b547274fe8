"""The listings: tasks, executions, instances, locks, coming slots and the herd."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from ..app import Scheduler
from ..model import Execution, InstanceInfo, State, TaskInfo
from ..schedule import describe
from .call import client_command
from .output import as_json, echo, facts, relative, span, table, utc, when
from .params import TIME_HELP, moment

json_option = click.option("--json", "json", is_flag=True, help="One JSON document.")


@client_command(short_help="Definitions, their next runs and counters.")
@json_option
async def tasks(app: Scheduler, json: bool) -> None:
    """List all tasks."""
    infos, now = await app.tasks(), await app.now()
    if json:
        as_json([{"name": info.name, **_builtins(info)} for info in infos])
        return
    headers = [
        "TASK",
        "STATUS",
        "SCHEDULE",
        "NEXT",
        ">RUNNING",
        ">WAITING",
        ">OK",
        ">FAILED",
        ">LOST",
        ">SKIPPED",
    ]
    empty = f"no task is defined in {app.namespace!r}: is it the right --namespace?"
    table(headers, (_task_row(info, now) for info in infos), empty)


def _task_row(info: TaskInfo, now: int) -> list[object]:
    by = " (by operator)" if info.status_by == "operator" and info.status != "ACTIVE" else ""
    count = info.counts.get
    coming = relative(info.next_due, now) if info.next_due is not None and info.status == "ACTIVE" else ""
    failed = count("FAILED", 0) + count("DEAD", 0)
    return [
        info.name, info.status + by, describe(info.task.schedule), coming, info.running, info.backlog,
        count("SUCCEEDED", 0), failed, count("LOST", 0), count("SKIPPED", 0),
    ]  # fmt: skip


def _builtins(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(value)
    return found


def _state(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and value.upper() not in set(State):
        raise click.BadParameter(f"{value!r} is not one of {', '.join(State)}")
    return None if value is None else value.upper()


@client_command(short_help="Runs, newest first.")
@click.option("--task", metavar="NAME", help="Only of this task.")
@click.option("--state", metavar="STATE", callback=_state, help="Only in this state.")
@click.option("--limit", "-n", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--before", metavar="TIME", help=f"Only older ones: {TIME_HELP}.")
@json_option
async def executions(
    app: Scheduler, task: str | None, state: str | None, limit: int, before: str | None, json: bool
) -> None:
    """List executions, newest first (by creation; with a terminal state, by end)."""
    now = await app.now()
    older = None if before is None else moment(before, now, "--before")
    if task is not None:
        await app.registry_open().task(task)
    found = await app.executions(task, state, limit, older)
    if json:
        as_json(found)
        return
    headers = ["EXECUTION", "STATE", "CREATED", "TOOK", ">TRY", "ON", "NOTE"]
    table(headers, (execution_row(x, now) for x in found), "no executions")


def execution_row(x: Execution, now: int) -> list[object]:
    return [x.id, str(x.state), when(x.created, now), took(x, now), x.attempt or "", x.instance, remark(x)]


def took(x: Execution, now: int) -> str:
    if x.started is None:
        return ""
    return span(((x.finished or now) - x.started) / 1000) + ("" if x.finished else " so far")


def remark(x: Execution) -> str:
    """What one wants to know besides its state, in few words."""
    if x.error is not None and x.state is not State.SUCCEEDED:
        return f"{x.error.type}: {x.error.message}"[:120]
    said = [x.reason or ""]
    if x.cancel_requested and not x.terminal:
        said.append("asked to stop")
    if x.progress is not None and not x.terminal:
        said.append(f"{x.progress[0]:g} of {x.progress[1]:g}")
    if x.losses:
        said.append(f"lost {x.losses}x")
    return ", ".join(word for word in said if word)


@client_command(short_help="Living members of the cluster, and who leads.")
@json_option
async def instances(app: Scheduler, json: bool) -> None:
    """List the living instances."""
    found, now = await app.instances(), await app.now()
    if json:
        as_json(found)
        return
    headers = ["INSTANCE", "STATE", "LEADS", ">RUNNING", ">LEASE LEFT", "JOINED", ">PID", "HOST", ">TASKS"]
    table(headers, (_instance_row(i, now) for i in found), f"no instance is alive in {app.namespace!r}")


def _instance_row(i: InstanceInfo, now: int) -> list[object]:
    leads = f"epoch {i.epoch}" if i.leader else ""
    left = span(i.lease_left) if i.lease_left > 0 else "over"
    return [
        i.name, i.state, leads, f"{i.running}/{i.pool_size}", left, relative(i.joined, now), i.pid, i.hostname,
        len(i.handlers),
    ]  # fmt: skip


@client_command(short_help="Locks that cannot be taken now.")
@json_option
async def locks(app: Scheduler, json: bool) -> None:
    """List the locks that are held, or kept by their at_least_for."""
    found = await app.locks()
    if json:
        as_json(found)
        return
    headers = ["LOCK", "OWNER", "STATE", "UNTIL", ">LEFT", ">WAITING", ">TOKEN"]
    rows = (
        [
            lock.name, lock.owner, "released, at_least_for" if lock.released else "held", utc(lock.lock_until),
            span(max(lock.left, 0)), lock.waiters, lock.token,
        ]
        for lock in found
    )  # fmt: skip
    table(headers, rows, "no lock is held")


@client_command(short_help="The next slots of a task, moved clocks marked.")
@click.argument("name")
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=10, show_default=True)
@json_option
async def preview(app: Scheduler, name: str, count: int, json: bool) -> None:
    """Show the next slots of task NAME, and what daylight saving does to them."""
    found, now = await app.preview(name, count), await app.now()
    if json:
        as_json(found)
        return
    rows = [[when(p.slot, now), p.local, utc(p.due) if p.due != p.slot else "", p.note] for p in found]
    table(["SLOT", "LOCAL", "DUE (JITTER)", "NOTE"], rows, f"{name!r} has no slot to come")


@client_command(short_help="How many runs fall due together: the herd.")
@click.option(
    "--hours", type=click.FloatRange(min=0, min_open=True, max=24 * 366), default=24.0, show_default=True
)
@click.option(
    "--top", type=click.IntRange(min=1), default=10, show_default=True, help="Busiest seconds to show."
)
@json_option
async def forecast(app: Scheduler, hours: float, top: int, json: bool) -> None:
    """Count the runs that fall due in each second to come."""
    found, now = await app.forecast(hours), await app.now()
    if json:
        as_json(found)
        return
    at_peak = "" if found.peak_at is None else f" at {when(found.peak_at * 1000, now)}"
    facts(
        [
            ("hours", f"{hours:g}"),
            ("runs", f"{found.total}" + (" or more: only so many were counted" if found.capped else "")),
            ("peak", f"{found.peak} in one second{at_peak}"),
            ("mean", f"{found.total / hours / 3600:.3g} per second" if not found.capped else ""),
        ]
    )
    busiest = sorted(found.per_second.items(), key=lambda item: (-item[1], item[0]))[:top]
    echo()
    table(["SECOND", ">RUNS"], ([when(second * 1000, now), n] for second, n in busiest), "nothing falls due")
