"""`nothing-lost`: every slot and every trigger that was owed is accounted for."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ...model import Kind
from ...schedule import Schedule, between, count, due_of
from .definitions import schedule_of
from .nouns import ms
from .orphans import orphans
from .result import CheckResult, Finder
from .slots import slot_in
from .stuck import stuck

if TYPE_CHECKING:
    from ..recording import Recording

BUDGET = 200_000  # slots that one check looks at; beyond that, evenly spaced samples of each stretch
_SAMPLES = 100


class Stretch(msgspec.Struct):
    """A time in which a task was ACTIVE under one definition: slots in (since, last], due by `until`."""

    task: str
    schedule: Schedule
    since: int
    last: int
    until: int
    event: str | None


def nothing_lost(rec: Recording, settle: float | None = None) -> CheckResult:
    """Every slot due by the horizon became an execution or lies in a SKIPPED range, and no execution is stuck.

    The horizon of a stretch is the latest moment after which `settle` undisturbed, healthy seconds passed before
    the stretch ended (docs/recording.md derives the default). Executions are judged at the end of the recording:
    terminal, or for a reason still on the way; and an attempt that is RUNNING at a live instance is known to it.
    Tested: slots owed, triggers and backfills old enough, and attempts that lasted long enough to be missed.
    """
    find = Finder("nothing-lost")
    wait = rec.health.timing.settle if settle is None else round(settle * 1000)
    end, decided = rec.facts.end, _Decided(rec)
    stretches, notes = _stretches(rec)
    horizons = {until: rec.health.horizon(until, wait) for until in {end, *(s.until for s in stretches)}}
    for stretch in stretches:
        horizon = horizons[stretch.until]
        if horizon is not None:
            _owed(find, rec, stretch, horizon, decided, max(BUDGET // len(stretches), 1000), notes)
    _executions(find, rec, end - wait, quiet=horizons[end] == end - wait)
    _orphans(find, rec)
    if not find.tested and horizons[end] is None:
        notes.append(f"no undisturbed {wait / 1000:g} s with a healthy server and instance")
    find.note = "; ".join(dict.fromkeys(notes))
    return find.result()


class _Decided:
    """The slots that became an execution, and the ranges that were skipped."""

    def __init__(self, rec: Recording) -> None:
        self.slots: dict[str, set[int]] = defaultdict(set)
        ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for run in rec.facts.runs.values():
            slot = run.slot if run.slot is not None else slot_in(run.id, run.task)
            if slot is not None and run.source in ("", "schedule"):
                self.slots[run.task].add(slot)
        for e in rec.history:
            if e.kind == Kind.SKIPPED and e.task and e.data.get("first") is not None:
                ranges[e.task].append((e.data["first"], e.data.get("last", e.data["first"])))
        self.ranges = {task: _merged(known) for task, known in ranges.items()}

    def has(self, task: str, slot: int) -> bool:
        if slot in self.slots[task]:
            return True
        ranges = self.ranges.get(task, [])
        i = bisect_right(ranges, (slot, float("inf"))) - 1
        return i >= 0 and slot <= ranges[i][1]


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _stretches(rec: Recording) -> tuple[list[Stretch], list[str]]:
    """When which schedule counted; and the tasks whose definition cannot be read."""
    at, notes = rec.facts.end, list[str]()
    done: list[tuple[str, Schedule | None, int, str | None, int, int]] = []
    schedules: dict[str, Schedule | None] = {}
    active: dict[str, tuple[int, str | None]] = {}
    for name, task in (rec.snapshot.get("tasks") or {}).items():
        schedules[name] = _schedule(name, task.get("definition"), notes)
        if task.get("status") == "ACTIVE":
            active[name] = (task.get("watermark") or rec.facts.start, None)
    for e in rec.history:
        if e.kind not in (Kind.TASK_DEFINED, Kind.TASK_PAUSED, Kind.TASK_RESUMED) or not e.task:
            continue
        since = e.data.get("since", ms(e))
        if e.task in active:
            done.append((e.task, schedules.get(e.task), *active.pop(e.task), since, ms(e)))
        if e.kind == Kind.TASK_DEFINED:
            schedules[e.task] = _schedule(e.task, e.data.get("definition"), notes)
        if e.kind == Kind.TASK_RESUMED or e.data.get("status") == "ACTIVE":
            active[e.task] = (since, e.id)
    done += [(name, schedules.get(name), *opened, at, at) for name, opened in active.items()]
    return [
        Stretch(name, schedule, since, last, until, event)
        for name, schedule, since, event, last, until in done
        if schedule is not None
    ], notes


def _schedule(name: str, definition: Any, notes: list[str]) -> Schedule | None:
    schedule = schedule_of(definition)
    if schedule is None:
        notes.append(f"the schedule of {name} cannot be read, its slots were not computed")
    return schedule


def _owed(
    find: Finder,
    rec: Recording,
    stretch: Stretch,
    horizon: int,
    decided: _Decided,
    budget: int,
    notes: list[str],
) -> None:
    gap: list[int] = []
    for slot in _slots(stretch, min(horizon, stretch.last), budget, notes):
        if due_of(stretch.task, stretch.schedule, slot) > horizon:
            continue
        find.tested += 1
        if not decided.has(stretch.task, slot):
            gap.append(slot)
        elif gap:
            _tell(find, rec, stretch, gap)
            gap = []
    if gap:
        _tell(find, rec, stretch, gap)


def _slots(stretch: Stretch, upto: int, budget: int, notes: list[str]) -> Iterator[int]:
    total = count(stretch.schedule, stretch.since, upto)
    if total <= budget:
        yield from between(stretch.schedule, stretch.since, upto)
        return
    notes.append(f"about {budget} of {total} slots of {stretch.task} were looked at")
    step = (upto - stretch.since) / _SAMPLES
    for i in range(_SAMPLES):
        begin = stretch.since + round(i * step)
        yield from between(stretch.schedule, begin, begin + round(step * budget / total))


def _tell(find: Finder, rec: Recording, stretch: Stretch, gap: list[int]) -> None:
    due = due_of(stretch.task, stretch.schedule, gap[0])
    which = f"slot {gap[0]}" if len(gap) == 1 else f"{len(gap)} slots from {gap[0]} to {gap[-1]}"
    sentence = f"{which} of {stretch.task}, due at {rec.facts.clock(due)}, became no execution and no SKIPPED"
    find.found(due, sentence, stretch.event)


def _executions(find: Finder, rec: Recording, horizon: int, quiet: bool) -> None:
    for run in rec.facts.runs.values():
        # Slots are counted where they are computed.
        find.tested += quiet and run.source != "schedule" and run.created <= horizon
    for run, why in stuck(rec, horizon, quiet):
        sentence = f"{run.id} has been {run.state} since {rec.facts.clock(run.since)} and {why}"
        find.found(run.since, sentence, run.last)


def _orphans(find: Finder, rec: Recording) -> None:
    tested, found = orphans(rec)
    find.tested += tested
    for orphan in found:
        since, until = rec.facts.clock(orphan.since), rec.facts.clock(orphan.until)
        where = f"RUNNING at {orphan.tried.instance}, which knew nothing of it"
        sentence = f"{orphan.tried.execution} was {where} from {since} to {until}"
        find.found(orphan.until, sentence, orphan.tried.event)
