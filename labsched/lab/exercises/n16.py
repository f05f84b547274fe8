"""Exercises of notebook 16: how many seeds, a shrinker, and an invariant that mutants do not survive."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from labsched.errors import ConfigError

from .answers import rebuilt
from .bounded import Endless, bounded
from .grading import Grader, Verdict
from .n16_ledgers import Ledger, broken, stored

# --- 16-seeds

SHARES = ((0.03, 0.95), (0.01, 0.9), (0.2, 0.99), (0.0004, 0.95), (0.5, 0.999))


def seeds(answer: Any) -> Verdict:
    """`seeds_needed(share, sure)`: the fewest seeds of which, that sure, at least one shows the bug."""
    function = rebuilt(answer)
    for share, sure in SHARES:
        said, needed = bounded(function, share, sure), math.ceil(math.log(1 - sure) / math.log(1 - share))
        asked = f"when {share:g} of all seeds show it and you want to be {sure:.1%} sure"
        if isinstance(said, bool) or not isinstance(said, int | float) or said != int(said):
            return Verdict(False, f"{asked}, yours says {said!r}: seeds come in whole numbers")
        if said < needed:
            missed = (1 - share) ** max(int(said), 0)
            return Verdict(
                False,
                f"{asked}, yours says {said:g} seeds: then {missed:.1%} of all sweeps miss it, {1 - sure:.1%} may",
                "caught-that-surely",
            )
        if said > needed:
            sentence = f"{asked}, {needed:,} seeds would do, yours asks for {said:,g}"
            return Verdict(False, sentence, "within-budget")
    return Verdict(
        True, f"never too few, never one too many, for {len(SHARES)} bugs from common to very rare"
    )


# --- 16-shrink


class Case(NamedTuple):
    """A failing run: its faults, whether some of them still make it fail, and what is special about it."""

    faults: list[str]
    fails: Callable[[Sequence[str]], bool]
    about: str


def _needs(*needed: str) -> Callable[[Sequence[str]], bool]:
    return lambda kept: set(needed) <= set(kept)


def _numbered(count: int) -> list[str]:
    verbs = ("kill", "pause", "cut", "drain", "slow", "skew")
    return [f"{verbs[n * 5 % 6]} i{1 + n % 3} at {3 + 0.7 * n:.1f} s" for n in range(count)]


def _tied(needed: str, first: str, then: str) -> Callable[[Sequence[str]], bool]:
    """`then` stays a fault only beside `first`: without it the run is another one, and does not fail."""
    return lambda kept: needed in kept and (then not in kept or first in kept)


def _cases() -> list[Case]:
    many, some, few = _numbered(16), _numbered(12), _numbered(6)
    pair = [
        "kill i1 at 3.0 s",
        "cut i2 at 4.0 s",
        "restart i1 at 6.0 s",
        "pause i3 at 8.0 s",
        "resume i3 at 9.0 s",
    ]
    return [
        Case(some, _needs(some[7]), "one fault of twelve does it"),
        Case(many, _needs(many[2], many[9], many[13]), "three faults of sixteen do it together"),
        Case(pair, _tied(pair[1], pair[0], pair[2]), "a restart means nothing without its kill"),
        Case(pair, _tied(pair[1], pair[4], pair[3]), "a pause without its resume hides the failure"),
        Case(few, _needs(*few), "all six are needed"),
        Case(few, lambda kept: True, "it fails without any fault"),
    ]


class _Spent(BaseException):
    """The budget of runs is gone; no `except Exception` of an answer hides it."""


def shrink(answer: Any) -> Verdict:
    """`smaller(faults, fails)`: some of the faults, which still fail, and none of which can be left out."""
    function = rebuilt(answer)
    for case in _cases():
        verdict = _shrunk(function, case)
        if verdict is not None:
            return verdict
    return Verdict(True, "in six cases what is left still fails, and nothing of it can be left out")


def _shrunk(function: Callable[..., Any], case: Case) -> Verdict | None:
    n, runs = len(case.faults), 0
    budget = n * n + 3 * n

    def fails(kept: Sequence[str]) -> bool:
        nonlocal runs
        runs += 1
        if runs > budget:
            raise _Spent
        return case.fails(list(kept))

    try:
        found = bounded(function, list(case.faults), fails)
    except _Spent:
        return Verdict(False, f"{case.about}: more than {budget} runs for {n} faults", "within-budget")
    if not isinstance(found, list | tuple):
        return Verdict(False, f"{case.about}: yours returns {found!r}, not a list of faults")
    told = f"{case.about}: of {n} faults yours keeps {len(found)}"
    if list(found) != [fault for fault in case.faults if fault in found]:
        return Verdict(False, f"{told}, which are not some of the given ones in their order", "no-new-faults")
    if not case.fails(list(found)):
        return Verdict(False, f"{told}, and with these alone the run does not fail", "still-fails")
    for fault in found:
        if case.fails([one for one in found if one != fault]):
            return Verdict(False, f"{told}, and it fails without {fault!r} too", "none-to-spare")
    return None


# --- 16-invariant


def invariant(answer: Any) -> Verdict:
    """`broken(lines)`: the first line that no lock with one holder at a time could have; None for a healthy history."""
    function = rebuilt(answer)
    for lines in stored()["healthy"]:
        alarm = _asked(function, lines)
        if alarm:
            said = f"a history of the unharmed scheduler: yours calls it broken, and returned {_line(alarm)}"
            return Verdict(False, said, "no-false-alarm")
    mutants = {name: found for name, found in stored().items() if name != "healthy"}
    missed = [found for found in mutants.values() if not any(_asked(function, lines) for lines in found)]
    if missed:
        seen = broken(missed[0][0])
        said = f"{len(missed)} of {len(mutants)} mutants survive; of this yours said nothing: {seen}"
        return Verdict(False, said, "mutants-killed")
    return Verdict(
        True, f"it kills {len(mutants)} unseen mutants, and {len(stored()['healthy'])} healthy histories pass"
    )


def _asked(function: Callable[..., Any], lines: Ledger) -> Any:
    return bounded(function, [dict(line) for line in lines])


def _line(alarm: Any) -> str:
    if isinstance(alarm, dict) and {"at", "kind", "holder", "token"} <= alarm.keys():
        return f"the line at {alarm['at']:.3f} s ({alarm['holder']} {alarm['kind']}, #{alarm['token']})"
    return repr(alarm)[:80]


def _finite(grader: Grader) -> Grader:
    def judged(answer: Any) -> Verdict:
        try:
            return grader(answer)
        except Endless as error:
            return Verdict(False, f"your code does not come to an end: {error}")
        except ConfigError as error:
            return Verdict(False, str(error))

    return judged


GRADERS: dict[str, Grader] = {
    "16-seeds": _finite(seeds), "16-shrink": _finite(shrink), "16-invariant": _finite(invariant),
}  # fmt: skip
