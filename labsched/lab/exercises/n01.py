"""Exercises of notebook 01: an event list of one's own, the order of a queue, and luck that can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from labsched import Scheduler, Settings, at, every
from labsched.errors import ConfigError
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.clocks import EPOCH
from labsched.worlds.simulated.simulation import Simulation

from .answers import rebuilt
from .grading import Verdict
from .n01_list import grade_run


class Job(NamedTuple):
    """One task of the exercise "01-order": due once, at `due` seconds, takes `takes` seconds of the only worker."""

    name: str
    due: float
    takes: float
    priority: str


JOBS = (
    Job("backup", 10, 5, "low"),
    Job("index", 11, 2, "low"),
    Job("report", 12, 2, "normal"),
    Job("alert", 13, 1, "high"),
    Job("mail", 14, 1, "normal"),
)
_RANK = {"high": 0, "normal": 1, "low": 2}


def queue(jobs: Iterable[Job] = JOBS, seed: int = 1) -> Recording:
    """labsched with one instance and one worker on these jobs."""
    app = Scheduler("fake", settings=Settings(pool_size=1))
    for job in jobs:
        due = datetime.fromtimestamp(EPOCH + job.due, UTC)
        app.add(job.name, at(due), _taking(job.takes), priority=job.priority)
    with Simulation(1, seed=seed, app=app, messages=False) as sim:
        return sim.run(until=40)


def _taking(seconds: float) -> Callable[..., Any]:
    async def body(ctx: Any) -> None:
        await ctx.work(seconds)

    return body


def grade_order(answer: Any) -> Verdict:
    """The order in which `JOBS` start, against a run of them. Names the rule at the first wrong place."""
    names = answer.replace(",", " ").split() if isinstance(answer, str) else list(answer)
    known = {job.name: job for job in JOBS}
    if sorted(map(str, names)) != sorted(known):
        return Verdict(False, f"name each of {', '.join(known)} once, in the order in which they start")
    rec = queue()
    runs = rec.attempts.sort_values("started")
    for number, (said, name, started) in enumerate(zip(names, runs.task, runs.started, strict=True)):
        if said != name:
            waiting = [known[task] for task in runs.task[number:]]
            return _misplaced(known[said], known[name], waiting, float(started))
    from ..pictures.timeline import timeline

    return Verdict(
        True, "that is the order in which the worker took them", picture=timeline(rec, start=9, end=22)
    )


def _misplaced(said: Job, right: Job, later: list[Job], free: float) -> Verdict:
    here = [job for job in later if job.due <= free]
    there = ", ".join(f"{job.name} ({job.priority}, due {job.due:g} s)" for job in here)
    moment = f"at {free:.0f} s the worker is free and these wait: {there}"
    if said.due > free:
        return Verdict(False, f"{moment}; {said.name} is not due before {said.due:g} s", "nothing-early")
    if _RANK[said.priority] > _RANK[right.priority]:
        return Verdict(False, f"{moment}; you let {said.name} go first", "priority-first")
    return Verdict(False, f"{moment}; {said.name} has not waited longest", "oldest-first")


def grade_luck(answer: Any) -> Verdict:
    """A body that takes 0.5 to 1.5 s by luck, the same in every run of one seed, in another process too."""
    first, second = (_worked(rebuilt(answer), salt) for salt in (1, 2))
    if raised := [event.data["error"] for event in first.history if event.kind == "FAILED"]:
        return Verdict(False, f"your task raised {raised[0]}")
    took, again = (rec.attempts.duration.round(2).tolist() for rec in (first, second))
    if len(took) < _RUNS or not all(0.45 <= seconds <= 1.55 for seconds in took):
        return Verdict(
            False, "a run has to take between 0.5 and 1.5 s, and one of them did not", "within-limits"
        )
    if len(set(took)) <= _RUNS // 2:
        sentence = f"{len(took)} runs took only {len(set(took))} different times: that is no luck at all"
        return Verdict(False, sentence, "varies")
    if first.digest != second.digest:
        number = next((n for n, pair in enumerate(zip(took, again, strict=False)) if pair[0] != pair[1]), 0)
        slot = (number + 1) * _PERIOD
        sentence = f"seed 1, run in two processes: the run of the slot at {slot} s took two different times"
        return Verdict(False, sentence, "same-seed-same-run")
    return Verdict(
        True, f"{len(took)} runs, {len(set(took))} different times, and the same ones in every process"
    )


_PERIOD, _RUNS = 2, 9


def _worked(body: Callable[..., Any], salt: int) -> Recording:
    """The body every two seconds. `hash` is salted, as Python does for texts in every new process."""
    body.__globals__["hash"] = lambda value: hash((salt, value))
    app = Scheduler("fake", settings=Settings(pool_size=1))
    try:
        app.add("tired", every(f"{_PERIOD}s"), body)
    except ConfigError as error:
        raise ConfigError(f"it has to be `async def tired(ctx)`: {error}") from None
    with Simulation(1, seed=1, app=app, messages=False) as sim:
        return sim.run(until=_PERIOD * _RUNS + 1.9)


GRADERS = {"01-run": grade_run, "01-order": grade_order, "01-luck": grade_luck}
