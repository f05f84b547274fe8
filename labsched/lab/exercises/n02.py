"""Exercises of notebook 02: a checker of transitions, and policies chosen for what a task is for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from labsched import Scheduler, Settings, every
from labsched.model import TRANSITIONS, Event, Kind, State
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.simulation import Simulation

from .grading import Verdict
from .n02_demands import DEMANDS, OUTAGES, PERIOD, Outage, judged


class _Case(NamedTuple):
    """A history, told as "execution:KIND" words; `*` stands for an event about no execution."""

    about: str
    words: str


_HEALTHY = (
    "a:READY * a:RUNNING b:READY a:SUCCEEDED b:RUNNING b:RETRYING c:BUFFERED b:READY b:RUNNING c:SKIPPED b:FAILED "
    "b:READY d:READY d:RUNNING d:FENCE_WRITTEN d:LOST d:READY b:RUNNING d:RUNNING b:SUCCEEDED d:CANCEL_REQUESTED "
    "d:CANCELLED e:SKIPPED f:READY f:RUNNING f:LOST f:DEAD f:READY"
)
_CASES = (
    _Case("a healthy history", _HEALTHY),
    _Case("a run that ended without having begun", "a:READY b:READY a:SUCCEEDED b:RUNNING b:SUCCEEDED"),
    _Case("a run that came out of nowhere", "a:READY b:RUNNING a:RUNNING b:SUCCEEDED a:SUCCEEDED"),
    _Case("a result committed twice", "a:READY a:RUNNING a:SUCCEEDED b:READY a:SUCCEEDED"),
    _Case("a success that was run again", "a:READY a:RUNNING a:SUCCEEDED a:READY a:RUNNING a:SUCCEEDED"),
    _Case("two different executions", "a:READY b:BUFFERED b:RUNNING b:SUCCEEDED a:RETRYING a:READY"),
)


def _history(words: str) -> list[Event]:
    made = []
    for number, word in enumerate(words.split()):
        execution, _, kind = word.partition(":")
        at = 1000 + number
        made.append(
            Event(
                id=f"{at}-0",
                at=at / 1000,
                kind=Kind(kind or "SKIPPED"),
                task="t",
                execution=execution if kind else None,
            )
        )
    return made


def illegal(history: Iterable[Event]) -> list[tuple[str, str, str]]:
    """The steps (execution, before, after) that are not in `TRANSITIONS`; after one, what the event claims holds."""
    found, now = [], dict[str, str]()
    for event in history:
        if event.execution is None or event.kind not in State.__members__:
            continue
        before, after = now.get(event.execution, ""), str(event.kind)
        if after not in TRANSITIONS[before]:
            found.append((event.execution, before, after))
        now[event.execution] = after
    return found


def grade_legal(answer: Any) -> Verdict:
    """`illegal(history)` on a healthy history and on five that are not."""
    for case in _CASES:
        history = _history(case.words)
        got, want = answer(list(history)), illegal(history)
        if not isinstance(got, list) or not all(isinstance(step, tuple) and len(step) == 3 for step in got):
            return Verdict(False, f"it has to return a list of (execution, before, after), not {got!r}")
        said = [(step[0], str(step[1] or ""), str(step[2])) for step in got]
        for step in said:
            if step not in want:
                sentence = f"{case.about}: {_said(step)} was reported, and nothing is wrong with that"
                return Verdict(False, sentence, "no-false-alarm")
        for step in want:
            if said.count(step) < want.count(step):
                return Verdict(False, f"{case.about}: {_said(step)} went unnoticed", "legal-transitions")
        if len(said) > len(want):
            return Verdict(False, f"{case.about}: a step was reported twice", "no-false-alarm")
    return Verdict(True, f"{len(_CASES)} histories, every illegal step found and no false alarm")


def _said(step: tuple[str, str, str]) -> str:
    execution, before, after = step
    return f"{execution} from {before or '(new)'} to {after}"


def run(policies: Mapping[str, Mapping[str, Any]], outage: Outage = OUTAGES[0], seed: int = 1) -> Recording:
    """The four tasks of `DEMANDS`, due every `PERIOD` seconds, on one instance that is stopped and started again."""
    app = Scheduler("fake", settings=Settings(pool_size=20))
    for name, demand in DEMANDS.items():
        app.add(name, every(PERIOD), _taking(demand.takes), **policies[name])
    with Simulation(1, seed=seed, app=app, messages=False) as sim:
        sim.at(outage.stop).terminate("i1").at(outage.back).restart("i1")
        return sim.run(until=outage.until)


def _taking(seconds: float) -> Callable[..., Any]:
    async def body(ctx: Any) -> None:
        await ctx.work(seconds)

    return body


def grade_policy(answer: Any) -> Verdict:
    """A table task -> options, judged by what the tasks do around three outages."""
    if not isinstance(answer, dict) or set(answer) != set(DEMANDS):
        return Verdict(False, f"the table needs one entry for each of {', '.join(DEMANDS)}")
    for name, options in answer.items():
        if not isinstance(options, dict) or set(options) - {"misfire", "overlap"}:
            return Verdict(False, f"{name}: allowed are misfire= and overlap=, as in dict(overlap='ALLOW')")
    for outage, seed in zip(OUTAGES, itertools.count(1)):
        rec = run(answer, outage, seed)
        for name in DEMANDS:
            broken = judged(rec, name, outage)
            if broken is not None:
                from ..pictures.slots import slots

                return Verdict(False, broken.sentence, broken.guarantee, slots({name: broken.only}))
    return Verdict(True, f"all four tasks do what they are for, through {len(OUTAGES)} outages")


GRADERS = {"02-legal": grade_legal, "02-policy": grade_policy}
