"""`timeline(rec)`: a lane per instance with its attempts as bars, who led above, locks below, faults where they hit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..figures import Picture, style
from . import words
from .bars import SERVER, Bar, Reading, frame
from .brush import Brush
from .ink import (
    ABSENT,
    BADGES,
    GREY,
    LEADS,
    LEADS_STRIP,
    LOCKED,
    MEMBER,
    MOMENTS,
    OTHER_STRETCH,
    REST,
    RUNS_OUT,
    SERVER_STRETCH,
    STRETCHES,
    TROUBLE,
    UNKNOWN,
    Look,
    inks,
)  # fmt: skip
from .layout import AXIS, LABEL_ROW, LEFT, SHORTEST, WIDTH, Lane, Layout, fault_label, label_span
from .legend import legend, legend_height
from .page import head_height, headline, seconds_axis

if TYPE_CHECKING:
    from ...worlds.recording import Recording

_MOST_SIGNS = 150  # beyond, badges are small discs without a sign
_MOST_MOVES = 40


def timeline(rec: Recording, start: float = 0.0, end: float | None = None) -> Picture:
    """Who ran what when, on one page; only from `start` to `end` (seconds since the recording began) if given.

    docs/pictures.md explains every sign and the columns of `.data`. ConfigError when nothing lies in between.
    """
    read = Reading(rec, start, end)
    with style():
        return _Drawing(read, Layout(read)).picture


class _Drawing:
    """One page: title, lanes, key."""

    def __init__(self, read: Reading, layout: Layout) -> None:
        self.read, self.layout, self.inks = read, layout, inks(read.tasks)
        self.crowded = sum(bar.outcome in BADGES for bar in layout.attempts) > _MOST_SIGNS
        told = words.lines(words.story(read))
        above, below = head_height(told), legend_height(read, layout)
        self.body = max(layout.height, 0.6)
        height = above + self.body + below
        self.picture = Picture("timeline", (WIDTH, height), frame(layout.bars), words.alt(read))
        self._axes((LEFT / WIDTH, below / height, AXIS / WIDTH, self.body / height))
        headline(self.picture, words.title(read), told)
        for lane in layout.lanes:
            getattr(self, f"_{lane.kind}")(lane)
        self._moves()
        if not read.attempts:
            middle = (read.start + read.end) / 2, self.body / 2
            self.brush.text(
                *middle, "nothing ran", plate=True, fontsize=13, style="italic", color=GREY, zorder=9
            )
        legend(self.picture, layout, self.inks, below)

    def _axes(self, place: tuple[float, float, float, float]) -> None:
        axes = self.picture.add_axes(place)
        axes.set_xlim(self.read.start, self.read.end)
        axes.set_ylim(self.body, 0)
        axes.set_yticks([])
        seconds_axis(axes)
        self.brush = Brush(axes, self.layout.inch)

    def _name(self, lane: Lane, name: str, below: str = "", **look: Any) -> None:
        middle = lane.y(0) + lane.rows * lane.row_height / 2
        beside: Look = {"ha": "right", "va": "center"}
        x = self.read.start - 0.12 * self.layout.inch
        self.brush.text(x, middle - (0.09 if below else 0), name, **{"fontsize": 12, **beside, **look})
        if below:
            self.brush.text(x, middle + 0.09, below, **{"fontsize": 9, "color": "#444444", **beside})

    # Bands above and below the instances.

    def _server(self, lane: Lane) -> None:
        bottom = self.layout.height
        for bar in lane.bars:
            self.brush.box(bar.start, bar.end, 0, bottom, SERVER_STRETCH, zorder=0.8)
            # Below all words, which it crosses.
            self.brush.line(bar.start, 0, bottom, TROUBLE, linewidth=1.4, linestyle=(0, (4, 2)), zorder=3.7)
        self._labels(lane)

    def _leaders(self, lane: Lane) -> None:
        self._name(lane, "leader", weight="bold")
        for bar in lane.bars:
            self._held(lane, bar, LEADS, 10.5)

    def _lock(self, lane: Lane) -> None:
        name = words.short(lane.name.removeprefix("task:"), 18)
        more = f" (+{lane.hidden} more)" if lane.hidden else ""
        self._name(lane, f"lock {name}{more}", fontsize=9)
        for bar in lane.bars:
            if bar.kind == "rest":
                self.brush.box(bar.start, bar.end, lane.y(0), lane.row_height, REST)
            else:
                self._held(lane, bar, LOCKED, 8)

    def _held(self, lane: Lane, bar: Bar, look: Look, size: float) -> None:
        """A lease: who had it, and how long it went on when its holder could not act any more."""
        y, high = lane.y(0), lane.row_height
        self.brush.box(bar.start, bar.acted, y, high, look)
        self._write(
            bar.start, bar.acted, y + high / 2, (f"{bar.label} #{bar.rank}", f"#{bar.rank}"), size, white=True
        )
        if bar.halt is not None:
            self.brush.box(bar.acted, bar.end, y, high, RUNS_OUT)
            lasted = f"{bar.end - bar.acted:.1f} s"
            sentence = f"nobody acts for {lasted}" if bar.kind == "leader" else ""
            self._write(bar.acted, bar.end, y + high / 2, (sentence, lasted), size)

    def _write(
        self, start: float, end: float, y: float, texts: tuple[str, ...], size: float, *, white: bool = False
    ) -> bool:
        """The first text that fits between start and end; False when none does."""
        start, end = max(start, self.read.start), min(end, self.read.end)
        for text in filter(None, texts):
            if self.layout.fits(end - start, text, size):
                look: Look = {"color": "white", "weight": "bold"} if white else {"plate": True}
                self.brush.text((start + end) / 2, y, text, fontsize=size, **look)
                return True
        return False

    # Instances.

    def _instance(self, lane: Lane) -> None:
        attempts = [bar for bar in lane.bars if bar.kind == "attempt"]
        self._name(lane, lane.name, words.many(sum(bar.count for bar in attempts), "attempt"), weight="bold")
        top, high = lane.top + 0.03, lane.height - 0.06
        self.brush.box(self.read.start, self.read.end, top, high, ABSENT)
        for bar in lane.bars:
            if bar.kind == "alive":
                self.brush.box(bar.start, bar.acted, top, high, MEMBER)
            elif bar.kind == "fault":
                self._fault(lane, bar)
        for leader in self.read.leaders:
            if leader.label == lane.name:
                self.brush.box(leader.start, leader.acted, top, 0.04, LEADS_STRIP)
        self._attempts(lane, attempts)
        self._labels(lane)

    def _attempts(self, lane: Lane, bars: list[Bar]) -> None:
        high = lane.row_height * 0.82
        for ink in dict.fromkeys(self.inks.values()):
            mine = [bar for bar in bars if self.inks[bar.task or ""] == ink]
            self.brush.boxes([(bar.start, bar.acted, lane.y(bar.row)) for bar in mine], high, ink)
            short = [bar for bar in mine if bar.end - bar.start < SHORTEST * self.layout.inch]
            spots = [((bar.start + bar.end) / 2, lane.y(bar.row) + high / 2) for bar in short]
            self.brush.marks(spots, ink.marker, min(7.0, high * 50), ink.colour)
        for bar in bars:
            self._details(lane.y(bar.row), bar, high)

    def _details(self, y: float, bar: Bar, high: float) -> None:
        middle = y + high / 2
        if bar.halt is not None:
            edge = self.inks[bar.task or ""].colour
            self.brush.box(bar.halt, bar.end, y, high, UNKNOWN, edgecolor=edge)
        self._inscribe(bar, middle, high)
        badge = BADGES.get(bar.outcome or "")
        if badge is not None and bar.end <= self.read.end:
            size = 5.0 if self.crowded else min(12.0, max(8.0, high * 72))
            self.brush.badge(bar.end, middle, badge, size, sign=not self.crowded)
        if bar.duplicate:
            self.brush.ring(bar.start, bar.end, y, high, SHORTEST)

    def _inscribe(self, bar: Bar, middle: float, high: float) -> None:
        again = f"↻{bar.attempt}" if (bar.attempt or 1) > 1 else ""
        texts = (f"×{bar.count}",) if bar.count > 1 else (f"{again} {bar.task}".strip(), again)
        written = high > 0.13 and self._write(bar.start, bar.acted, middle, texts, 9)
        if again and not written and bar.start >= self.read.start:
            self.brush.text(bar.start, middle, again, ha="right", fontsize=9)

    def _moves(self) -> None:
        """Arrows from a lost attempt to the one that ran its execution elsewhere."""
        lanes = {lane.name: lane for lane in self.layout.lanes if lane.kind == "instance"}
        for before, after in list(words.moves(self.read))[:_MOST_MOVES]:
            if not self.read.start <= before.end <= after.start <= self.read.end:
                continue
            start, end = (
                lanes[bar.band].y(bar.row) + lanes[bar.band].row_height * 0.41 for bar in (before, after)
            )
            self.brush.arrow((before.end, start), (after.start, end))

    # Faults.

    def _fault(self, lane: Lane, bar: Bar) -> None:
        kind, top, bottom = bar.outcome or "", lane.top + 0.03, lane.bottom - 0.03
        if kind in MOMENTS:
            self.brush.line(bar.start, top, bottom, MOMENTS[kind][1])
        elif bar.end > bar.start:
            look = STRETCHES[kind][0] if kind in STRETCHES else OTHER_STRETCH
            self.brush.box(bar.start, bar.end, top, bottom - top, look, zorder=1)
        else:
            self.brush.line(bar.start, top, bottom, GREY)

    def _labels(self, lane: Lane) -> None:
        inch = self.layout.inch
        for mark, row in lane.label_rows:
            left, y = label_span(self.read, inch, mark)[0], lane.top + lane.air + (row + 0.5) * LABEL_ROW
            sign = MOMENTS.get(mark.outcome or "") if mark.band != SERVER else None
            x = left + (0.13 if sign and left >= mark.start else 0.05) * inch
            self.brush.text(x, y, fault_label(mark), plate=True, ha="left", fontsize=9.5, zorder=6)
            if sign:
                look: Look = {"markeredgecolor": "white", "markeredgewidth": 1.3, "zorder": 7}
                self.brush.marks([(mark.start, y)], sign[0], 14, sign[1], **look)
