"""`deliveries(days)`: what became of each job of a queue: who worked on it when, and whether it was lost or doubled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ...errors import ConfigError
from ..figures import Picture, plain, style
from .brush import Brush
from .ink import BLACK, GREY, MEMBER, TROUBLE, UNKNOWN, TaskInk, inks
from .page import head_height, headline, seconds_axis

_WIDTH, _LEFT, _RIGHT, _BELOW = 10.0, 0.8, 1.15, 0.6  # inches
_TITLE, _LANE, _GAP, _LEGEND = 0.34, 0.25, 0.14, 0.32
_DTYPES = {
    "day": "string",
    "job": "int64",
    "who": "string",
    "start": "float64",
    "end": "float64",
    "fate": "string",
}


class Told(Protocol):
    """What a day has to have: jobs with `at`, deliveries with `job`, `who`, `start`, `end`, deaths with `who`, `at`."""

    @property
    def jobs(self) -> Sequence[Any]: ...
    @property
    def deliveries(self) -> Sequence[Any]: ...
    @property
    def deaths(self) -> Sequence[Any]: ...
    @property
    def lost(self) -> Sequence[int]: ...
    @property
    def doubled(self) -> Sequence[int]: ...
    @property
    def until(self) -> float: ...
    def died(self, delivery: Any) -> float: ...


def deliveries(days: Sequence[Told], until: float | None = None) -> Picture:
    """A block for each day, a lane for each job. `until`: seconds shown.

    `.data` has a row per delivery (`fate`: done, died or working) and per job that nobody ever worked on (`never`, no
    who). ConfigError without a day.
    """
    import pandas as pd

    if not days:
        raise ConfigError("deliveries() needs a day at least")
    last = until if until is not None else max(day.until for day in days)
    rows = [row for day in days for row in _rows(day)]
    data = pd.DataFrame(rows, columns=list(_DTYPES)).astype(_DTYPES)
    with style():
        return _drawn(days, data, last)


def _rows(day: Told) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for number, job in enumerate(day.jobs):
        mine = [delivery for delivery in day.deliveries if delivery.job == number]
        if not mine:
            rows.append((repr(day), number, None, job.at, day.until, "never"))
        for delivery in mine:
            died = day.died(delivery)
            fate = "done" if delivery.end is not None else "died" if died < day.until else "working"
            end = delivery.end if delivery.end is not None else died
            rows.append((repr(day), number, delivery.who, delivery.start, end, fate))
    return rows


def _drawn(days: Sequence[Told], data: Any, last: float) -> Picture:
    body = sum(_TITLE + len(day.jobs) * _LANE + _GAP for day in days)
    told = [
        "bar: somebody works on it; dashed: died at it · tick: put into the stream · cross: a worker is killed"
    ]
    above = head_height(told) + _LEGEND
    height = above + body + _BELOW
    alt = f"Who worked on which job. {'. '.join(map(repr, days))}."
    picture = Picture("deliveries", (_WIDTH, height), data, alt)
    wide = _WIDTH - _LEFT - _RIGHT
    axes = picture.add_axes((_LEFT / _WIDTH, _BELOW / height, wide / _WIDTH, body / height))
    axes.set(xlim=(0, last), ylim=(body, 0))
    axes.set_yticks([])
    seconds_axis(axes)
    brush, ink = Brush(axes, last / wide), inks(sorted({str(who) for who in data.who.dropna()}))
    top = 0.0
    for day in days:
        _block(axes, brush, day, data[data.day == repr(day)], ink, top, last)
        top += _TITLE + len(day.jobs) * _LANE + _GAP
    _legend(axes, ink, body)
    headline(picture, "What became of each job", told)
    return picture


def _legend(axes: Axes, ink: dict[str, TaskInk], body: float) -> None:
    shown = [
        Patch(facecolor=look.colour, hatch=look.hatch, edgecolor=BLACK, linewidth=0.6, label=f"worker {name}")
        for name, look in ink.items()
    ]
    if shown:
        place = (0, 1 + 0.02 / body)
        axes.legend(
            handles=shown,
            loc="lower left",
            bbox_to_anchor=place,
            ncols=len(shown),
            frameon=False,
            borderpad=0,
        )


def _block(
    axes: Axes, brush: Brush, day: Told, rows: Any, ink: dict[str, TaskInk], top: float, last: float
) -> None:
    axes.text(0, top + _TITLE / 2 + 0.04, plain(repr(day)), fontsize=10.5, va="center_baseline", zorder=5)
    first = top + _TITLE
    high = len(day.jobs) * _LANE
    for number, job in enumerate(day.jobs):
        y = first + number * _LANE
        brush.box(0, last, y + 0.02, _LANE - 0.04, MEMBER)
        axes.text(
            -0.1 * brush.inch, y + _LANE / 2, f"job {number}", fontsize=9.5, ha="right", va="center_baseline"
        )
        brush.line(job.at, y + 0.04, y + _LANE - 0.04, GREY, linewidth=1.6, zorder=2.5)
        word = "LOST" if number in day.lost else "twice" if number in day.doubled else ""
        if word:
            axes.text(
                last + 0.1 * brush.inch,
                y + _LANE / 2,
                word,
                fontsize=10,
                weight="bold",
                color=TROUBLE,
                va="center_baseline",
            )
    levels = _levels(rows)
    for (job, who, start, end, fate), (level, of) in zip(
        rows[["job", "who", "start", "end", "fate"]].itertuples(index=False), levels, strict=True
    ):
        if fate == "never" or start > last:
            continue
        look = {
            "facecolor": ink[who].colour, "hatch": ink[who].hatch, "edgecolor": BLACK, "linewidth": 0.6, "zorder": 3,
        }  # fmt: skip
        if fate == "died":
            look |= {"facecolor": "white", **UNKNOWN, "edgecolor": BLACK, "hatch": ""}
        thick = (_LANE - 0.09) / of
        y = first + job * _LANE + 0.045 + level * thick
        brush.box(start, min(end, last), y, thick, look)
        if min(end, last) - start > 0.2 * brush.inch and of == 1:
            brush.text((start + min(end, last)) / 2, y + thick / 2, who, plate=True, fontsize=8.5)
    for death in day.deaths:
        brush.line(death.at, first, first + high, TROUBLE, linewidth=1.3, linestyle=":", zorder=4)
        brush.marks([(death.at, first + high + 0.04)], "X", 8, TROUBLE)


def _levels(rows: Any) -> list[tuple[int, int]]:
    """For each delivery its place, and how many places its job has: those of the same time lie above each other."""
    places: list[int] = []
    taken: dict[tuple[int, int], float] = {}  # job and level: until when
    for job, start, end in rows[["job", "start", "end"]].itertuples(index=False):
        level = 0
        while taken.get((job, level), -1.0) > start:
            level += 1
        taken[job, level] = end
        places.append(level)
    most = {job: 1 + max(level for other, level in taken if other == job) for job, _ in taken}
    return [(level, most[job]) for level, job in zip(places, rows.job, strict=True)]
