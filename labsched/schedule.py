"""Schedules as users write them: `every`, `cron`, `at`, `manual`. Everything is checked here, once.

    every("5s", jitter="1s")
    cron("30 2 * * *", tz="Europe/Berlin", gap="shift")
    at(datetime(2026, 11, 23, 12, tzinfo=UTC))

What is wrong is a ScheduleError of one line. The arithmetic of slots lives in labsched/slots.py, the look
ahead in labsched/preview.py, the decisions in labsched/plan.py; the first two are exported from here too.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, TypeVar, get_args

from .dst import Fold, Gap
from .durations import seconds, show
from .errors import ConfigError, ScheduleError
from .preview import Forecast, Preview, forecast, preview
from .slots import (
    HORIZON,
    At,
    Cron,
    Every,
    Manual,
    Misfire,
    Schedule,
    after,
    between,
    count,
    due_of,
    jitter_ms,
    latest,
)

__all__ = [
    "HORIZON",
    "At",
    "Cron",
    "Duration",
    "Every",
    "Fold",
    "Forecast",
    "Gap",
    "Manual",
    "Misfire",
    "Moment",
    "Preview",
    "Schedule",
    "after",
    "at",
    "between",
    "checked",
    "count",
    "cron",
    "describe",
    "due_of",
    "every",
    "forecast",
    "jitter_ms",
    "latest",
    "manual",
    "preview",
]

Duration: TypeAlias = float | str | timedelta
Moment: TypeAlias = datetime | str  # aware; text is ISO-8601 with an offset or Z
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_S = TypeVar("_S", Every, Cron, At, Manual, Schedule)


def every(
    period: Duration, *, jitter: Duration = 0, start: Moment | None = None, end: Moment | None = None
) -> Every:
    """Every `period`, aligned to the epoch: `every("1h")` fires on the hour in UTC whenever it was defined.

    `period` is whole milliseconds, `jitter` is less than `period`. ScheduleError otherwise, or when no slot
    lies in [start, end).
    """
    begins, ends = _moment(start, "start"), _moment(end, "end")
    return checked(Every(_duration(period, "period"), _duration(jitter, "jitter"), begins, ends))


def cron(
    expr: str,
    *,
    tz: str = "UTC",
    jitter: Duration = 0,
    gap: Gap = "skip",
    fold: Fold = "first",
    start: Moment | None = None,
    end: Moment | None = None,
) -> Cron:
    """At the wall times of a 5-field cron expression (6 fields: seconds first) in an IANA time zone.

    `gap` and `fold` say what happens when clocks are moved (labsched/dst.py). `jitter` must be less than the
    closest that two of its times of day come to each other, midnight included: nominal order is then the
    order of starting, except around a moved clock, where `plan` holds the later slot back. ScheduleError
    otherwise, when the expression or zone is unknown, when it never fires, or not in [start, end).
    """
    begins, ends = _moment(start, "start"), _moment(end, "end")
    return checked(Cron(expr, tz, _duration(jitter, "jitter"), gap, fold, begins, ends))


def at(when: Moment) -> At:
    """Once at that instant (aware, cut to milliseconds). ScheduleError when naive or out of range."""
    return checked(At(_instant(when, "when")))


def manual() -> Manual:
    """No slots: runs only when triggered."""
    return Manual()


def checked(schedule: _S) -> _S:
    """`schedule` itself when it keeps the rules of the constructors, ScheduleError otherwise.

    For schedules that were decoded or built as structs; the constructors end here too.
    """
    if isinstance(schedule, At) and not 0 <= schedule.when < HORIZON:
        raise ScheduleError(f"when {schedule.when} ms lies outside 1970 to 2999")
    if isinstance(schedule, (Every, Cron)):
        _check_duration(schedule.jitter, "jitter")
        _check_jitter(
            schedule, _check_every(schedule) if isinstance(schedule, Every) else _check_cron(schedule)
        )
        _check_range(schedule)
    return schedule


def _check_every(schedule: Every) -> float:
    _check_duration(schedule.period, "period")
    millis = schedule.period * 1000
    if millis < 1 or abs(millis - round(millis)) > 1e-6:
        raise ScheduleError(
            f"period {schedule.period * 1000:.15g}ms is refused: it must be whole milliseconds from 1"
        )
    return schedule.period


def _check_cron(schedule: Cron) -> float:
    for name, value, allowed in (
        ("gap", schedule.gap, get_args(Gap)),
        ("fold", schedule.fold, get_args(Fold)),
    ):
        if value not in allowed:
            raise ScheduleError(f"{name} {value!r} is unknown, allowed are {', '.join(allowed)}")
    if not isinstance(schedule.expr, str):
        raise ScheduleError(f"cron {schedule.expr!r} is no text")
    return float(schedule.rule.calendar.closest)


def _check_jitter(schedule: Every | Cron, room: float) -> None:
    if schedule.jitter >= room:
        what = "the period" if isinstance(schedule, Every) else "the closest two of its times of day"
        raise ScheduleError(f"jitter {show(schedule.jitter)} must be less than {what}, {show(room)}")


def _check_range(schedule: Every | Cron) -> None:
    start, end = schedule.start, schedule.end
    if start is not None and end is not None and end <= start:
        raise ScheduleError(f"end {_iso(end)} must be later than start {_iso(start)}")
    if after(schedule, -1) is None:
        said = [f"{name} {_iso(t)}" for name, t in (("start", start), ("end", end)) if t is not None]
        raise ScheduleError(
            f"the schedule never fires: no slot between {' and '.join(said) or '1970 and 2999'}"
        )


def _check_duration(value: float, what: str) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ScheduleError(
            f"{what} {value!r} is refused: it must be a finite number of seconds, not negative"
        )


def _duration(value: Duration, what: str) -> float:
    try:
        return seconds(value, what)
    except ConfigError as error:
        raise ScheduleError(str(error)) from None


def _moment(value: Moment | None, what: str) -> int | None:
    return None if value is None else _instant(value, what)


def _instant(value: Moment, what: str) -> int:
    moment = value
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise ScheduleError(f'{what} {value!r} is no time like "2026-11-23T12:00:00Z"') from None
    if not isinstance(moment, datetime):
        raise ScheduleError(f"{what} {value!r} must be an aware datetime or ISO-8601 text")
    if moment.utcoffset() is None:
        raise ScheduleError(f"{what} {moment.isoformat()} has no time zone: say UTC or an offset")
    found = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not 0 <= found < HORIZON:
        raise ScheduleError(f"{what} {moment.isoformat()} lies outside 1970 to 2999")
    return found


def _iso(t: int) -> str:
    return (_EPOCH + timedelta(milliseconds=t)).isoformat(timespec="seconds")


def describe(schedule: Schedule) -> str:
    """A schedule in a few words: `every 5s`, `cron 0 3 * * * Europe/Berlin`, `at 2026-11-23 12:00:00Z`, `manual`."""
    if isinstance(schedule, Every):
        words = f"every {show(schedule.period)}"
    elif isinstance(schedule, Cron):
        words = f"cron {schedule.expr}" + (f" {schedule.tz}" if schedule.tz != "UTC" else "")
    elif isinstance(schedule, At):
        return f"at {datetime.fromtimestamp(schedule.when / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
    else:
        return "manual"
    return words + (f" jitter {show(schedule.jitter)}" if schedule.jitter else "")
