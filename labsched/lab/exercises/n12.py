"""Graders of notebook 12: offsets that are stable and spread, and followers that do not all come at once."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

from .answers import rebuilt
from .grading import Grader, Verdict
from .n12_herd import TooMany, Wrong, herd

# --- offsets

NAMES = {
    "numbered tasks": [f"tenant-{n}" for n in range(1000)],
    "tasks with long common names": [
        f"billing/region-eu/customer-{n:06d}/nightly-report" for n in range(0, 5000, 5)
    ],
}
BINS = 10


def offset(answer: Any) -> Verdict:
    """`offset(task, jitter)`: seconds in [0, jitter), the same everywhere and for ever, and spread evenly."""
    here, there = (_on_machine(answer, number) for number in (1, 2))
    for about, names in NAMES.items():
        for jitter in (10.0, 3600.0):
            verdict = _range(here, names, jitter) or _stable(here, there, names, jitter)
            verdict = verdict or _spread(here, about, names, jitter)
            if verdict is not None:
                return verdict
    return Verdict(True, "inside the range, alike on every machine, and evenly spread")


def _on_machine(answer: Any, number: int) -> Any:
    """A copy of the answer in a process of its own, where texts hash as they happen to: as PYTHONHASHSEED has it."""
    built = rebuilt(answer)
    built.__globals__["hash"] = lambda value: hash((number, value))
    return built


def _range(tell: Any, names: list[str], jitter: float) -> Verdict | None:
    for name in names[:50]:
        found = tell(name, jitter)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < jitter:
            return Verdict(
                False, f"offset({name!r}, {jitter:g}) is {found!r}, not a number from 0 and below {jitter:g}"
            )
    return None


def _stable(here: Any, there: Any, names: list[str], jitter: float) -> Verdict | None:
    for name in names:
        first, again, other = here(name, jitter), here(name, jitter), there(name, jitter)
        if first != again:
            sentence = f"asked twice for {name!r}, it says {first:.2f} s and then {again:.2f} s: the task would wander"
            return Verdict(False, sentence, "stable-offset")
        if first != other:
            sentence = f"one process says {first:.2f} s for {name!r}, another {other:.2f} s"
            return Verdict(False, f"{sentence}: each new leader moves it", "stable-offset")
    return None


def _spread(tell: Any, about: str, names: list[str], jitter: float) -> Verdict | None:
    bins = Counter(int(tell(name, jitter) / jitter * BINS) for name in names)
    fullest, most = bins.most_common(1)[0]
    if most <= 1.5 * len(names) / BINS:
        return None
    start, end = fullest * jitter / BINS, (fullest + 1) * jitter / BINS
    sentence = f"{about}: {most} of {len(names)} fall between {start:g} and {end:g} s, where a tenth should"
    return Verdict(False, sentence, "no-herd")


# --- followers

CROWD, FEW = 500, (2, 5)
PEAK, GAP, STEADY = 100, 1.5, 200.0  # asks within 0.1 s; seconds; asks per second


def next_try(answer: Any) -> Verdict:
    """`next_try(left, luck)`: when a follower asks again. Few at once, somebody soon, and not much in between."""
    waiting = rebuilt(answer)
    try:
        for check in (_few_at_once, _soon, _not_much):
            verdict = check(waiting)
            if verdict is not None:
                return verdict
    except Wrong as error:
        return Verdict(False, str(error), "within-budget" if isinstance(error, TooMany) else "")
    most, _ = _crowd(waiting).peak()
    return Verdict(
        True,
        f"{CROWD} followers ask at most {most} times within 0.1 s, and somebody leads within {GAP:g} s of each end",
    )


@functools.lru_cache(maxsize=1)
def _crowd(waiting: Any) -> Any:
    return herd(waiting, CROWD)


def _few_at_once(waiting: Any) -> Verdict | None:
    most, when = _crowd(waiting).peak()
    sentence = f"at {when:.1f} s {CROWD} followers ask {most:,} times within 0.1 s, allowed are {PEAK}"
    return Verdict(False, sentence, "no-herd") if most > PEAK else None


def _not_much(waiting: Any) -> Verdict | None:
    found = _crowd(waiting).per_second()
    sentence = f"while the leader is well, {CROWD} followers ask {found:.0f} times per second, allowed are {STEADY:.0f}"
    return Verdict(False, sentence, "within-budget") if found > STEADY else None


def _soon(waiting: Any) -> Verdict | None:
    for followers in (*FEW, CROWD):
        for seed in range(12 if followers < CROWD else 1):
            told = herd(waiting, followers, seed)
            if len(told.gaps) < 2:
                return Verdict(
                    False,
                    f"with {followers} followers, one of two leaders had no successor",
                    "bounded-recovery",
                )
            if max(told.gaps) > GAP:
                sentence = f"with {followers} followers, nobody led for {max(told.gaps):.1f} s after a lease had ended"
                return Verdict(False, f"{sentence}, allowed are {GAP:g} s", "bounded-recovery")
    return None


GRADERS: dict[str, Grader] = {"12-offset": offset, "12-next-try": next_try}
