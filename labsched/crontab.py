"""Which local wall-clock times a cron expression names. No zone here: a day has 86,400 seconds.

Wall times are "naive seconds": seconds from 1970-01-01T00:00 on the local clock. Parsing and the matching of
days are cronsim's (Debian's rules: day-of-month and day-of-week must both match if either starts with a star,
else one is enough; `L`, `LW`, `MON#2`, `FRIL` are known). The search is a table look-up instead of cronsim's
step by step, because a coordinator asks for thousands of next slots, and asks backwards and for counts too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import date, datetime
from functools import lru_cache

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

from .errors import ScheduleError

DAY = 86400
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
# The rarest day that comes back (29 February on a given weekday, over 2100) takes 40 years.
RAREST = 51 * 366 * DAY


class Calendar:
    """The wall times of one cron expression. Immutable but for its memory of months already seen."""

    def __init__(self, expr: str) -> None:
        self._cron = _parse(expr)
        hours, minutes, secs = (
            sorted(part) for part in (self._cron.hours, self._cron.minutes, self._cron.seconds)
        )
        self.times = tuple(h * 3600 + m * 60 + s for h in hours for m in minutes for s in secs)
        self._months: dict[tuple[int, int, int], tuple[int, ...]] = {}
        later = (*self.times[1:], self.times[0] + DAY)
        self.closest = min(b - a for a, b in zip(self.times, later, strict=True))

    def between(self, lo: int, hi: int) -> Iterator[int]:
        """Every named wall time in [lo, hi), ascending."""
        for day in self._days(lo // DAY, (hi - 1) // DAY):
            start = day * DAY
            first = bisect_left(self.times, lo - start) if lo > start else 0
            stop = bisect_left(self.times, hi - start) if hi < start + DAY else len(self.times)
            for index in range(first, stop):
                yield start + self.times[index]

    def last(self, lo: int, hi: int) -> int | None:
        """The last named wall time in [lo, hi), or None."""
        for day in self._days(lo // DAY, (hi - 1) // DAY, backwards=True):
            at = bisect_left(self.times, hi - day * DAY)
            if at:
                found = day * DAY + self.times[at - 1]
                return found if found >= lo else None
        return None

    def count(self, lo: int, hi: int) -> int:
        """How many named wall times lie in [lo, hi); costs a look-up a month."""
        if hi <= lo:
            return 0
        first, final = lo // DAY, (hi - 1) // DAY
        whole = sum(len(days) for _, days in self._by_month(first, final)) * len(self.times)
        before = bisect_left(self.times, lo - first * DAY) if self._names(first) else 0
        beyond = len(self.times) - bisect_left(self.times, hi - final * DAY) if self._names(final) else 0
        return whole - before - beyond

    def _names(self, day: int) -> bool:
        return next(self._days(day, day), None) is not None

    def _days(self, first: int, final: int, backwards: bool = False) -> Iterator[int]:
        for start, days in self._by_month(first, final, backwards):
            for number in reversed(days) if backwards else days:
                yield start + number - 1

    def _by_month(
        self, first: int, final: int, backwards: bool = False
    ) -> Iterator[tuple[int, tuple[int, ...]]]:
        """(day number of the 1st, days of that month that match) for the months from `first` to `final`."""
        low, high = (date.fromordinal(_EPOCH_ORDINAL + day) for day in (first, final))
        months = range(low.year * 12 + low.month - 1, high.year * 12 + high.month)
        for index in reversed(months) if backwards else months:
            year, month = divmod(index, 12)
            start = date(year, month + 1, 1).toordinal() - _EPOCH_ORDINAL
            days = self._days_of(year, month + 1, start)
            if start < first or final < start + 31:
                days = tuple(number for number in days if first <= start + number - 1 <= final)
            yield start, days

    def _days_of(self, year: int, month: int, start: int) -> tuple[int, ...]:
        if month not in self._cron.months:
            return ()
        following = date(year + month // 12, month % 12 + 1, 1).toordinal() - _EPOCH_ORDINAL
        key = (month, start % 7, following - start)  # cronsim looks at nothing else
        if key not in self._months:
            numbers = range(1, following - start + 1)
            self._months[key] = tuple(d for d in numbers if self._cron.match_day(date(year, month, d)))
        return self._months[key]


@lru_cache(maxsize=1024)
def calendar(expr: str) -> Calendar:
    """The calendar of `expr`, parsed once. ScheduleError when it is nonsense or names no day at all."""
    found = Calendar(expr)
    if next(found.between(0, RAREST), None) is None:
        raise ScheduleError(_never(expr))
    return found


def _parse(expr: str) -> CronSim:
    fields = len(expr.split())
    if fields not in (5, 6):
        order = "minute hour day-of-month month day-of-week, with seconds in front if there are 6"
        raise ScheduleError(f"cron {expr!r} has {fields} fields, 5 or 6 are needed: {order}")
    try:
        return CronSim(expr, datetime(2000, 1, 1))
    except (CronSimError, ValueError, TypeError) as error:
        if _understood(expr):
            raise ScheduleError(_never(expr)) from None
        said = str(error).lower() if isinstance(error, CronSimError) else "a field cannot be understood"
        raise ScheduleError(f"cron {expr!r} cannot be understood: {said}") from None


def _understood(expr: str) -> bool:
    """Whether each field alone is fine: then cronsim refused a day that its months do not have."""
    parts = expr.upper().split()
    try:
        for field, part in zip(Field, ["0", *parts][-6:], strict=True):
            field.parse(part)
    except (CronSimError, ValueError, TypeError):
        return False
    return True


def _never(expr: str) -> str:
    return f"cron {expr!r} never fires: no date matches its day-of-month, month and day-of-week"
