"""The look ahead: the next slots of one task with moved clocks marked, and the herd of all tasks. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice

import msgspec

from .dst import Move, moves
from .slots import HORIZON, Cron, Schedule, between, due_of, jitter_of, to_ms

_EPOCH = datetime(1970, 1, 1)

SHIFTED = "DST: clocks go forward, shifted"
SKIPPED = "DST: clocks go forward, this local time does not exist"
FIRST = "DST: repeated hour, first"
SECOND = "DST: repeated hour, second"


class Preview(msgspec.Struct, frozen=True):
    """One coming slot. `local` is ISO-8601 in the schedule's zone; `slot` and `due` (ms) are None for a local
    time that does not exist because clocks go forward. `note` is "" on ordinary days."""

    slot: int | None
    due: int | None
    local: str
    note: str = ""


class Forecast(msgspec.Struct, frozen=True):
    """How many fires fall due in each second: `per_second` maps Unix seconds to fires, ascending, no zeros.

    `capped` tells that the cap was reached: the counts are complete up to about the last second listed only.
    """

    peak: int
    peak_at: int | None
    total: int
    per_second: dict[int, int]
    capped: bool


def preview(schedule: Schedule, task_name: str, t: int, n: int = 10) -> list[Preview]:
    """The next `n` slots after `t` (ms) in order, and between them one entry for each gap in the local clock
    that swallows fires (these do not count towards `n`; several in one gap are told in one entry)."""
    slots = list(islice(between(schedule, t, HORIZON), n))
    if not isinstance(schedule, Cron) or n < 1:
        return [Preview(slot, due_of(task_name, schedule, slot), local_text(slot, UTC)) for slot in slots]
    begin = max(t, schedule.start or 0)
    end = slots[-1] if len(slots) == n else (schedule.end or 0) - 1
    swallowed = list(schedule.rule.gaps(begin // 1000 + 1, end // 1000 + 1)) if end > begin else []
    shifted = {move.at for move, _ in swallowed} if schedule.gap == "shift" else set()
    rows = [(slot, _fire(schedule, task_name, slot, shifted)) for slot in slots]
    if schedule.gap == "skip":
        rows += [(move.at * 1000 - 1, _swallowed(walls)) for move, walls in swallowed]
    return [row for _, row in sorted(rows, key=lambda row: row[0])]


def _fire(schedule: Cron, task_name: str, slot: int, shifted: set[int]) -> Preview:
    zone = schedule.rule.zone
    note = (
        SHIFTED
        if slot // 1000 in shifted
        else _fold_note(slot // 1000, zone, moves(zone, *_day_around(slot)))
    )
    return Preview(slot, due_of(task_name, schedule, slot), local_text(slot, zone), note)


def _day_around(slot: int) -> tuple[int, int]:
    return slot // 1000 - 90000, slot // 1000 + 90000  # no zone has moved its clock by more than 24 hours


def _fold_note(at: int, zone: tzinfo, near: Iterable[Move]) -> str:
    for move in near:
        back = move.before - move.after
        if move.at - back <= at < move.at:
            return FIRST
        if move.at <= at < move.at + back:
            return SECOND
    return ""


def _swallowed(walls: list[int]) -> Preview:
    first, last = ((_EPOCH + timedelta(seconds=wall)).isoformat() for wall in (walls[0], walls[-1]))
    more = f" (nor do {len(walls) - 1} more up to {last[11:]})" if len(walls) > 1 else ""
    return Preview(None, None, first, SKIPPED + more)


def local_text(t: int, zone: tzinfo) -> str:
    """ISO-8601 with offset of `t` (ms) in that zone; milliseconds only when there are any."""
    # Adding a timedelta would forget which of two equal local times this is.
    moment = datetime.fromtimestamp(t // 1000, zone).replace(microsecond=t % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds" if t % 1000 else "seconds")


def forecast(
    items: Iterable[tuple[str, Schedule]], t: int, hours: float = 24.0, *, cap: int = 1_000_000
) -> Forecast:
    """The fires of all (task name, schedule) that fall due in (t, t + hours], counted by the second.

    At most `cap` fires are looked at, earliest first, so the cost is bounded whatever the schedules are.
    """
    end = t + round(hours * 3_600_000)
    per_second: dict[int, int] = {}
    dues = heapq.merge(*(_dues(name, schedule, t, end) for name, schedule in items))
    total = 0
    for due in islice(dues, cap):
        per_second[due // 1000] = per_second.get(due // 1000, 0) + 1
        total += 1
    capped = next(dues, None) is not None
    peak_at = max(per_second, key=lambda second: (per_second[second], -second), default=None)
    peak = per_second[peak_at] if peak_at is not None else 0
    return Forecast(peak, peak_at, total, dict(sorted(per_second.items())), capped)


def _dues(name: str, schedule: Schedule, t: int, end: int) -> Iterator[int]:
    for slot in between(schedule, t - to_ms(jitter_of(schedule)), end):
        due = due_of(name, schedule, slot)
        if t < due <= end:
            yield due
