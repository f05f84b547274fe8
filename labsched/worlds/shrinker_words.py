"""Faults in words: who, what, when and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_PAST = {
    "kill": "killed", "restart": "restarted", "pause": "paused", "resume": "resumed", "drain": "drained",
    "hog": "hogged", "skew": "given a wrong clock", "partition": "cut off", "heal": "healed", "slow": "slowed down",
    "lossy": "made lossy", "lose": "made to lose messages", "restart_server": "restarted", "failover": "failed over",
    "out_of_memory": "filled up", "read_only": "made read-only",
}  # fmt: skip
_ENDS = {
    "kill": ("restart", "restart_server"), "pause": ("resume", "restart", "kill"),
    "partition": ("heal",), "slow": ("heal",), "lossy": ("heal",), "lose": ("heal",),
    "out_of_memory": ("heal",), "read_only": ("heal",),
}  # fmt: skip
# What goes without saying, and what the world has noted beside the arguments.
_QUIET = {
    "direction": "both", "offset": 0.0, "added": 0.0, "factor": 1.0, "lag": 0.0, "down": 0.0, "keep": True, "count": 1,
}  # fmt: skip
_NOTED = ("at", "t", "kind", "target", "by", "lost")
_UNITS = {"duration": " s", "lag": " s", "down": " s", "offset": " s", "added": " s"}


def cured_by(fault: dict[str, Any], later: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Which of the later faults is the end of this one."""
    ends = _ENDS.get(fault["kind"], ())
    for other in later:
        if other["kind"] in ends and other["target"] in (fault["target"], "all"):
            return other
    return None


def in_words(faults: Sequence[dict[str, Any]]) -> str:
    """`i1 paused at 3.2 s for 12 s; i2 killed at 5 s`; an end is told with its beginning."""
    told: list[str] = []
    ends: list[dict[str, Any]] = []
    for i, fault in enumerate(faults):
        if any(fault is end for end in ends):
            continue
        end = cured_by(fault, faults[i + 1 :])
        text = f"{fault['target']} {_PAST.get(fault['kind'], fault['kind'])} at {_short(fault['t'])} s{_more(fault)}"
        if end is not None:
            lasted = _short(end["t"] - fault["t"])
            text += (
                f" and {_PAST[end['kind']]} {lasted} s later" if end["kind"] == "kill" else f" for {lasted} s"
            )
            if end["target"] != "all":
                ends.append(end)
        told.append(text)
    return "; ".join(told) or "no fault"


def _more(fault: dict[str, Any]) -> str:
    said = [
        f"{name} {_value(value)}{_UNITS.get(name, '')}"
        for name, value in fault.items()
        if name not in _NOTED and value is not None and value != _QUIET.get(name)
    ]
    return f" ({', '.join(said)})" if said else ""


def _value(value: Any) -> str:
    return _short(value) if type(value) in (int, float) else str(value)


def _short(value: float) -> str:
    return f"{value:.6g}"
