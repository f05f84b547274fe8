"""`one-execution-per-slot`: a slot of a schedule becomes one execution."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...model import Event, Kind
from ...schedule import between, due_of
from .definitions import Definitions
from .nouns import ms
from .result import CheckResult, Finder

if TYPE_CHECKING:
    from ..recording import Recording

_ID = re.compile(r"^(?P<task>.*)@(?P<slot>\d+)(?:#(?P<instance>.*))?$")


def one_execution_per_slot(rec: Recording) -> CheckResult:
    """At most one execution was ever dispatched for a task's slot; retention does not make a slot new again. It is a
    slot of the schedule in force, and was dispatched while the task was ACTIVE and not before it was due.

    Triggers and backfills are nobody's slot and do not count. Duplicates of a cluster that runs without the
    distributed lock (`task@slot#instance`) are reported like any other. Tested: slots that became an execution.
    """
    find = Finder("one-execution-per-slot")
    seen: dict[tuple[str, int], tuple[str, str | None]] = {}
    marks, tasks = _start(rec, seen), Definitions(rec)
    for e in rec.history:
        slot = dispatched_slot(e)
        if slot is None:
            tasks.take(e)
            continue
        wrong = _wrong(rec, tasks, e, slot)
        if wrong:
            sentence = f"slot {slot} of {e.task} became {e.execution} at {rec.facts.clock(ms(e))}, {wrong}"
            find.found(ms(e), sentence, e.id)
        key, mark = (e.task or "", slot), marks.get(e.task or "")
        before = seen.get(key)
        if before is None:
            seen[key] = (e.execution or "", e.id)
            find.tested += 1
        if before is not None or (mark is not None and slot <= mark):
            earlier = f"beside {before[0]}" if before else "though the recording began with that slot decided"
            sentence = f"slot {slot} of {e.task} became {e.execution} at {rec.facts.clock(ms(e))}, {earlier}"
            find.found(ms(e), sentence, before[1] if before else None, e.id)
    return find.result()


def _wrong(rec: Recording, tasks: Definitions, e: Event, slot: int) -> str:
    """Why that slot was not to be dispatched then, or an empty text: the step that does it looks at all of this."""
    task = e.task or ""
    status, schedule = tasks.status.get(task, "ACTIVE"), tasks.schedule.get(task)
    if status != "ACTIVE":
        return f"while the task was {status}"
    due = max(slot, e.data.get("due") or 0)
    if schedule is not None:
        if next(between(schedule, slot - 1, slot), None) is None:
            return "which its schedule does not have"
        due = max(due, due_of(task, schedule, slot))
    if slot <= tasks.since.get(task, -1):
        return "which was decided when the task was defined"
    if ms(e) < due - rec.health.clocks:
        return f"though it was due only at {rec.facts.clock(due)}"
    return ""


def dispatched_slot(e: Event) -> int | None:
    """The slot that this event turned into an execution, if it is the dispatch of one."""
    ready = e.kind == Kind.READY and e.data.get("source") == "schedule"
    if not e.execution or not (ready or (e.kind == Kind.BUFFERED and e.data.get("reason") == "overlap")):
        return None
    slot = e.data.get("slot")
    return int(slot) if slot is not None else slot_in(e.execution, e.task)


def slot_in(execution: str, task: str | None) -> int | None:
    """The slot that an execution's id names, when it is the id of a slot of that task."""
    match = _ID.match(execution)
    return int(match["slot"]) if match and match["task"] == task else None


def _start(rec: Recording, seen: dict[tuple[str, int], tuple[str, str | None]]) -> dict[str, int | None]:
    for key, x in (rec.snapshot.get("executions") or {}).items():
        slot = slot_in(key, x.get("task"))
        if slot is not None:
            seen[(x["task"], slot)] = (key, None)
    return {name: task.get("watermark") for name, task in (rec.snapshot.get("tasks") or {}).items()}
