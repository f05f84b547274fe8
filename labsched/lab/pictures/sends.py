"""Which stretch of a recording a space-time picture shows, and which of its messages. No ink here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from ...errors import ConfigError
from ...model import Kind
from ...worlds.checks.health import spans
from ...worlds.checks.result import GUARANTEES
from ...worlds.messages import Message

if TYPE_CHECKING:
    from ...worlds.checks.result import Violation
    from ...worlds.recording import Recording

MOST_ARROWS = 150
_BACK = 15.0  # seconds before a violation in which its fault is looked for
_TELLING = frozenset({Kind.INSTANCE_LOST, Kind.LEADER_ELECTED, Kind.REFUSED, Kind.INSTANCE_JOINED})

# What says least goes first when there are too many. The waits of idle workers and renewals come every second.
_DULL = ("heartbeat", "BLPOP", "lead", "note", "connect", "accept", "refuse", "close")


class Arrow(msgspec.Struct, kw_only=True):
    """A message that is drawn. Seconds since the recording began; `arrived` is None for a lost one."""

    sent: float
    arrived: float | None
    source: str
    destination: str
    kind: str
    name: str
    lost: str = ""
    number: int = 0  # its place in the message log

    @property
    def dullness(self) -> int:
        """0 is left out first."""
        word = (self.name or self.kind).split(" ")[0]
        dull = _DULL.index(word) if word in _DULL else len(_DULL)
        return dull + (len(_DULL) if self.lost else 0)


def violations(rec: Recording, guarantee: str | None = None) -> list[Violation]:
    """What `rec.check()` finds, all or of one guarantee, in order of time. ConfigError for one that there is not."""
    report = rec.check()
    if guarantee is None:
        found = report.violations
    elif guarantee in GUARANTEES:
        found = list(report[guarantee].violations)
    else:
        raise ConfigError(f"no guarantee {guarantee!r}, there are {', '.join(GUARANTEES)}")
    return sorted(found, key=lambda violation: violation.at)


def moment(rec: Recording, violation: Violation) -> float:
    """When it happened, in seconds since the recording began."""
    return round(violation.at - rec.started, 3)


def sentence(rec: Recording, violation: Violation) -> str:
    """What a check found, with seconds of the recording in place of Unix milliseconds."""
    first, last = round(rec.started * 1000), round(rec.ended * 1000)

    def since(found: re.Match[str]) -> str:
        at = int(found[0])
        return f"{(at - first) / 1000:g}s" if first <= at <= last else found[0]

    return re.sub(r"(?<!\d)\d{13}(?!\d)", since, violation.sentence)


def window(rec: Recording, broken: Violation | None) -> tuple[float, float]:
    """The stretch around that violation and its fault, or else the first fault and what came of it, or else the
    first seconds."""
    lasted = rec.ended - rec.started
    faults = [round(fault["at"] - rec.started, 3) for fault in rec.fault_log]
    if broken is not None:
        at = moment(rec, broken)
        near = [fault for fault in faults if at - _BACK <= fault <= at]
        start, end = min([at - 2.0, *(fault - 1.0 for fault in near)]), at + 1.5
    elif faults:
        first = min(faults)
        told = [event.at - rec.started for event in rec.history if event.kind in _TELLING]
        over = [span.end / 1000 - rec.started for span in spans(rec.fault_log) if span.end is not None]
        ends = [at for at in (*told, *faults, *over) if first <= at <= first + 10]
        start, end = first - 1.5, max(ends) + 1.5
    else:
        start, end = 0.0, 3.0
    start = max(0.0, start)
    return start, max(start + 0.001, min(end, lasted))


def arrows(rec: Recording, start: float, end: float) -> list[Arrow]:
    """The messages that were on their way in that stretch. ConfigError for a recording that has none at all."""
    if not rec.message_log:
        why = (
            "nobody sees the wire of a real world"
            if rec.world == "real"
            else "it was made with messages=False"
        )
        raise ConfigError(f"the recording holds no messages: {why}")
    return [
        _arrow(message, number) for number, message in enumerate(rec.message_log)
        if message.sent <= end and (message.sent if message.arrived is None else message.arrived) >= start
    ]  # fmt: skip


def thinned(found: list[Arrow], focus: float, most: int = MOST_ARROWS) -> list[Arrow]:
    """At most so many: heartbeats go first, those farthest from `focus` before others; lost messages go last."""
    if len(found) <= most:
        return found
    order = sorted(found, key=lambda arrow: (-arrow.dullness, abs(arrow.sent - focus)))
    return sorted(order[:most], key=lambda arrow: arrow.sent)


def _arrow(message: Message, number: int) -> Arrow:
    return Arrow(
        sent=message.sent, arrived=message.arrived, source=message.source, destination=message.destination,
        kind=message.kind, name=message.name, lost=message.lost, number=number,
    )  # fmt: skip
