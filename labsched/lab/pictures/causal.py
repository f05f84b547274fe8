"""What happened before what on a space-time picture: a vector clock for each mark, from the messages that arrived.

Lamport's relation: on one line the earlier before the later, a message's sending before its receipt, and whatever
follows from the two. The clocks are Fidge's and Mattern's: for each line, up to where it can have been known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

import msgspec

from ...worlds.messages import Message
from .bars import SERVER, STOPS, Bar, server_of
from .sends import Arrow
from .spaces import Space

_TICK = 0.001  # seconds; history counts whole milliseconds
_HISTORY = frozenset(
    {"leader", "attempt", "lock", "refused", "violation"}
)  # kinds that the server wrote down


class Sending(msgspec.Struct, frozen=True):
    """That message of the log leaves its sender."""

    message: int


class Moment(msgspec.Struct, frozen=True):
    """A point on a line. What the messages of that line do at the same instant comes before it; with `first`, after."""

    line: str
    at: float  # seconds since the recording began
    first: bool = False


class Stamp(msgspec.Struct, frozen=True):
    """The place of a mark in the order of all events, and the last event of each line that lies in its past."""

    line: str
    n: int
    past: dict[str, int]

    def follows(self, other: Stamp) -> bool:
        """Whether the other one is this one, or happened before it."""
        return other.n <= self.past.get(other.line, -1)


def stamps(marks: Sequence[Sending | Moment], log: Sequence[Message]) -> list[Stamp]:
    """A stamp for each mark, from the whole log, which is in order of sending.

    A message that never arrived has a sending but no receipt: nobody learned of it.
    """
    known: dict[str, dict[str, int]] = {}  # of each line, now
    carried: dict[int, dict[str, int]] = {}  # by each message
    at_moment: dict[int, Stamp] = {}
    at_sending: dict[int, Stamp] = {}
    for n, (_, _, what, line, index) in enumerate(sorted(_events(marks, log))):
        now = known.setdefault(line, {})
        if what == _RECEIPT:
            for other, last in carried.pop(index).items():
                now[other] = max(last, now.get(other, -1))
        now[line] = n
        if what == _SENDING:
            carried[index] = dict(now)
            at_sending[index] = Stamp(line, n, carried[index])
        elif what == _MOMENT:
            at_moment[index] = Stamp(line, n, dict(now))
    return [
        at_sending[mark.message] if isinstance(mark, Sending) else at_moment[index]
        for index, mark in enumerate(marks)
    ]


_SENDING, _RECEIPT, _MOMENT = 0, 1, 2


def _events(
    marks: Sequence[Sending | Moment], log: Sequence[Message]
) -> Iterator[tuple[float, float, int, str, int]]:
    """(time, what decides at the same time, which of the three, line, index in its sequence).

    At one instant the order of the log decides: a server answers in the instant in which it was asked, and its
    answer is the later message.
    """
    for index, message in enumerate(log):
        yield instant(message.sent), index, _SENDING, message.source, index
        if message.arrived is not None:
            yield instant(message.arrived), index, _RECEIPT, message.destination, index
    for index, mark in enumerate(marks):
        if isinstance(mark, Moment):
            yield instant(mark.at), -1 if mark.first else inf, _MOMENT, mark.line, index


def instant(at: float) -> float:
    """To the nanosecond: an arrival is a sum, and its last digits may lie behind the answer of that very instant."""
    return round(at, 9)


def marks_of(space: Space) -> list[Sending | Moment]:
    """The event that each row of the picture's `.data` stands for: a message's sending, the beginning of the rest."""
    servers = [strip.name for strip in space.strips if strip.server]
    lines = {strip.name for strip in space.strips}
    return [
        Sending(thing.number) if isinstance(thing, Arrow) else _moment(thing, lines, servers)
        for thing in space.things
    ]


def _moment(bar: Bar, lines: set[str], servers: list[str]) -> Moment:
    own = bar.band if bar.band in lines and bar.band != SERVER else servers[0]
    if bar.kind in _HISTORY:
        # Granted or refused by the server, in a millisecond of which all may have come before.
        return Moment(servers[0] if len(servers) == 1 else own, bar.start + _TICK, first=True)
    if bar.kind == "fault":
        # What is killed or paused had done before what it did in that instant; what starts does it afterwards.
        return Moment(server_of(bar) or own, bar.start, first=bar.outcome not in STOPS)
    return Moment(own, bar.start)
