"""One thing looked at closely, and why it is as it is: execution, why, metrics, health."""

from __future__ import annotations

import click
import msgspec

from ..app import Scheduler
from ..errors import LabschedError
from ..metrics import Component, Distribution, Health, Metrics, TaskMetrics
from ..model import Attempt, Execution, Reason
from .call import Call, client_command, command, run
from .listing import json_option, took
from .output import as_json, clean, echo, facts, percent, span, table, when
from .params import TIME_HELP, moment


@client_command(short_help="One run: attempts, result, log, traceback, why.")
@click.argument("id")
@json_option
async def execution(app: Scheduler, id: str, json: bool) -> None:
    """Show execution ID with everything known about it."""
    x = await app.execution(id)
    if json:
        as_json(x)
        return
    now, reasons = await app.now(), await app.why(id)
    show_execution(x, now, reasons)


def show_execution(x: Execution, now: int, reasons: list[Reason]) -> None:
    facts(
        [
            ("execution", x.id),
            ("task", x.task),
            ("state", f"{x.state}" + (", asked to stop" if x.cancel_requested and not x.terminal else "")),
            ("why", "; ".join(reason.text for reason in reasons)),
            ("slot", when(x.slot, now)),
            ("created", when(x.created, now)),
            ("due", when(x.due, now) if x.due != x.slot else ""),
            ("started", when(x.started, now)),
            ("finished", when(x.finished, now)),
            ("took", took(x, now)),
            ("priority", x.priority),
            ("payload", compact(x.payload) if x.payload else ""),
            ("progress", "" if x.progress is None else f"{x.progress[0]:g} of {x.progress[1]:g}"),
            ("result", "" if x.result is None else compact(x.result)),
            ("error", "" if x.error is None else f"{x.error.type}: {x.error.message}"),
            ("losses", x.losses or ""),
        ]
    )
    if x.attempts:
        echo()
        table(
            [">TRY", "ON", "STARTED", ">TOOK", "OUTCOME", "ERROR", ">TOKEN"],
            (_attempt_row(a, now) for a in x.attempts),
        )
    for title, lines in (("log", x.log), ("traceback", _traceback(x))):
        if lines:
            echo(f"\n{title}")
            for said in lines:
                echo(f"  {clean(said, lines=True)}")


def _attempt_row(a: Attempt, now: int) -> list[object]:
    lasted = span(((a.ended or now) - a.started) / 1000)
    return [
        a.number,
        a.instance,
        when(a.started, now),
        lasted,
        a.outcome or "RUNNING",
        a.error or "",
        a.token,
    ]


def _traceback(x: Execution) -> list[str]:
    return x.error.traceback.rstrip().splitlines() if x.error is not None else []


def compact(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _check_why(id: str | None, task: str | None, at: str | None, json: bool) -> None:
    if (id is None) == (task is None):
        raise click.UsageError("give an execution's id, or --task NAME")
    if at is not None:
        if task is None:
            raise click.UsageError("--at goes with --task")
        moment(at, 0, "--at")


@client_command(short_help="Why a run is in its state, or why a task did not run.", check=_check_why)
@click.argument("id", required=False)
@click.option("--task", metavar="NAME", help="Ask about this task instead of an execution.")
@click.option("--at", "at", metavar="TIME", help=f"With --task: why it did not run then; {TIME_HELP}.")
@json_option
async def why(app: Scheduler, id: str | None, task: str | None, at: str | None, json: bool) -> None:
    """Say why execution ID is in its state, the most telling reason first.

    With --task: why the task does not run now, or did not run --at a time.
    """
    if task is not None:
        when_asked = None if at is None else moment(at, await app.now(), "--at")
        reasons = await app.why_not(task, when_asked)
    else:
        reasons = await app.why(str(id))
    if json:
        as_json(reasons)
        return
    for reason in reasons:
        echo(clean(reason.text))


# --- numbers ----------------------------------------------------------------------------------------


@client_command(short_help="Counters, rates, durations and lateness.")
@json_option
async def metrics(app: Scheduler, json: bool) -> None:
    """Print what the namespace has counted since its beginning."""
    found = await app.metrics()
    if json:
        as_json(found)
        return
    _totals(found)
    echo()
    headers = [
        "TASK", ">RUNNING", ">WAITING", ">OK", ">FAILED", ">RATE", ">RETRIED", ">LOST", ">SKIPPED",
        ">MEAN", ">P50", ">P99", ">LATE P50", ">LATE P99",
    ]  # fmt: skip
    table(headers, (_metrics_row(t) for t in found.tasks), "no task is defined")


def _totals(m: Metrics) -> None:
    leads = f"{m.leader}, epoch {m.epoch}" if m.leader else "nobody"
    facts(
        [
            ("leader", leads),
            ("instances", f"{len(m.instances)} alive"),
            ("tasks", f"{m.active_tasks} active"),
            ("now", f"{m.running} running, {m.backlog} waiting"),
            ("executions", f"{m.created} created, {m.succeeded} succeeded, {m.failed} failed, {m.dead} dead, "
                           f"{m.cancelled} cancelled, {m.skipped} skipped"),
            ("success rate", percent(m.success_rate)),
            ("attempts lost", str(m.lost)),
            ("stale writes refused", str(m.refused)),
            ("elections", str(m.elections)),
            ("locks acquired", str(m.locks_acquired)),
        ]
    )  # fmt: skip


def _metrics_row(t: TaskMetrics) -> list[object]:
    def spread(d: Distribution) -> tuple[str, str]:
        return _about(d.p50), _about(d.p99)

    return [
        t.name, t.running, t.backlog, t.succeeded, t.failed, percent(t.success_rate), t.retried, t.lost,
        t.skipped, span(t.duration.mean), *spread(t.duration), *spread(t.lateness),
    ]  # fmt: skip


def _about(seconds: float | None) -> str:
    """An estimate from buckets: it must not look as exact as the mean beside it."""
    return "" if seconds is None else f"~{span(seconds)}"


@command(short_help="Whether server, leader and heartbeats are well.")
@json_option
def health(call: Call, json: bool) -> int:
    """Look at server, instances and leader; exits 1 unless all is well, so it can serve as a probe."""

    async def look() -> Health:
        try:
            async with call.client() as app:
                return await app.health()
        except LabschedError as error:
            if isinstance(error, ValueError):
                raise
            return Health(up=False, components={"redis": Component(up=False, detail=str(error))})

    found: Health = run(look())
    if json:
        as_json(found)
    else:
        rows = [[name, "up" if part.up else "DOWN", part.detail] for name, part in found.components.items()]
        table(["COMPONENT", "STATE", "DETAIL"], rows)
    return 0 if found.up else 1
