"""What speaks against a cause, told from a recording alone: notebook 10 answers a wrong diagnosis with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from statistics import median

from labsched.model import Event
from labsched.worlds import Recording

HALF = 35.0  # seconds: each of the five days is calm until then
Evidence = Callable[[Recording], str]


def _of(rec: Recording, kind: str, task: str | None = None) -> list[Event]:
    return [event for event in rec.history if event.kind == kind and task in (None, event.task)]


def _late(rec: Recording, event: Event) -> bool:
    return event.at - rec.started >= HALF


def _lost(rec: Recording) -> list[Event]:
    return [event for event in _of(rec, "INSTANCE_LOST") if event.data.get("reason") == "lease"]


def slow_dependency(rec: Recording) -> str:
    took: tuple[list[float], list[float]] = ([], [])
    for event in _of(rec, "SUCCEEDED", "order"):
        took[_late(rec, event)].append(event.data["duration_ms"] / 1000)
    before, after = map(median, took)
    return f"attempts would take longer, but an order took {before:.2f} s before and {after:.2f} s after"


def more_work(rec: Recording) -> str:
    came = Counter(
        _late(rec, event) for event in _of(rec, "READY", "order") if event.data.get("source") == "trigger"
    )
    before, after = came[False] / (HALF - 1), came[True] / (rec.ended - rec.started - HALF - 3)
    return f"more orders would come in, but there were {before:.1f} per second before and {after:.1f} after"


def poison_job(rec: Recording) -> str:
    lost = _of(rec, "LOST")
    if not lost:
        return "the attempts of that job would be lost, but no attempt was"
    pids = {(event.instance, event.data["pid"]) for event in _of(rec, "INSTANCE_JOINED")}
    same = len(pids) == len({name for name, _ in pids})
    ended = (
        "every instance that came back had the same process id as before, so no process ended" if same else ""
    )
    return ended or f"one execution would be in all losses, but {len({e.execution for e in lost})} were lost"


def dying_machines(rec: Recording) -> str:
    if not _lost(rec):
        return "instances would lose their leases, but none did"
    pids = {(event.instance, event.data["pid"]) for event in _of(rec, "INSTANCE_JOINED")}
    if len(pids) == len({name for name, _ in pids}):
        return "every instance that came back had the same process id as before, so no process ended"
    hit = Counter(event.execution for event in _of(rec, "LOST") if event.data.get("reason") == "lease")
    _, times = hit.most_common(1)[0]
    return f"chance would hit other work each time, but one execution was among the lost {times} times"


def missing_version(rec: Recording) -> str:
    if len(_of(rec, "TASK_DEFINED")) > len({event.task for event in _of(rec, "TASK_DEFINED")}):
        return ""
    return (
        "a new version would have been defined, but each task has one TASK_DEFINED only, from the beginning"
    )


def paused_by_operator(rec: Recording) -> str:
    return "there would be a TASK_PAUSED event, but there is none"


def hanging_run(rec: Recording) -> str:
    ended = {
        (e.execution, e.attempt) for e in rec.history if e.kind in ("SUCCEEDED", "FAILED", "RETRYING", "LOST")
    }
    open_ones = [rec.ended - e.at for e in _of(rec, "RUNNING") if (e.execution, e.attempt) not in ended]
    longest = max(open_ones, default=0.0)
    return f"one run would go on for ever, but at the end the oldest attempt had been running for {longest:.1f} s"


def starved_heartbeat(rec: Recording) -> str:
    if not _lost(rec):
        return "that instance would lose its lease, but none did"
    return "it would come back by itself, as the same process, but those that came back had new process ids"


def cut_off(rec: Recording) -> str:
    lost = _lost(rec)
    if not lost:
        return "that instance would lose its lease, but none did"
    hit = Counter(event.task for event in _of(rec, "LOST"))
    names = {event.instance for event in lost}
    return (
        f"one instance would be lost, whatever it runs, but {len(names)} were in turn, and each time"
        f" an attempt of {hit.most_common(1)[0][0]} was among what they held"
    )


def no_leader(rec: Recording) -> str:
    slots = [e.at - rec.started for e in _of(rec, "READY") if e.data.get("source") == "schedule"]
    longest = max(after - before for before, after in pairwise(slots))
    return f"no slot would be dispatched any more, but the longest time without one was {longest:.1f} s"


AGAINST: dict[str, Evidence] = {
    "slow-dependency": slow_dependency,
    "more-work": more_work,
    "poison-job": poison_job,
    "dying-machines": dying_machines,
    "missing-version": missing_version,
    "paused-by-operator": paused_by_operator,
    "hanging-run": hanging_run,
    "starved-heartbeat": starved_heartbeat,
    "cut-off": cut_off,
    "no-leader": no_leader,
}
