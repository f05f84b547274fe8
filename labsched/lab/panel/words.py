"""States and events in words: for the rows, and for the voice of a screen reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labsched.model import Event, InstanceInfo, Kind
from labsched.worlds.checks.result import CheckResult, Report

from .servers import loss

if TYPE_CHECKING:
    from .tally import Tally

_FAULTS = {
    "kill": "{} was killed",
    "restart": "{} was started again",
    "pause": "{} was paused",
    "resume": "{} goes on",
    "partition": "{} was cut off",
    "heal": "the link of {} was mended",
    "drain": "{} was told to stop",
    "slow": "{} was slowed down",
    "restart_server": "{} was restarted",
    "failover": "a replica took over from {}",
    "out_of_memory": "{} is full",
    "read_only": "{} is read-only",
}
_EVENTS = {
    Kind.LEADER_RESIGNED: "{instance} steps down as leader",
    Kind.INSTANCE_JOINED: "{instance} joined",
    Kind.INSTANCE_LEFT: "{instance} left",
    Kind.INSTANCE_DRAINING: "{instance} is draining",
    Kind.INSTANCE_LOST: "{instance} was given up: its lease is over",
    Kind.LOST: "attempt {attempt} of {task} was lost with {instance}",
    Kind.FAILED: "{task} failed",
    Kind.DEAD: "{task} is dead: it was lost too often",
}


def said(event: Event, tally: Tally) -> list[str]:
    """What a voice says about it; nothing about everyday work."""
    at = f"{event.at - tally.started:.1f} s: "
    if event.kind is Kind.LEADER_ELECTED:
        return [f"{at}{event.instance} leads, election #{tally.elections.get(event.epoch or 0, 0)}"]
    if event.kind not in _EVENTS:
        return []
    return [at + _EVENTS[event.kind].format(instance=event.instance, attempt=event.attempt, task=event.task)]


def fault_said(fault: Mapping[str, Any]) -> str:
    """A fault as a sentence without its time."""
    target = "everybody" if fault["target"] == "all" else str(fault["target"])
    kind, lost = str(fault["kind"]), loss(fault)
    sentence = _FAULTS.get(kind, "{}: " + kind.replace("_", " ")).format(target)
    return f"{sentence}, which {lost}" if lost else sentence


def condition(process: str, cut: str, info: InstanceInfo | None) -> str:
    """The state of an instance: what its machine does, and beside it what the cluster thinks where that differs.

    `process`: running, busy, paused, killed or ended; `cut`: "", "both", "requests" or "replies".
    """
    parts = [process] if process != "running" or not cut else []
    if cut:
        parts.append("cut off" if cut == "both" else f"cut off ({cut} lost)")
    if process in ("running", "busy", "paused"):
        if info is None:
            parts.append("not a member")
        elif info.state == "EXPIRED":
            parts.append("lease over")
        elif info.state == "DRAINING":
            parts.append("draining")
    elif process == "killed" and info is not None and info.state != "EXPIRED":
        parts.append("not yet missed")
    return ", ".join(parts)


def lamps(report: Report | None) -> list[dict[str, Any]]:
    """The guarantees as lamps: `grey`, `green` or `red`, with a text that says the same without colour."""
    return [] if report is None else [_lamp(result) for result in report]


def _lamp(result: CheckResult) -> dict[str, Any]:
    if result.violations:
        return {"id": result.id, "light": "red", "text": f"VIOLATED: {result.sentence()}"}
    if result.status == "held":
        times = "once" if result.tested == 1 else f"{result.tested} times"
        return {"id": result.id, "light": "green", "text": f"held {times}"}
    return {"id": result.id, "light": "grey", "text": result.status}
