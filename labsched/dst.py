"""From wall times to instants: what a cron expression means in a zone whose clocks are moved.

A zone's history is a row of periods of constant UTC offset. Where one period hands over to the next,

    clocks go forward   the wall times in between do not exist: the gap
                        "skip"   they never fire
                        "shift"  they fire at the instant at which the gap ends, together once
    clocks go back      some wall times come twice: the fold
                        "first"  they fire the first time only; the repeated hour is silent
                        "second" they fire the second time only; the first pass is silent
                        "both"   they fire both times

So `*/5 * * * *` goes on every five real minutes through a fold only with "both"; with "first" or "second" it
is silent for as long as the clocks went back. Through a gap it goes on every five real minutes either way.
All arguments are Unix seconds (UTC) unless called wall times.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from .crontab import Calendar, calendar
from .errors import ScheduleError

Gap = Literal["skip", "shift"]
Fold = Literal["first", "second", "both"]

_WINDOW = 2**25  # about 388 days: what is computed and remembered at a time
# No zone has moved its clocks twice within 6.9 days since 1970 (all of tzdata was looked through),
# so probing every three days misses none.
_PROBE = _WINDOW // 128


class Move(NamedTuple):
    """At instant `at` the offset of the local clock goes from `before` to `after` seconds."""

    at: int
    before: int
    after: int


class Span(NamedTuple):
    """Instants [lo, hi) in which wall time = instant + offset fires; `shifted` is one more slot."""

    lo: int
    hi: int
    offset: int
    shifted: int | None


class Rule:
    """One cron expression in one zone under one policy: its slots, forwards, backwards and counted."""

    def __init__(self, expr: str, zone: str, gap: Gap, fold: Fold) -> None:
        self.calendar: Calendar = calendar(expr)
        self.zone = zone_of(zone)
        self._gap, self._fold = gap, fold
        self._windows: dict[int, tuple[Span, ...]] = {}

    def between(self, lo: int, hi: int) -> Iterator[int]:
        """Every slot in [lo, hi), strictly ascending."""
        for span in self._spans(lo, hi):
            if span.shifted is not None:
                yield span.shifted
            for wall in self.calendar.between(span.lo + span.offset, span.hi + span.offset):
                yield wall - span.offset

    def last(self, lo: int, hi: int) -> int | None:
        """The last slot in [lo, hi), or None."""
        for span in self._spans(lo, hi, backwards=True):
            wall = self.calendar.last(span.lo + span.offset, span.hi + span.offset)
            if wall is not None:
                return wall - span.offset
            if span.shifted is not None:
                return span.shifted
        return None

    def count(self, lo: int, hi: int) -> int:
        """How many slots lie in [lo, hi)."""
        total = 0
        for span in self._spans(lo, hi):
            total += self.calendar.count(span.lo + span.offset, span.hi + span.offset)
            total += span.shifted is not None
        return total

    def gaps(self, lo: int, hi: int) -> Iterator[tuple[Move, list[int]]]:
        """The moves in [lo, hi) that swallow wall times of this rule, with those wall times."""
        for move in moves(self.zone, lo, hi):
            lost = list(self.calendar.between(move.at + move.before, move.at + move.after))
            if lost:
                yield move, lost

    def _spans(self, lo: int, hi: int, backwards: bool = False) -> Iterator[Span]:
        windows = range(lo // _WINDOW, -(-hi // _WINDOW))
        for index in reversed(windows) if backwards else windows:
            if index not in self._windows:
                self._windows[index] = tuple(self._window(index * _WINDOW))
            spans = self._windows[index]
            for span in reversed(spans) if backwards else spans:
                if span.lo < hi and lo < span.hi:
                    yield span if lo <= span.lo and span.hi <= hi else _clip(span, lo, hi)

    def _window(self, start: int) -> Iterator[Span]:
        """The spans of [start, start + _WINDOW); the fold of a move next to it may reach into it."""
        near = list(moves(self.zone, start - _WINDOW, start + 2 * _WINDOW))
        offset = near[0].before if near else offset_at(self.zone, start)
        final = near[-1].after if near else offset
        opening, closing = Move(start - _WINDOW, offset, offset), Move(start + 2 * _WINDOW, final, final)
        for move, following in zip([opening, *near], [*near, closing], strict=True):
            lo, hi = move.at, following.at
            if self._fold == "first":
                lo += max(0, move.before - move.after)
            if self._fold == "second":
                hi -= max(0, following.before - following.after)
            lo, hi = max(lo, start), min(hi, start + _WINDOW)
            if lo < hi:
                yield Span(lo, hi, move.after, self._shifted(move) if lo == move.at else None)

    def _shifted(self, move: Move) -> int | None:
        if self._gap == "skip":
            return None
        lost = next(self.calendar.between(move.at + move.before, move.at + move.after), None)
        # A slot that is there anyway when the gap ends takes the shifted ones in.
        regular = next(self.calendar.between(move.at + move.after, move.at + move.after + 1), None)
        return move.at if lost is not None and regular is None else None


def _clip(span: Span, lo: int, hi: int) -> Span:
    shifted = span.shifted if span.shifted is not None and lo <= span.shifted < hi else None
    return Span(max(span.lo, lo), min(span.hi, hi), span.offset, shifted)


@lru_cache(maxsize=1024)
def rule(expr: str, zone: str, gap: Gap, fold: Fold) -> Rule:
    """The rule, built once. ScheduleError when the expression or the zone is unknown."""
    return Rule(expr, zone, gap, fold)


def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name like "Europe/Berlin". ScheduleError when there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):  # zoneinfo raises all of these for a bad name
        hint = 'an IANA name like "Europe/Berlin" or "UTC" is needed'
        raise ScheduleError(f"time zone {name!r} is unknown: {hint}") from None


def offset_at(zone: tzinfo, at: int) -> int:
    """Seconds by which the local clock is ahead of UTC at that instant."""
    offset = datetime.fromtimestamp(at, zone).utcoffset()
    return round((offset or timedelta()).total_seconds())


def moves(zone: ZoneInfo, lo: int, hi: int) -> Iterator[Move]:
    """The instants in [lo, hi) at which that zone's clocks are moved."""
    for index in range(lo // _WINDOW, -(-hi // _WINDOW)):
        yield from (move for move in _moves(zone, index) if lo <= move.at < hi)


@lru_cache(maxsize=4096)
def _moves(zone: ZoneInfo, index: int) -> tuple[Move, ...]:
    found = []
    start = index * _WINDOW
    before = offset_at(zone, start - 1)
    for low, high in pairwise((start - 1, *range(start, start + _WINDOW, _PROBE), start + _WINDOW - 1)):
        after = offset_at(zone, high)
        if after != before:
            found.append(Move(_edge(zone, low, high, after), before, after))
        before = after
    return tuple(found)


def _edge(zone: ZoneInfo, low: int, high: int, after: int) -> int:
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if offset_at(zone, middle) == after else (middle, high)
    return high
