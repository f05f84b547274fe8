"""`spacetime(rec)`: time to the right, a line per machine, every message an arrow between two of them.

Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", CACM 21(7), 1978, drew them first.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ...errors import ConfigError
from ..figures import Picture, style
from . import captions
from .bars import Bar
from .brush import Brush
from .causal import Stamp, marks_of, stamps
from .ink import (
    ABSENT,
    BLACK,
    GREY,
    LEADS,
    LEASE,
    LEASE_MARGIN,
    LOCKED,
    MEMBER,
    MOMENTS,
    OTHER_STRETCH,
    RUNS_OUT,
    SERVER_STRETCH,
    STRETCHES,
    TROUBLE,
    UNKNOWN,
    Look,
    inks,
)  # fmt: skip
from .layout import AXIS, LABEL_ROW, LEFT, WIDTH, fault_label, label_span
from .legend import key, key_height
from .page import head_height, headline, seconds_axis
from .spaces import LEASE as LEASE_HIGH
from .spaces import Space, Strip
from .wires import Wires, refusal_rows

if TYPE_CHECKING:
    import pandas as pd

    from ...worlds.recording import Recording
    from .interactive import Interactive


def spacetime(
    rec: Recording, start: float | None = None, end: float | None = None, *, guarantee: str | None = None
) -> SpaceTime:
    """Which messages went between whom, and who believed what meanwhile; `start` and `end` are seconds since the
    recording began.

    Without either the picture shows the first violation that `rec.check()` finds (of that `guarantee`, if one is
    named), from its fault on; or else the first fault; or else the first seconds. Above 150 messages heartbeats are
    left out first, and the title says how many. docs/pictures.md explains every sign and the columns of `.data`.
    ConfigError for a recording without messages (of the real world, or made with `messages=False`), and when
    nothing lies between start and end.
    """
    space = Space(rec, start, end, guarantee)
    with style():
        return _Drawing(space).picture


class SpaceTime(Picture):
    """The picture, which also knows what happened before what."""

    def __init__(self, space: Space, size: tuple[float, float]) -> None:
        super().__init__("spacetime", size, space.data, captions.alt(space))
        self.space = space

    def causal_past(self, row: int) -> pd.DataFrame:
        """The rows of `.data` that happened before that one, and itself: what can have had a part in it.

        A message stands for its sending, everything else for its beginning. Messages that are left out of the
        picture count too. ConfigError when there is no such row.
        """
        if row not in self.data.index:
            raise ConfigError(f"the picture has no row {row!r}: {len(self.data)} things are drawn, from 0 on")
        return self.data[[self.stamps[row].follows(other) for other in self.stamps]]

    @cached_property
    def stamps(self) -> list[Stamp]:
        """When each row of `.data` happened, and what it can have known."""
        return stamps(marks_of(self.space), self.space.rec.message_log)

    def interactive(self) -> Interactive:
        """The picture as a widget: a mark says what it is, and pressed lights its causal past.

        In a browser with a running kernel; elsewhere the PNG. docs/pictures.md says how it is used.
        """
        from .interactive import Interactive

        return Interactive(self)


class _Drawing:
    """One page: title, lanes with arrows across them, key."""

    def __init__(self, space: Space) -> None:
        self.space, self.read = space, space.read
        self.inks = inks(self.read.tasks)
        told = captions.story(space)
        parts = captions.parts(space)
        above, below = head_height(told), key_height(parts)
        self.body = space.height + 0.2 + 0.17 * refusal_rows(space)[1]
        height = above + self.body + below
        self.picture = SpaceTime(space, (WIDTH, height))
        axes = self.picture.add_axes((LEFT / WIDTH, below / height, AXIS / WIDTH, self.body / height))
        axes.set_xlim(self.read.start, self.read.end)
        axes.set_ylim(self.body, 0)
        axes.set_yticks([])
        seconds_axis(axes)
        self.brush = Brush(axes, space.inch)
        headline(self.picture, captions.title(space), told)
        for strip in space.strips:
            self._lane(strip)
        Wires(space, self.brush, {strip.name: strip.line for strip in space.strips})
        key(self.picture, parts, below)

    # --- lanes

    def _lane(self, strip: Strip) -> None:
        x = self.read.start - 0.12 * self.space.inch
        self.brush.text(x, strip.line, strip.name, ha="right", fontsize=12, weight="bold")
        if strip.clock:
            y = strip.line - 0.19
            self.brush.text(x, y, strip.clock, ha="right", fontsize=9, color=TROUBLE, weight="bold")
        if not strip.server:
            self._ground(strip)
        for mark, _ in strip.labels:
            with self.brush.mark(self.space.row(mark)):
                self._fault(strip, mark)
        self.brush.axes.plot(
            [self.read.start, self.read.end], [strip.line] * 2, color=BLACK, linewidth=1.3, zorder=3.2
        )
        for bar in strip.leases:
            with self.brush.mark(self.space.row(bar)):
                self._lease(strip, bar)
        for bar in strip.bars:
            with self.brush.mark(self.space.row(bar)):
                self._bar(strip, bar)
        self._labels(strip)

    def _ground(self, strip: Strip) -> None:
        lives = [bar for bar in self.read.alive if bar.band == strip.name]
        if strip.name not in self.read.instances:
            return
        high = strip.line - strip.top
        if lives:  # code of one's own on a machine joins nothing
            self.brush.box(self.read.start, self.read.end, strip.top, high, ABSENT)
        for bar in lives:
            self.brush.box(bar.start, bar.acted, strip.top, high, MEMBER)

    def _lease(self, strip: Strip, bar: Bar) -> None:
        halt = bar.end if bar.halt is None else bar.halt
        self.brush.box(bar.start, halt, strip.leases_y, LEASE_HIGH, LEASE)
        self.brush.box(halt, bar.end, strip.leases_y, LEASE_HIGH, LEASE_MARGIN)
        left = max(bar.start, self.read.start) + 0.06 * self.space.inch
        if not self.space.slim and left + 1.1 * self.space.inch < halt:
            y = strip.leases_y + LEASE_HIGH / 2
            self.brush.text(left, y, "instance lease", ha="left", fontsize=7.5, color="#1d5c49", zorder=5)

    def _bar(self, strip: Strip, bar: Bar) -> None:
        y, high = strip.y(bar.row), strip.row_height
        attempt = bar.kind == "attempt"
        look = LEADS if bar.kind == "leader" else LOCKED
        if attempt:
            ink = self.inks[bar.task or ""]
            look = {"facecolor": ink.colour, "hatch": ink.hatch or None, "edgecolor": BLACK, "linewidth": 0.6}
        wide = max(bar.acted, bar.start + 0.04 * self.space.inch)
        self.brush.box(bar.start, wide, y, high, look, zorder=3.4)
        if bar.halt is not None:
            rest = UNKNOWN | {"edgecolor": BLACK} if attempt else RUNS_OUT
            self.brush.box(bar.acted, bar.end, y, high, rest, zorder=3.4)
        number = f"#{bar.rank}" if bar.rank else ""
        size = 7.5 if self.space.slim else 9
        texts = (f"{bar.label} {number}".strip(), number)
        if self._write(bar.start, wide, y + high / 2, texts, size, white=bar.kind == "leader") or not attempt:
            return
        after = min(
            (b.start for b in strip.bars if b.row == bar.row and b.start > bar.start), default=self.read.end
        )
        self._write(max(wide, bar.end), after, y + high / 2, (number,), 7.5, beside=True)

    def _write(
        self,
        start: float,
        end: float,
        y: float,
        texts: tuple[str, ...],
        size: float,
        *,
        white: bool = False,
        beside: bool = False,
    ) -> bool:
        """The first text that fits, in the middle, or with `beside` at the start; False when none does."""
        start, end = max(start, self.read.start), min(end, self.read.end)
        for text in filter(None, texts):
            if end - start > (len(text) * 0.0078 * size + 0.06) * self.space.inch:
                look: Look = {"color": "white", "weight": "bold"} if white else {"plate": True}
                look |= {"zorder": 5, "ha": "left" if beside else "center"}
                x = start + 0.04 * self.space.inch if beside else (start + end) / 2
                self.brush.text(x, y, text, fontsize=size, **look)
                return True
        return False

    # --- faults

    def _fault(self, strip: Strip, mark: Bar) -> None:
        kind, top = mark.outcome or "", strip.top + 0.02
        high = strip.line + 0.02 - top
        if strip.server:
            # The only server concerns everybody; of several, each has its own lane.
            top = strip.top if sum(other.server for other in self.space.strips) > 1 else 0
            high = strip.line - top
            self.brush.box(mark.start, mark.end, top, high, SERVER_STRETCH, zorder=0.8)
            self.brush.line(mark.start, top, strip.line, TROUBLE, linewidth=1.4, linestyle=(0, (4, 2)))
        elif kind in MOMENTS:
            self.brush.line(mark.start, top, strip.line + 0.02, MOMENTS[kind][1])
        elif mark.end > mark.start:
            look = STRETCHES[kind][0] if kind in STRETCHES else OTHER_STRETCH
            self.brush.box(mark.start, mark.end, top, high, look, zorder=1)
        else:
            self.brush.line(mark.start, top, strip.line + 0.02, GREY)

    def _labels(self, strip: Strip) -> None:
        for mark, row in strip.labels:
            with self.brush.mark(self.space.row(mark)):
                self._label(strip, mark, row)

    def _label(self, strip: Strip, mark: Bar, row: int) -> None:
        inch = self.space.inch
        left = label_span(self.read, inch, mark)[0]
        y = strip.top + 0.06 + (row + 0.5) * LABEL_ROW
        moment = MOMENTS.get(mark.outcome or "") if not strip.server else None
        x = left + (0.13 if moment and left >= mark.start else 0.05) * inch
        self.brush.text(x, y, fault_label(mark), plate=True, ha="left", fontsize=9.5, zorder=6)
        if moment:
            self.brush.marks(
                [(mark.start, y)], moment[0], 13, moment[1], markeredgecolor="white", markeredgewidth=1.3, zorder=7
            )  # fmt: skip
