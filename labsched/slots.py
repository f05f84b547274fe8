"""The four kinds of schedule as values, and the arithmetic of their slots. Pure functions, no clock.

A slot is one nominal fire time. The slots of a schedule are a fixed set, strictly ascending, the same on
every machine: asking `after` again and again from any instant walks through the same set. Times are Unix
milliseconds (int), durations are seconds (float). Slots lie between 1970 and the year 3000.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Literal, TypeAlias

import msgspec

from .dst import Fold, Gap, Rule, rule

HORIZON = 32_503_680_000_000  # 3000-01-01T00:00Z


def to_ms(duration: float) -> int:
    """Seconds as whole milliseconds."""
    return round(duration * 1000)


class Every(msgspec.Struct, frozen=True, tag_field="type", tag="every"):
    """At every multiple of `period` seconds since 1970, from `start` (inclusive) until `end` (exclusive)."""

    period: float
    jitter: float = 0.0
    start: int | None = None
    end: int | None = None

    def _between(self, lo: int, hi: int) -> Iterator[int]:
        period = to_ms(self.period)
        return iter(range(-(-lo // period) * period, hi, period))

    def _last(self, lo: int, hi: int) -> int | None:
        period = to_ms(self.period)
        found = (hi - 1) // period * period
        return found if found >= lo else None

    def _count(self, lo: int, hi: int) -> int:
        period = to_ms(self.period)
        return -(-hi // period) + (-lo // period)


class Cron(msgspec.Struct, frozen=True, tag_field="type", tag="cron"):
    """At the wall times of `expr` in zone `tz`; labsched/dst.py says what `gap` and `fold` decide."""

    expr: str
    tz: str = "UTC"
    jitter: float = 0.0
    gap: Gap = "skip"
    fold: Fold = "first"
    start: int | None = None
    end: int | None = None

    @property
    def rule(self) -> Rule:
        return rule(self.expr, self.tz, self.gap, self.fold)

    # Slots are whole seconds, so ms bounds round up to the next one: [lo, hi) stays [lo, hi).
    def _between(self, lo: int, hi: int) -> Iterator[int]:
        return (slot * 1000 for slot in self.rule.between(-(-lo // 1000), -(-hi // 1000)))

    def _last(self, lo: int, hi: int) -> int | None:
        found = self.rule.last(-(-lo // 1000), -(-hi // 1000))
        return None if found is None else found * 1000

    def _count(self, lo: int, hi: int) -> int:
        return self.rule.count(-(-lo // 1000), -(-hi // 1000))


class At(msgspec.Struct, frozen=True, tag_field="type", tag="at"):
    """Once, at `when`."""

    when: int

    def _between(self, lo: int, hi: int) -> Iterator[int]:
        return iter((self.when,) if lo <= self.when < hi else ())

    def _last(self, lo: int, hi: int) -> int | None:
        return self.when if lo <= self.when < hi else None

    def _count(self, lo: int, hi: int) -> int:
        return int(lo <= self.when < hi)


class Manual(msgspec.Struct, frozen=True, tag_field="type", tag="manual"):
    """Never by itself, only when triggered."""

    def _between(self, lo: int, hi: int) -> Iterator[int]:
        return iter(())

    def _last(self, lo: int, hi: int) -> int | None:
        return None

    def _count(self, lo: int, hi: int) -> int:
        return 0


Schedule: TypeAlias = Every | Cron | At | Manual


class Misfire(msgspec.Struct, frozen=True):
    """What becomes of slots that are handled more than `grace` seconds after they were due.

    FIRE_ONCE fires the latest of them and skips the others, FIRE_ALL fires all, SKIP fires none.
    """

    policy: Literal["FIRE_ONCE", "FIRE_ALL", "SKIP"] = "FIRE_ONCE"
    grace: float = 60.0


def after(schedule: Schedule, t: int) -> int | None:
    """The first slot strictly after `t`, or None when there is none."""
    return next(between(schedule, t, HORIZON), None)


def between(schedule: Schedule, after_t: int, to_t: int) -> Iterator[int]:
    """Every slot in (after_t, to_t], ascending, computed as it is asked for."""
    lo, hi = _window(schedule, after_t, to_t)
    return schedule._between(lo, hi) if lo < hi else iter(())


def latest(schedule: Schedule, t: int) -> int | None:
    """The last slot at or before `t`, or None when there is none."""
    lo, hi = _window(schedule, -1, t)
    return schedule._last(lo, hi) if lo < hi else None


def count(schedule: Schedule, after_t: int, to_t: int) -> int:
    """How many slots lie in (after_t, to_t]: exact, without walking through them."""
    lo, hi = _window(schedule, after_t, to_t)
    return schedule._count(lo, hi) if lo < hi else 0


def _window(schedule: Schedule, after_t: int, to_t: int) -> tuple[int, int]:
    """(after_t, to_t] cut to what `start`, `end` and the horizon leave, as [lo, hi)."""
    lo, hi = max(after_t + 1, 0), min(to_t + 1, HORIZON)
    if isinstance(schedule, (Every, Cron)):
        lo = lo if schedule.start is None else max(lo, schedule.start)
        hi = hi if schedule.end is None else min(hi, schedule.end)
    return lo, hi


def jitter_of(schedule: Schedule) -> float:
    """Seconds below which every slot's delay stays; 0.0 for those that fire on the dot."""
    return schedule.jitter if isinstance(schedule, (Every, Cron)) else 0.0


def jitter_ms(task_name: str, slot: int, jitter_s: float) -> int:
    """By how many ms, in [0, jitter), this slot of this task starts late: a hash, so everywhere the same."""
    width = to_ms(jitter_s)
    if width <= 0:
        return 0
    digest = blake2b(f"{task_name}@{slot}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % width


def due_of(task_name: str, schedule: Schedule, slot: int) -> int:
    """When that slot is to start: the slot plus its jitter."""
    return slot + jitter_ms(task_name, slot, jitter_of(schedule))
