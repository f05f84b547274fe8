"""What a space-time picture shows, as plain values, and the lane of each: no ink here.

Bars and signs count by the server's clock as all history does, messages in true seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from ...model import Kind
from . import sends
from .bars import SERVER, Bar, Reading, by_number, frame, pack, server_of
from .layout import AXIS, LABEL_ROW, label_rows

if TYPE_CHECKING:
    import pandas as pd

    from ...worlds.recording import Recording

LEASE, ROW, SLIM, AIR = 0.13, 0.21, 0.13, 0.06  # inches: a lease, a row of bars, of many, and between them
GAP = 0.34  # inches between two lines, for the names of messages
_SERVERS = ("server", "redis")
_MANY = 6  # lanes, above which they are drawn slim

_DTYPES = {
    "kind": "string", "band": "string", "to": "string", "start": "float64", "end": "float64", "halt": "float64",
    "name": "string", "lost": "string", "token": "Int64", "rank": "Int64", "label": "string",
}  # fmt: skip


class Row(msgspec.Struct, kw_only=True):
    """One row of `.data`; docs/pictures.md says what each field means for each `kind`."""

    kind: str
    band: str
    start: float
    end: float | None
    to: str | None = None
    halt: float | None = None
    name: str | None = None
    lost: str | None = None
    token: int | None = None
    rank: int | None = None
    label: str = ""


class Strip(msgspec.Struct):
    """The lane of one machine, from the top: labels of faults, lease, bars, and the line on which messages start."""

    name: str
    server: bool
    top: float
    line: float
    bottom: float
    row_height: float
    labels: list[tuple[Bar, int]]
    label_lines: int
    bars: list[Bar]  # what it holds: leadership, attempts, locks
    leases: list[Bar]
    clock: str  # by how much its clock is wrong, or ""

    def y(self, row: int) -> float:
        """The top of a row of bars."""
        return self.leases_y + (LEASE + AIR if self.leases else 0) + row * (self.row_height + 0.03)

    @property
    def leases_y(self) -> float:
        return self.top + AIR + self.label_lines * LABEL_ROW


class Space:
    """All that is drawn of one recording from `start` to `end`."""

    def __init__(self, rec: Recording, start: float | None, end: float | None, guarantee: str | None) -> None:
        broken = sends.violations(rec, guarantee)
        if start is None and end is None:
            start, end = sends.window(rec, broken[0] if broken else None)
        self.rec, self.read = rec, Reading(rec, start or 0.0, end)
        read = self.read
        self.inch = read.span / AXIS
        shown = (v for v in broken if read.start <= sends.moment(rec, v) <= read.end)
        self.violation = next(shown, None)
        if self.violation is not None:
            focus = sends.moment(rec, self.violation)
        else:
            focus = min((mark.start for mark in read.marks), default=read.start)
        self.found = sends.arrows(rec, read.start, read.end)
        self.arrows = sends.thinned(self.found, focus)
        self.refused = list(self._signs(Kind.REFUSED))
        self.told = [bar for bar in self._told() if read.start <= bar.start <= read.end]
        self.leases = [bar for bar in self._leases() if bar.start <= read.end and bar.end >= read.start]
        self.rings = list(self._rings())
        self.strips: list[Strip] = []
        self.height = 0.0
        for name in self._names():
            self._add(name)
        held = [bar for strip in self.strips for bar in (*strip.leases, *strip.bars)]
        signs = (*read.marks, *self.refused, *self.told, *self.rings)
        self.things: list[sends.Arrow | Bar] = [*self.arrows, *held, *signs]  # a row of `.data` each
        self._rows = {id(thing): row for row, thing in enumerate(self.things)}

    def row(self, thing: sends.Arrow | Bar) -> int:
        """Its row in `.data`."""
        return self._rows[id(thing)]

    @property
    def hidden(self) -> int:
        """Messages that are not drawn."""
        return len(self.found) - len(self.arrows)

    @property
    def data(self) -> pd.DataFrame:
        return frame(map(_row, self.things), _DTYPES)

    # --- lanes

    def _names(self) -> list[str]:
        talkers = {name for arrow in self.found for name in (arrow.source, arrow.destination)}
        hit = {server_of(mark) for mark in self.read.marks} - {""}
        servers = by_number({name for name in talkers if name.startswith(_SERVERS)} | hit)
        members = by_number({*self.read.instances, *(bar.band for bar in self.leases)} - {*servers})
        self.slim = len(members) > _MANY
        return [*members, *by_number(talkers - {*members, *servers}), *(servers or [SERVER])]

    def _add(self, name: str) -> None:
        server = name.startswith(_SERVERS)
        marks = [
            mark for mark in self.read.marks
            if (mark.band == SERVER and server and server_of(mark) in ("", name)) or (mark.band == name and not server)
        ]  # fmt: skip
        labels, lines = label_rows(self.read, self.inch, marks)
        bars = [] if server else list(self._held(name))
        rows = pack(bars, 0.05 * self.inch)
        leases = [bar for bar in self.leases if bar.band == name]
        high = SLIM if self.slim else ROW
        top = self.height
        strip = Strip(name, server, top, 0, 0, high, labels, lines, bars, leases, self._clock(name))
        strip.line = max(strip.y(rows) + 0.04, top + (0.12 if server or self.slim else 0.3))
        strip.bottom = strip.line + (0.05 if not server else 0.1)
        self.strips.append(strip)
        self.height = strip.bottom + (0 if server else (0.2 if self.slim else GAP))

    def _held(self, name: str) -> Iterator[Bar]:
        """Leaderships, attempts and locks of one instance. The lock of a task is not drawn beside its attempt."""
        attempts = [bar for bar in self.read.attempts if bar.band == name]
        tokens = {bar.token for bar in attempts}
        ranks = self.read.facts.ranks
        for bar in self.read.leaders:
            if bar.label == name:
                yield msgspec.structs.replace(bar, band=name, rank=ranks.get(bar.token), label="leads")
        for bar in attempts:
            yield msgspec.structs.replace(bar, rank=ranks.get(bar.token), label=bar.task or "")
        for bar in self.read.locks:
            if bar.label == name and bar.kind == "lock" and bar.token not in tokens:
                held = f"lock {bar.band.removeprefix('task:')}"
                yield msgspec.structs.replace(bar, band=name, rank=ranks.get(bar.token), label=held)

    def _clock(self, name: str) -> str:
        """What was done to that clock before the end of the stretch, summed up."""
        skews = [
            fault for fault in self.rec.fault_log
            if fault["kind"] == "skew" and fault.get("target") == name
            and fault["at"] - self.rec.started <= self.read.end
        ]  # fmt: skip
        offset = sum(fault.get("offset") or 0.0 for fault in skews)
        drift = next((fault["drift"] for fault in reversed(skews) if fault.get("drift") is not None), 0.0)
        told = [f"{offset:+,g} s"] if offset else []
        return (
            f"clock {' '.join([*told, *([f'{drift:+g} s/s'] if drift else [])])}" if offset or drift else ""
        )

    # --- what the journals tell, what was refused, what is circled

    def _leases(self) -> Iterator[Bar]:
        """Stretches covered by an instance's proved renewals; from `halt` on it must not count on them any more."""
        terms: dict[int, tuple[float, float]] = {}
        open_: dict[int, Bar] = {}
        for line in self.rec.journals:
            life = line["incarnation"]
            if line["kind"] == "joined":
                terms[life] = line["lease"], line["lease_margin"]
            elif line["kind"] == "proved" and life in terms:
                (lease, margin), sent = terms[life], float(line["sent"])
                bar = open_.get(life)
                if bar is None or bar.end < sent:
                    if bar is not None:
                        yield bar
                    bar = open_[life] = Bar(
                        band=line["instance"], kind="lease", start=sent, end=sent, token=life,
                        rank=self.read.facts.ranks.get(life),
                    )  # fmt: skip
                bar.end, bar.halt, bar.count = sent + lease, sent + lease - margin, bar.count + 1
        yield from open_.values()

    def _told(self) -> Iterator[Bar]:
        seen = set()  # the alarm and the loop both say so
        for line in self.rec.journals:
            loss = (line["incarnation"], line.get("deadline"))
            if line["kind"] == "lease-lost" and loss not in seen:
                seen.add(loss)
                at, by = float(line["mono"]), line.get("by", "")
                yield Bar(
                    band=line["instance"], kind="told", start=at, end=at, label=by, outcome="lease-lost"
                )

    def _signs(self, kind: Kind) -> Iterator[Bar]:
        for event in self.rec.history:
            at = round(event.at - self.rec.started, 3)
            if event.kind == kind and self.read.start <= at <= self.read.end:
                who, what = event.instance or "", event.data.get("what", "")
                yield Bar(
                    band=who, kind="refused", start=at, end=at, outcome=what, token=event.token,
                    rank=self.read.facts.ranks.get(event.token), label=event.data.get("why", ""),
                )  # fmt: skip

    def _rings(self) -> Iterator[Bar]:
        """The violated moment, on the line of each instance that its events name, else on the server's."""
        if self.violation is None:
            return
        at, shown = sends.moment(self.rec, self.violation), set(self.violation.events)
        told = [event for event in self.rec.history if event.id in shown]
        who = {str(event.instance or event.data.get("by") or "") for event in told}
        for name in by_number(who & {*self.read.instances}) or [SERVER]:
            yield Bar(
                band=name, kind="violation", start=at, end=at, outcome=self.violation.guarantee,
                label=sends.sentence(self.rec, self.violation),
            )  # fmt: skip


def _row(thing: sends.Arrow | Bar) -> Row:
    if isinstance(thing, Bar):
        return Row(
            kind=thing.kind, band=thing.band, start=thing.start, end=thing.end, halt=thing.halt, name=thing.outcome,
            token=thing.token, rank=thing.rank, label=thing.label,
        )  # fmt: skip
    return Row(
        kind=thing.kind, band=thing.source, to=thing.destination, start=thing.sent, end=thing.arrived,
        name=thing.name, lost=thing.lost,
    )  # fmt: skip
