"""Exercises of notebook 13: a mean with an honest interval, and a policy that survives a pulse."""

from __future__ import annotations

import functools
import random
from typing import Any

from ..pictures.metrics import metrics
from .answers import rebuilt
from .grading import Grader, Verdict
from .n13_world import PULSE, Day, Policy, day

# --- 13-mean

STREAMS, HIT, WIDEST = 12, 10, 0.15
JOBS, BACKLOG = 50_000, 150.0


@functools.cache
def _streams() -> tuple[tuple[float, tuple[float, ...]], ...]:
    """The mean wait in the long run, and the waits at one place, job after job (Lindley, 1952), from a backlog on."""
    made = []
    for n in range(STREAMS):
        luck, load, unit = random.Random(f"stream {n}"), (0.65, 0.7, 0.75)[n % 3], (1.0, 0.02, 30.0)[n // 4]
        wait, told = BACKLOG, []
        for _ in range(JOBS):
            told.append(wait * unit)
            wait = max(wait + luck.expovariate(1.0) - luck.expovariate(load), 0.0)
        made.append((load / (1 - load) * unit, tuple(told)))
    return tuple(made)


def mean(answer: Any) -> Verdict:
    """`estimate(waits)`: (mean in the long run, half-width of its 95 % interval)."""
    function, hits, widths = rebuilt(answer), 0, []
    missed = ""
    for true, waits in _streams():
        said = function(list(waits))
        try:
            middle, half = (float(value) for value in said)
        except (TypeError, ValueError):
            return Verdict(False, f"yours returns {str(said)[:60]}, not a pair: mean and half-width")
        widths.append(half / true)
        hit = abs(middle - true) <= half
        hits += hit
        missed = missed if hit or missed else f"{middle:.3g} ± {half:.2g} s, where {true:.3g} s is true"
    if hits < HIT:
        told = f"{hits} of {STREAMS} intervals hold the true mean, 95 % of them should; one says {missed}"
        return Verdict(False, told, "honest-interval")
    if max(widths) > WIDEST:
        told = f"the intervals hold the true mean, but the widest is ± {max(widths):.0%} of it, allowed is {WIDEST:.0%}"
        return Verdict(False, told, "narrow-enough")
    return Verdict(
        True, f"{hits} of {STREAMS} intervals hold the true mean, none is wider than ± {max(widths):.0%}"
    )


# --- 13-policy

SEEDS = (1, 2, 3)
MOST_WAITING = 16
SPANS = (  # when, from when to when, the share of callers that should be served
    ("before the pulse", (1.0, PULSE[0]), 0.75, "served"),
    ("from 10 s after the pulse on", (PULSE[1] + 10, 42.0), 0.75, "recovers"),
    ("in the pulse", PULSE, 0.6, "served"),
)


def policy(answer: Any) -> Verdict:
    """A `Policy`: judged by three days with a pulse."""
    if not isinstance(answer, Policy):
        return Verdict(False, f"the answer is a Policy(...), not {type(answer).__name__}")
    wrong = _impossible(answer)
    if wrong:
        return Verdict(False, wrong)
    first = day(answer, SEEDS[0])
    if first.longest_queue > MOST_WAITING:
        return _refused(
            f"{first.longest_queue} jobs waited at once, {MOST_WAITING} may", "queue-bounded", first
        )
    days = [first]
    for seed in (*SEEDS[1:], None):
        for about, (start, end), least, guarantee in SPANS:
            share = sum(one.served(start, end) for one in days) / len(days)
            # One day is luck, unless it is a plain failure.
            if share < (least if seed is None else 0.75 * least):
                told = f"of those who called {about} {share:.0%} were served, {least:.0%} should be"
                return _refused(told, guarantee, first)
        if seed is not None:
            days.append(day(answer, seed))
    queue = max(one.longest_queue for one in days)
    return Verdict(
        True, f"at most {queue} jobs waited, and 10 s after the pulse callers are served as before"
    )


def _impossible(said: Policy) -> str:
    """What no policy may say."""
    if said.max_backlog < 1 or said.patience <= 0:
        return "max_backlog is 1 or more, and patience above 0"
    if not 0 <= said.retries <= 50 or said.pause < 0 or not 1 <= said.factor <= 10:
        return "retries are 0 to 50, pause is 0 or more, factor is 1 to 10"
    return ""


def _refused(sentence: str, guarantee: str, shown: Day) -> Verdict:
    return Verdict(False, sentence, guarantee, metrics(shown.recording))


GRADERS: dict[str, Grader] = {"13-mean": mean, "13-policy": policy}
