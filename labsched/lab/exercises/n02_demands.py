"""What four tasks are for, and whether a recording gives them that: the judges of exercise "02-policy"."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from labsched.worlds.recording import Recording

PERIOD = 5.0  # seconds between two slots of each task
SETTLE = 2.1  # seconds within which a slot starts in healthy times, also behind the run of the slot before


class Outage(NamedTuple):
    """From `stop` to `back` there is no instance; the recording ends at `until`. Seconds."""

    stop: float
    back: float
    until: float

    @property
    def missed(self) -> list[float]:
        """Slots that were due meanwhile."""
        return [slot for slot in _slots(self.until) if self.stop < slot < self.back]

    @property
    def kept(self) -> list[float]:
        """Slots at which an instance was there, and its backlog was behind it; the end leaves time to finish."""
        return [slot for slot in _slots(self.until - 5) if slot < self.stop - 5 or slot > self.back + 5]


def _slots(until: float) -> list[float]:
    return [PERIOD * number for number in range(1, int(until / PERIOD) + 1)]


OUTAGES = (Outage(14.5, 42.5, 67), Outage(14.2, 33, 57), Outage(14.7, 48.5, 67))


class Broken(NamedTuple):
    """What a task did not get; `only` is the recording with nothing but this task."""

    sentence: str
    guarantee: str
    only: Recording


class Demand(NamedTuple):
    """`takes` seconds of work; `wants` in words; `judge` names the guarantee and says what is wrong, or None."""

    takes: float
    wants: str
    judge: Callable[[list[Run], Outage], tuple[str, str] | None]


class Run(NamedTuple):
    """One attempt: seconds since the start."""

    slot: float
    started: float
    outcome: str


def judged(rec: Recording, task: str, outage: Outage) -> Broken | None:
    """What `task` did not get in this recording; None when it got what it is for."""
    merged = rec.attempts.merge(rec.executions[["execution", "slot"]], on="execution")
    mine = merged[merged.task == task]
    rows = zip(mine.slot.astype("float64"), mine.started, mine.outcome, strict=True)
    runs = [Run(slot / 1000 - rec.started, float(started), str(outcome)) for slot, started, outcome in rows]
    told = _in_healthy_times(runs, outage) or DEMANDS[task].judge(runs, outage)
    if told is None:
        return None
    history = [event for event in rec.history if event.task in (None, task)]
    only = msgspec.structs.replace(rec, history=history)
    when = f"stopped at {outage.stop:g} s, back at {outage.back:g} s"
    return Broken(f"{task} ({when}): {told[1]}", told[0], only)


def _in_healthy_times(runs: list[Run], outage: Outage) -> tuple[str, str] | None:
    for slot in outage.kept:
        if not any(
            run.slot == slot and run.outcome == "SUCCEEDED" and run.started < slot + SETTLE for run in runs
        ):
            return "nothing-lost", f"the slot of {slot:g} s did not run in time, though an instance was there"
    return None


def _each(runs: list[Run], outage: Outage) -> tuple[str, str] | None:
    done = {run.slot for run in runs if run.outcome == "SUCCEEDED"}
    left = [slot for slot in outage.missed if slot not in done]
    if left:
        return (
            "nothing-lost",
            f"{len(left)} of {len(outage.missed)} missed slots never ran, {left[0]:g} s the first",
        )
    return None


def _once(runs: list[Run], outage: Outage) -> tuple[str, str] | None:
    caught_up = [run for run in runs if run.slot in outage.missed]
    if not caught_up:
        return "nothing-lost", "it came back, and nothing made up for the missed slots"
    if len(caught_up) > 1:
        return "once-is-enough", f"{len(caught_up)} runs made up for the missed slots, one is enough"
    return None


def _in_time(runs: list[Run], outage: Outage) -> tuple[str, str] | None:
    late = [run for run in runs if run.started - run.slot > 2.0]
    if late:
        worst = max(late, key=lambda run: run.started - run.slot)
        return "never-late", f"the slot of {worst.slot:g} s ran {worst.started - worst.slot:.0f} s late"
    return None


def _newest(runs: list[Run], outage: Outage) -> tuple[str, str] | None:
    caught_up = [run for run in runs if run.slot in outage.missed]
    if not caught_up:
        return "nothing-lost", "it came back, and no forecast was made before the next slot"
    for run in runs:
        newest = max(slot for slot in _slots(outage.until) if slot <= run.started)
        if run.outcome == "SUCCEEDED" and run.slot < newest:
            begun = f"at {run.started:.0f} s the slot of {run.slot:g} s was begun, and worked out to its end"
            return "newest-wins", f"{begun}, though {newest:g} s was due"
    return None


DEMANDS = {
    "invoices": Demand(0.5, "every slot has a batch of its own: none may be left out, however late", _each),
    "warm-up": Demand(
        3.0, "fills a cache: after an outage exactly one run makes up for all that was missed", _once
    ),
    "reminder": Demand(0.1, "more than 2 s late it is worse than none", _in_time),
    "forecast": Demand(
        4.0,
        "after an outage it runs, but no forecast is finished for an older slot than the newest due",
        _newest,
    ),
}
