"""`timeline(rec)`: one lane per instance, its attempts as bars, who led above, the locks below, faults where they hit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle

from ..figures import Picture, style
from . import words
from .bars import SERVER, Bar, Reading, frame
from .ink import (
    ABSENT, BADGES, BLACK, GREY, MOMENTS, OTHER_STRETCH, PALE, SERVER_STRETCH, STRETCHES, TROUBLE, Badge, inks,
)  # fmt: skip
from .layout import AIR, AXIS, LABEL_ROW, LEFT, SHORTEST, WIDTH, Lane, Layout, fault_label
from .legend import legend, legend_height

if TYPE_CHECKING:
    from ...worlds.recording import Recording

_MOST_BADGES = 150  # signs; beyond, discs without a sign
_MOST_MOVES = 40


def timeline(rec: Recording) -> Picture:
    """Who ran what when, on one page. docs/pictures.md explains every sign and the columns of `.data`."""
    read = Reading(rec)
    layout = Layout(read)
    with style():
        return _Drawing(read, layout).picture


class _Drawing:
    """Ink on one picture. The axes count seconds to the right and inches downward."""

    def __init__(self, read: Reading, layout: Layout) -> None:
        self.read, self.layout = read, layout
        self.inks = inks(read.tasks)
        self.crowded = sum(bar.outcome in BADGES for bar in layout.attempts) > _MOST_BADGES
        story = words.story(read)
        above = 0.52 + 0.21 * len(story[:3])
        body = max(layout.height, 0.6)
        below = legend_height(read, layout)
        height = above + body + below
        self.picture = Picture("timeline", (WIDTH, height), frame(layout.bars), words.alt(read))
        self.axes = self.picture.add_axes((LEFT / WIDTH, below / height, AXIS / WIDTH, body / height))
        self._frame(body)
        self._title(story[:3], height)
        for lane in layout.lanes:
            getattr(self, f"_{lane.kind}")(lane)
        self._moves()
        if not read.attempts:
            self._say_nothing_ran(body)
        legend(self.picture, read, layout, self.inks, below)

    # The page.

    def _frame(self, body: float) -> None:
        axes = self.axes
        axes.set_xlim(0, self.read.span)
        axes.set_ylim(body, 0)
        axes.set_yticks([])
        axes.set_xlabel("seconds since the start", fontsize=11)
        axes.tick_params(axis="x", labelsize=10.5)
        axes.grid(axis="x", color="#d0d0d0", linewidth=0.6, zorder=0.5)
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)

    def _title(self, story: list[str], height: float) -> None:
        title = words.title(self.read)
        size = min(13.5, 13.5 * 92 / len(title))
        self.picture.text(0.12 / WIDTH, 1 - 0.14 / height, title, fontsize=size, weight="bold", va="top")
        for n, line in enumerate(story):
            self.picture.text(
                0.12 / WIDTH, 1 - (0.44 + 0.21 * n) / height, line, fontsize=11, color="#333333", va="top"
            )

    def _say_nothing_ran(self, body: float) -> None:
        self.axes.text(
            self.read.span / 2, body / 2, "nothing ran", fontsize=13, style="italic", color=GREY, ha="center", va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 4}, zorder=9,
        )  # fmt: skip

    def _name(self, lane: Lane, text: str, below: str = "", **look: Any) -> None:
        middle = lane.y(0) + lane.rows * lane.row_height / 2
        x = -0.12 * self.layout.inch
        look = {"ha": "right", "va": "center", "fontsize": 12, "clip_on": False} | look
        self.axes.text(x, middle - (0.09 if below else 0), text, **look)
        if below:
            self.axes.text(
                x, middle + 0.09, below, ha="right", va="center", fontsize=9, color="#444444", clip_on=False
            )

    def _box(self, start: float, end: float, top: float, height: float, **look: Any) -> None:
        self.axes.add_patch(Rectangle((start, top), end - start, height, **({"linewidth": 0.8} | look)))

    # Lanes.

    def _server(self, lane: Lane) -> None:
        self._name(lane, "")
        for bar in lane.bars:
            self._box(bar.start, bar.end, 0, self.layout.height, alpha=0.5, zorder=0.8, **SERVER_STRETCH)
            self.axes.plot(
                [bar.start] * 2, [0, self.layout.height], color=TROUBLE, linewidth=1.4, linestyle=(0, (4, 2)), zorder=6
            )
        self._labels(lane)

    def _leaders(self, lane: Lane) -> None:
        self._name(lane, "leader", weight="bold")
        y, high = lane.y(0), lane.row_height
        for bar in lane.bars:
            acts = bar.end if bar.halt is None else bar.halt
            self._box(bar.start, acts, y, high, facecolor="#3d3d3d", edgecolor=BLACK, zorder=3)
            if bar.halt is not None:
                self._box(acts, bar.end, y, high, facecolor="white", edgecolor="#888888", hatch="////", zorder=3)
            for text in (f"{bar.label}  #{bar.rank}", f"#{bar.rank}"):
                if self.layout.wide(msgspec.structs.replace(bar, end=acts), len(text)):
                    middle = (bar.start + acts) / 2
                    self.axes.text(
                        middle, y + high / 2, text, ha="center", va="center_baseline", color="white", weight="bold", zorder=4,
                        fontsize=10.5,
                    )  # fmt: skip
                    break

    def _instance(self, lane: Lane) -> None:
        runs = sum(bar.count for bar in lane.bars if bar.kind == "attempt")
        self._name(lane, lane.name, words.many(runs, "attempt"), weight="bold")
        inner = lane.height - 0.06
        self._box(0, self.read.span, lane.top + 0.03, inner, facecolor=ABSENT, edgecolor="none", zorder=0.2)
        attempts = []
        for bar in lane.bars:
            if bar.kind == "alive":
                end = bar.end if bar.halt is None else bar.halt
                self._box(bar.start, end, lane.top + 0.03, inner, facecolor=PALE, edgecolor="none", zorder=0.3)
            elif bar.kind == "attempt":
                attempts.append(bar)
            else:
                self._fault(lane, bar)
        for leader in self.read.leaders:
            if leader.label == lane.name:
                end = leader.end if leader.halt is None else leader.halt
                self._box(leader.start, end, lane.top + 0.03, 0.04, facecolor="#3d3d3d", edgecolor="none", zorder=2)
        self._attempts(lane, attempts)
        self._labels(lane)

    def _lock(self, lane: Lane) -> None:
        name = lane.name.removeprefix("task:")
        name = name if len(name) <= 18 else f"{name[:17]}…"
        more = f" (+{lane.hidden} more)" if lane.hidden else ""
        self._name(lane, f"lock {name}{more}", fontsize=9)
        y, high = lane.y(0), lane.row_height
        for bar in lane.bars:
            look: dict[str, Any] = {"facecolor": "#8c8c8c", "edgecolor": BLACK, "linewidth": 0.6}
            if bar.kind == "rest":
                look |= {"facecolor": "white", "linestyle": ":"}
            acts = bar.end if bar.halt is None else bar.halt
            self._box(bar.start, acts, y, high, zorder=3, **look)
            if bar.halt is not None:
                self._box(acts, bar.end, y, high, facecolor="white", edgecolor="#888888", hatch="////", zorder=3)
            for text in (f"{bar.label} #{bar.rank}", f"#{bar.rank}"):
                if bar.kind == "lock" and self.layout.wide(msgspec.structs.replace(bar, end=acts), len(text)):
                    self.axes.text(
                        (bar.start + acts) / 2, y + high / 2, text, ha="center", va="center_baseline", fontsize=8,
                        color="white", weight="bold", zorder=4,
                    )  # fmt: skip
                    break

    # Attempts.

    def _attempts(self, lane: Lane, bars: list[Bar]) -> None:
        high = lane.row_height * 0.82
        for ink in dict.fromkeys(self.inks.values()):
            mine = [bar for bar in bars if self.inks[bar.task or ""] == ink]
            if not mine:
                continue
            boxes = [Rectangle((b.start, lane.y(b.row)), self._acts(b) - b.start, high) for b in mine]
            self.axes.add_collection(
                PatchCollection(
                    boxes, facecolor=ink.colour, edgecolor=BLACK, linewidth=0.6, hatch=ink.hatch or None, zorder=3
                )
            )
            short = [b for b in mine if b.end - b.start < SHORTEST * self.layout.inch]
            self.axes.plot(
                [(b.start + b.end) / 2 for b in short], [lane.y(b.row) + high / 2 for b in short], linestyle="none",
                marker=ink.marker, markersize=min(7.0, high * 50), markerfacecolor=ink.colour, markeredgecolor=BLACK,
                markeredgewidth=0.7, zorder=3.5, clip_on=False,
            )  # fmt: skip
        for bar in bars:
            self._details(lane, bar, high)

    def _acts(self, bar: Bar) -> float:
        return bar.end if bar.halt is None else bar.halt

    def _details(self, lane: Lane, bar: Bar, high: float) -> None:
        y, ink = lane.y(bar.row), self.inks[bar.task or ""]
        if bar.halt is not None:
            self._box(
                bar.halt, bar.end, y, high, facecolor="white", edgecolor=ink.colour, linestyle="--", linewidth=1.4, zorder=2.9
            )
        self._inscribe(bar, y + high / 2, high)
        badge = BADGES.get(bar.outcome or "")
        if badge is not None:
            self._disc(bar.end, y + high / 2, badge, min(12.0, max(8.0, high * 72)))
        if bar.duplicate:
            self._ring(bar, y, high)

    def _inscribe(self, bar: Bar, middle: float, high: float) -> None:
        """The longest text that fits: again and name, again, count."""
        again = f"↻{bar.attempt} " if (bar.attempt or 1) > 1 else ""
        texts = [f"×{bar.count}"] if bar.count > 1 else [again + (bar.task or ""), again.strip()]
        if high < 0.13:
            texts = []
        drawn = msgspec.structs.replace(bar, end=self._acts(bar))
        for text in texts:
            if text and self.layout.wide(drawn, len(text)):
                self.axes.text(
                    (drawn.start + drawn.end) / 2, middle, text, ha="center", va="center_baseline", fontsize=9, zorder=4,
                    bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.0},
                )  # fmt: skip
                return
        if again:
            self.axes.text(bar.start, middle, again.strip(), ha="right", va="center_baseline", fontsize=9, zorder=4)

    def _disc(self, x: float, y: float, badge: Badge, size: float) -> None:
        size = 5.0 if self.crowded else size
        self.axes.plot(
            [x], [y], marker="o", markersize=size, markerfacecolor=badge.colour, markeredgecolor="white",
            markeredgewidth=0.9, zorder=5, clip_on=False,
        )  # fmt: skip
        if not self.crowded:
            self.axes.text(
                x, y, badge.sign, ha="center", va="center_baseline", fontsize=size * 0.72, weight="bold", color="white",
                zorder=5.1,
            )  # fmt: skip

    def _ring(self, bar: Bar, y: float, high: float) -> None:
        inch = self.layout.inch
        wide = max(bar.end - bar.start, SHORTEST * inch) + 0.13 * inch
        left = (bar.start + bar.end - wide) / 2
        self.axes.add_patch(
            FancyBboxPatch(
                (left, y - 0.035), wide, high + 0.07, facecolor="none", edgecolor=TROUBLE, linewidth=2.2, zorder=5,
                boxstyle=f"round,pad=0,rounding_size={0.1 * inch}", mutation_aspect=1 / inch, clip_on=False,
            )  # fmt: skip
        )

    def _moves(self) -> None:
        """Arrows from a lost attempt to the one that ran its execution elsewhere."""
        lanes = {lane.name: lane for lane in self.layout.lanes if lane.kind == "instance"}
        for before, after in list(words.moves(self.read))[:_MOST_MOVES]:
            ends = [
                (bar.end if bar is before else bar.start, lane.y(bar.row) + lane.row_height * 0.41)
                for bar in (before, after)
                for lane in [lanes[bar.band]]
            ]
            self.axes.annotate(
                "", xy=ends[1], xytext=ends[0], zorder=4.5, annotation_clip=False,
                arrowprops={
                    "arrowstyle": "-|>", "linestyle": (0, (3, 2)), "color": BLACK, "linewidth": 1.2, "shrinkA": 6, "shrinkB": 2,
                    "connectionstyle": "arc3,rad=0.15",
                },
            )  # fmt: skip

    # Faults.

    def _fault(self, lane: Lane, bar: Bar) -> None:
        kind, top = bar.outcome or "", lane.top + 0.03
        if kind in MOMENTS:
            marker, colour, _ = MOMENTS[kind]
            middle = lane.y(0) + lane.rows * lane.row_height / 2
            self.axes.plot([bar.start] * 2, [top, lane.bottom - 0.03], color=colour, linewidth=2, zorder=5.5)
            self.axes.plot(
                [bar.start], [middle], marker=marker, markersize=15, markerfacecolor=colour, markeredgecolor="white",
                markeredgewidth=1.3, zorder=6, clip_on=False,
            )  # fmt: skip
        elif bar.end > bar.start:
            look = STRETCHES[kind][0] if kind in STRETCHES else OTHER_STRETCH
            self._box(bar.start, bar.end, top, lane.height - 0.06, zorder=1, **look)
        else:
            self.axes.plot([bar.start] * 2, [top, lane.bottom - 0.03], color=GREY, linewidth=2, zorder=5.5)

    def _labels(self, lane: Lane) -> None:
        for mark, row in lane.label_rows:
            x, _ = self.layout.label_span(mark)
            self.axes.text(
                x + 0.05 * self.layout.inch, lane.top + AIR + (row + 0.5) * LABEL_ROW, fault_label(mark), fontsize=9.5,
                va="center_baseline", color=BLACK, zorder=7,
                bbox={"facecolor": "white", "alpha": 0.9, "edgecolor": "none", "pad": 1.0},
            )  # fmt: skip
