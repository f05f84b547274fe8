"""The exercise "01-run": an event list, judged on small programs whose right history is known."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, NamedTuple

from labsched.worlds.explorer_watch import ClockCall, watched

from .bounded import Endless, bounded
from .grading import Verdict

Entry = tuple[float, Any]
Handle = Callable[[float, Any], list[Entry]]


class Program(NamedTuple):
    """What is put in at the start, what each event puts in when it happens, and when to stop."""

    start: list[Entry]
    handle: Handle
    until: float


def _nothing(time: float, what: Any) -> list[Entry]:
    return []


def _bell(time: float, what: Any) -> list[Entry]:
    return [(time + {"bell": 10.0, "slow bell": 25.0}.get(what, 10_000.0), what)]


def _splitting(time: float, what: Any) -> list[Entry]:
    """Three events at the same moment, one of them right now."""
    return [(time, "z now"), (time + 1, "y later"), (time + 1, "b later")] if what == "split" else []


def _renewal(time: float, what: Any) -> list[Entry]:
    """Things without an order of their own, as bodies of functions are."""
    return [(time + 5, {"what": "renew"})] if what["what"] == "renew" else []


PROGRAMS = (
    Program([(3.0, "c"), (1.0, "a"), (2.0, "b")], _nothing, 10.0),
    Program([(10.0, "bell"), (25.0, "slow bell")], _bell, 60.0),
    Program([(5.0, "z"), (5.0, "m"), (5.0, "a")], _nothing, 10.0),
    Program([(1.0, "split"), (1.0, "c now"), (2.0, "c later")], _splitting, 10.0),
    Program([(5.0, {"what": "renew"}), (5.0, {"what": "expire"})], _renewal, 12.0),
    Program([(4.0, "a"), (7.0, "at the end"), (7.5, "beyond")], _nothing, 7.0),
    Program([], _nothing, 10.0),
    Program([(10.0, "hourly")], _bell, 30_000.0),
)


def happens(program: Program) -> list[Entry]:
    """The right history: by time, and first put in first out within one moment."""
    number = itertools.count()
    pending: list[tuple[float, int, Any]] = []
    for time, what in program.start:
        heappush(pending, (time, next(number), what))
    done: list[Entry] = []
    while pending and pending[0][0] <= program.until:
        time, _, what = heappop(pending)
        done.append((time, what))
        for later, following in program.handle(time, what):
            heappush(pending, (later, next(number), following))
    return done


def grade_run(answer: Any) -> Verdict:
    """`run(start, handle, until)` on each program, in turn."""
    for program in PROGRAMS:
        try:
            got = watched(bounded, answer, list(program.start), program.handle, program.until)
        except ClockCall as call:
            line = next((f" (line {line})" for file, line in call.stack if file == _file(answer)), "")
            return Verdict(
                False, f"your code calls {call.name}{line}: here the event list is the only clock there is"
            )
        except Endless as endless:
            return Verdict(False, f"your code did not come to an end: {endless}")
        verdict = _compared(got, happens(program), program.until)
        if verdict is not None:
            return verdict
    return Verdict(True, f"{len(PROGRAMS)} programs, every event at its time and in its turn")


def _compared(got: Any, want: list[Entry], until: float) -> Verdict | None:
    """What is wrong with a history, the worst first; None when nothing is."""
    if not isinstance(got, list) or not all(isinstance(item, tuple) and len(item) == 2 for item in got):
        return Verdict(False, f"run has to return a list of (time, what) pairs, not {got!r}")
    for before, now in itertools.pairwise(got):
        if now[0] < before[0]:
            sentence = f"{_said(now)} happened after {_said(before)}: time went backwards"
            return Verdict(False, sentence, "in-time-order")
    late = [item for item in got if item[0] > until]
    if late:
        return Verdict(
            False, f"{_said(late[0])} happened, and the run was to end at {until:g} s", "ends-at-until"
        )
    count, wanted = Counter(map(repr, got)), Counter(map(repr, want))
    for item in want:
        if count[repr(item)] < wanted[repr(item)]:
            return Verdict(False, f"{_said(item)} was put in and never happened", "nothing-lost")
    for item in got:
        if count[repr(item)] > wanted[repr(item)]:
            return Verdict(False, f"{_said(item)} happened, and nobody had put it in", "happens-once")
    for mine, right in zip(got, want, strict=True):
        if mine != right:
            sentence = f"both are due at {right[0]:g} s: {right[1]!r} was put in before {mine[1]!r} and happens first"
            return Verdict(False, sentence, "first-come")
    return None


def _said(item: Entry) -> str:
    return f"{item[1]!r} of {item[0]:g} s"


def _file(answer: Any) -> str:
    return str(getattr(getattr(answer, "__code__", None), "co_filename", ""))
