"""Graders of notebook 10: the age of the oldest waiting run, told from events alone, and five bad days."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labsched import Scheduler, Settings, exponential, manual
from labsched.context import Context
from labsched.model import Event, State, as_datetime
from labsched.worlds import Recording, Simulation, load

from .answers import rebuilt
from .grading import Grader, Verdict
from .n10_evidence import AGAINST
from .n10_watch import alert

INCIDENTS = Path(__file__).resolve().parents[3] / "data" / "incidents"

# --- the oldest

_STATES = {state.value for state in State}


@functools.cache
def _queue(seed: int, pool: int) -> Recording:
    """A queue with everything that may happen in one: retries, a delayed start, cancellations, a lost instance."""

    async def job(ctx: Context, *, takes: float = 0.5, fails: bool = False) -> None:
        await ctx.work(takes)
        if fails and ctx.attempt == 1:
            raise ValueError("the first try fails")

    app = Scheduler("fake", settings=Settings(pool_size=pool))
    app.add("job", manual(), job, retries=1, backoff=exponential("3s", "3s"))

    async def use(app: Scheduler) -> None:
        soon = await app.now() + 9_000
        ids = await app.trigger_many(
            "job", [{"takes": 0.4 + 0.3 * (n % 4), "fails": n % 3 == 0} for n in range(24)]
        )
        await app.trigger("job", _at=as_datetime(soon))
        await app.host.clock.sleep(2.0)
        for id in ids[-6:]:
            await app.cancel(id)

    with Simulation(2, seed=seed, app=app, messages=False) as sim:
        sim.run(until=1)
        sim.start_call(use)
        return sim.at(4.2).kill("i1").at(5.0 if pool == 1 else 10.0).restart("i1").run(until=24)


def oldest(answer: Any) -> Verdict:
    """`oldest(events, now)`: for how many seconds the run has waited that has been READY longest; 0.0 if none is."""
    tell = rebuilt(answer)
    if (found := tell([], 1e9)) != 0:
        return Verdict(False, f"without any event nothing waits, and your function says {found!r}")
    for seed, pool in ((1, 1), (2, 2), (3, 1)):
        rec = _queue(seed, pool)
        for tick in range(2, 48):
            now = rec.started + tick / 2
            seen = [event for event in rec.history if event.at <= now]
            verdict = _compare(tell(list(seen), now), seen, now, tick / 2)
            if verdict is not None:
                return verdict
    return Verdict(
        True, "right at each of 138 moments, with retries, delays, cancellations and a lost instance"
    )


def _compare(said: Any, seen: list[Event], now: float, t: float) -> Verdict | None:
    since, who = _waiting(seen)
    true = 0.0 if since is None else now - since
    if isinstance(said, int | float) and abs(said - true) < 0.01:
        return None
    last = [event.kind for event in seen if event.execution == who]
    told = f"{who} has waited for {true:.1f} s (its events: {', '.join(last)})" if who else "nothing is READY"
    shown = f"{said:.1f} s" if isinstance(said, int | float) else repr(said)
    return Verdict(False, f"at {t:g} s {told}; your function says {shown}", "oldest")


def _waiting(seen: list[Event]) -> tuple[float | None, str]:
    states: dict[str, tuple[str, float]] = {}
    for event in seen:
        if event.execution and event.kind.value in _STATES:
            states[event.execution] = (event.kind.value, event.at)
    ready = [(at, id) for id, (kind, at) in states.items() if kind == "READY"]
    return min(ready) if ready else (None, "")


# --- five bad days

TRUE = {
    "monday": "slow-dependency",
    "tuesday": "poison-job",
    "wednesday": "missing-version",
    "thursday": "hanging-run",
    "friday": "starved-heartbeat",
}
Evidence = Callable[[Recording], str]


def incidents(answer: Any) -> Verdict:
    """A dict from day to cause."""
    if not isinstance(answer, dict) or set(answer) != set(TRUE):
        return Verdict(False, f"a dict with these days is needed: {', '.join(TRUE)}")
    strange = [cause for cause in answer.values() if cause not in AGAINST]
    known = ", ".join(AGAINST)
    if len(strange) == len(TRUE):
        return Verdict(False, f"no day has a cause yet; there are: {known}")
    if [cause for cause in strange if cause is not None and cause is not ...]:
        return Verdict(False, f"{strange[0]!r} is none of the causes; there are: {known}")
    wrong = [day for day, cause in TRUE.items() if answer[day] != cause]
    if not wrong:
        return Verdict(True, "five of five")
    day = next((day for day in wrong if answer[day] in AGAINST), None)
    head = f"{len(TRUE) - len(wrong)} of 5"
    if day is None:
        return Verdict(False, f"{head} so far; {wrong[0]} is still open", "diagnosis")
    against = AGAINST[answer[day]](load(INCIDENTS / f"{day}.json.gz"))
    return Verdict(False, f"{head}; {day} is not {answer[day]}: {against}", "diagnosis")


GRADERS: dict[str, Grader] = {"10-oldest": oldest, "10-alert": alert, "10-incidents": incidents}
