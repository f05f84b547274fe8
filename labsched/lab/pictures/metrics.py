"""`metrics(rec)`: small panels over one axis of time, faults shaded through all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..figures import Picture, plain, style
from . import words
from .bars import SERVER, Bar
from .ink import BLACK, BLUE, GREY, MOMENTS, OTHER_STRETCH, SERVER_STRETCH, STRETCHES, TROUBLE, Look, inks
from .layout import AXIS, LABEL_ROW, LEFT, WIDTH, fault_label, label_rows, label_span
from .legend import Entry, faults, key, key_height, sign
from .page import head_height, headline, seconds_axis
from .series import Numbers, broken

if TYPE_CHECKING:
    from ...worlds.recording import Recording

_PANEL, _GAP = 0.95, 0.2  # inches
# panel -> what stands left of it: its name, and its unit
_PANELS = {
    "rates": ("attempts", "per second"),
    "durations": ("duration", "seconds"),
    "lateness": ("lateness", "seconds"),
    "ready": ("queue", "READY"),
    "running": ("running", "attempts"),
}
_QUANTILES: dict[str, Look] = {
    "p50": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "p95": {"color": "#E69F00", "linestyle": (0, (4, 2)), "marker": "^"},
}
_GOOD: Look = {"facecolor": "#d3d9dd", "edgecolor": BLACK, "linewidth": 0.4}
_BAD: Look = {"facecolor": TROUBLE, "edgecolor": BLACK, "hatch": "xxxx", "linewidth": 0.4}
_MOST_INSTANCES = 12  # in the key


def metrics(rec: Recording, start: float = 0.0, end: float | None = None) -> Picture:
    """How many succeeded and failed, how long they took, how late they began, how many waited and ran.

    Rates and quantiles are taken in bins, at most 60; levels are exact. docs/pictures.md explains the panels and
    the columns of `.data`. ConfigError when nothing lies between `start` and `end` (seconds since the start).
    """
    numbers = Numbers(rec, start, end)
    with style():
        return _Drawing(numbers).picture


class _Drawing:
    def __init__(self, numbers: Numbers) -> None:
        self.numbers, self.read = numbers, numbers.read
        self.inch = self.read.span / AXIS
        self.inks = inks(numbers.instances)
        self.labels, lines = label_rows(self.read, self.inch, self.read.marks, named=True)
        told = words.lines(words.story(self.read))
        parts = [part for part in (self._series(), self._instances(), list(faults(self.read.marks))) if part]
        above, below = head_height(told) + lines * (LABEL_ROW + 0.03) + 0.06, key_height(parts)
        body = len(_PANELS) * (_PANEL + _GAP) - _GAP
        height = above + body + below
        self.picture = Picture("metrics", (WIDTH, height), numbers.data, _alt(numbers))
        axes: list[Axes] = []
        for n, panel in enumerate(_PANELS):
            bottom = (below + body - _PANEL - n * (_PANEL + _GAP)) / height
            place = (LEFT / WIDTH, bottom, AXIS / WIDTH, _PANEL / height)
            axes.append(self._panel(panel, place, last=n == len(_PANELS) - 1))
        headline(self.picture, words.title(self.read), told)
        self._fault_labels(axes[0])
        key(self.picture, parts, below)

    def _panel(self, panel: str, place: tuple[float, float, float, float], *, last: bool) -> Axes:
        axes = self.picture.add_axes(place)
        axes.set_xlim(self.read.start, self.read.end)
        seconds_axis(axes)
        axes.grid(axis="y", color="#e4e4e4", linewidth=0.6, zorder=0.4)
        if not last:
            axes.set_xlabel("")
            axes.tick_params(axis="x", labelbottom=False, length=0)
        for mark in self.read.marks:
            self._shade(axes, mark)
        draw = {"rates": self._rates, "ready": self._ready, "running": self._running}.get(
            panel, self._quantiles
        )
        highest, whole = draw(axes, panel), panel in ("ready", "running")
        axes.set_ylim(0, 1.08 * max(highest, 1.0 if whole else 0.001))
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=whole, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.tick_params(axis="y", labelsize=9)
        name, unit = _PANELS[panel]
        beside: Look = {"transform": axes.transAxes, "ha": "right", "va": "center"}
        axes.text(-0.06, 0.6, name, fontsize=12, weight="bold", **beside)
        axes.text(-0.06, 0.38, unit, fontsize=9, color="#444444", **beside)
        return axes

    def _shade(self, axes: Axes, mark: Bar) -> None:
        kind = mark.outcome or ""
        if mark.end > mark.start:
            look = SERVER_STRETCH if mark.band == SERVER else STRETCHES.get(kind, (OTHER_STRETCH, ""))[0]
            axes.axvspan(mark.start, mark.end, **({"alpha": 0.55, "linewidth": 0.5, "zorder": 0.3} | look))
        colour = TROUBLE if mark.band == SERVER else MOMENTS[kind][1] if kind in MOMENTS else GREY
        axes.axvline(
            mark.start, color=colour, linewidth=1.6, zorder=2, linestyle="-" if kind in MOMENTS else "--"
        )

    # --- panels: each returns its highest value

    def _rates(self, axes: Axes, panel: str) -> float:
        middles, good = self.numbers.series(panel, "succeeded")
        # The edges may cut the first bin and the last.
        wide = [min(self.numbers.step, 2 * (t - self.read.start), 2 * (self.read.end - t)) for t in middles]
        _, bad = self.numbers.series(panel, "failed")
        axes.bar(middles, good, wide, zorder=3, **_GOOD)
        axes.bar(middles, bad, wide, bottom=good, zorder=3, **_BAD)
        return max((a + b for a, b in zip(good, bad, strict=True)), default=0.0)

    def _quantiles(self, axes: Axes, panel: str) -> float:
        for name, look in _QUANTILES.items():
            ts, values = broken(*self.numbers.series(panel, name), self.numbers.step)
            given: Look = {
                "linewidth": 1.2,
                "markersize": 4.5,
                "markeredgecolor": BLACK,
                "markeredgewidth": 0.4,
            }
            axes.plot(ts, values, zorder=3.5, clip_on=False, **(given | look))
        return max(
            (value for name in _QUANTILES for value in self.numbers.series(panel, name)[1]), default=0.0
        )

    def _ready(self, axes: Axes, panel: str) -> float:
        ts, values = self.numbers.series(panel, "ready")
        axes.fill_between(ts, values, step="post", color="#d5d5d5", zorder=2.8)
        axes.step(ts, values, where="post", color=BLACK, linewidth=1.2, zorder=3)
        return max(values)

    def _running(self, axes: Axes, panel: str) -> float:
        """One instance upon the other."""
        stairs = {name: self.numbers.series(panel, name) for name in self.numbers.instances}
        moments = sorted({t for ts, _ in stairs.values() for t in ts})
        below, highest = [0.0] * len(moments), 0.0
        for name, (ts, values) in stairs.items():
            steps = dict(zip(ts, values, strict=True))
            level, top = 0.0, []
            for n, t in enumerate(moments):
                level = steps.get(t, level)
                top.append(below[n] + level)
            ink = self.inks[name]
            look: Look = {
                "facecolor": ink.colour,
                "edgecolor": BLACK,
                "hatch": ink.hatch or None,
                "linewidth": 0.25,
            }
            axes.fill_between(moments, below, top, step="post", zorder=3, **look)
            below, highest = top, max(top)
        return highest

    # --- faults and key

    def _fault_labels(self, axes: Axes) -> None:
        """Above the first panel, each at its moment."""
        tall = _PANEL  # inches of the axes
        for mark, row in self.labels:
            left = label_span(self.read, self.inch, mark, named=True)[0]
            y = 1 + (0.06 + (row + 0.5) * LABEL_ROW) / tall
            moment = MOMENTS.get(mark.outcome or "") if mark.band != SERVER else None
            x = left + (0.13 if moment and left >= mark.start else 0.03) * self.inch
            where: Any = axes.get_xaxis_transform()
            text = plain(fault_label(mark, named=True))
            axes.text(x, y, text, transform=where, fontsize=9.5, va="center_baseline", clip_on=False)
            if moment:
                look: Look = {"markeredgecolor": "white", "markeredgewidth": 1.0, "clip_on": False}
                axes.plot(
                    [mark.start], [y], marker=moment[0], markersize=11, color=moment[1], transform=where, **look
                )  # fmt: skip

    def _series(self) -> list[Entry]:
        return [
            (Patch(**_GOOD), f"succeeded (bins of {self.numbers.step:g} s)"),
            (Patch(**_BAD), "failed, timed out or lost"),
            *((sign(look["marker"], look["color"], 6, BLACK, 0.4, **_line(look)), said) for said, look in (
                ("p50: half are below", _QUANTILES["p50"]), ("p95: 19 of 20 are below", _QUANTILES["p95"]))),
        ]  # fmt: skip

    def _instances(self) -> list[Entry]:
        names = self.numbers.instances
        shown: list[Entry] = []
        for name in names[:_MOST_INSTANCES]:
            ink = self.inks[name]
            look: Look = {
                "facecolor": ink.colour,
                "edgecolor": BLACK,
                "hatch": ink.hatch or None,
                "linewidth": 0.4,
            }
            shown.append((Patch(**look), f"running on {words.short(name, 18)}"))
        if len(names) > _MOST_INSTANCES:
            shown.append(
                (Patch(facecolor="none", edgecolor="none"), f"and {len(names) - _MOST_INSTANCES} more")
            )
        return shown


def _line(look: Look) -> Look:
    return {"color": look["color"], "linestyle": look["linestyle"]}


def _alt(numbers: Numbers) -> str:
    read = numbers.read
    told = [f"Metrics over time; {words.title(read)}."]
    told.append(
        f"{words.many(numbers.counted['succeeded'], 'attempt')} succeeded, "
        f"{numbers.counted['failed']:,} failed, timed out or were lost."
    )
    for panel, what in (("durations", "attempt took"), ("lateness", "start was late by")):
        values = numbers.series(panel, "p95")[1]
        if values:
            told.append(f"The slowest {what} {max(values):.2f} s (highest p95).")
    deep = numbers.series("ready", "ready")[1]
    told.append(f"At most {max(deep):.0f} executions waited in READY.")
    told += [f"Faults: {words.fault_list(read)}."] if read.marks else []
    return " ".join([*told, *(f"{text}." for text in words.story(read))])
