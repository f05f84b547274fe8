"""The key below a timeline: only what appears in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..figures import plain
from .bars import SERVER, Bar, Reading
from .ink import (
    BADGES,
    BLACK,
    GREY,
    LEADS,
    LOCKED,
    MOMENTS,
    OTHER_STRETCH,
    REST,
    RING,
    RUNS_OUT,
    SERVER_STRETCH,
    STRETCHES,
    UNKNOWN,
    TaskInk,
    inks,
)  # fmt: skip
from .layout import Layout
from .words import short

_ABOVE, _ROW, _GAP = 0.62, 0.225, 0.1  # inches: the axis and its title, one row of entries, air below them
_COLUMNS = 4
_MOST_TASKS = 16

Entry = tuple[Any, str]


def legend_height(read: Reading, layout: Layout) -> float:
    """Inches that axis title and key need."""
    return key_height(_parts(layout, inks(read.tasks)))


def legend(picture: Figure, layout: Layout, ink: dict[str, TaskInk], below: float) -> None:
    """Tasks first, then signs, under the axis; `below` is the height of that space in inches."""
    key(picture, _parts(layout, ink), below)


def key_height(parts: list[list[Entry]]) -> float:
    """Inches that the title of the axis and such a key need."""
    return _ABOVE + sum(_ROW * _rows(part) + _GAP for part in parts)


def key(picture: Figure, parts: list[list[Entry]], below: float) -> None:
    """Groups of entries under the axis, from the left edge, in columns."""
    top, height = below - _ABOVE, picture.get_size_inches()[1]
    look: dict[str, Any] = {
        "frameon": False, "fontsize": 10, "borderpad": 0, "borderaxespad": 0, "loc": "upper left",
        "labelspacing": 0.55, "columnspacing": 1.6, "handlelength": 2.2, "handleheight": 1.1, "ncols": _COLUMNS,
    }  # fmt: skip
    for part in parts:
        handles, labels = [entry[0] for entry in part], [plain(entry[1]) for entry in part]
        place = (0.1 / picture.get_size_inches()[0], top / height)
        side_by_side = {tuple: HandlerTuple(ndivide=1)}
        picture.legend(handles, labels, bbox_to_anchor=place, handler_map=side_by_side, **look)
        top -= _ROW * _rows(part) + _GAP


def _parts(layout: Layout, ink: dict[str, TaskInk]) -> list[list[Entry]]:
    return [part for part in (list(_tasks(ink)), list(_signs(layout))) if part]


def _rows(entries: list[Entry]) -> int:
    return -(-len(entries) // _COLUMNS)


def _tasks(ink: dict[str, TaskInk]) -> Iterator[Entry]:
    for task, look in list(ink.items())[:_MOST_TASKS]:
        patch = Patch(facecolor=look.colour, edgecolor=BLACK, hatch=look.hatch or None, linewidth=0.6)
        yield (patch, sign(look.marker, look.colour, 7, BLACK, 0.7)), short(task, 26)
    if len(ink) > _MOST_TASKS:
        yield Patch(facecolor="none", edgecolor="none"), f"and {len(ink) - _MOST_TASKS} more tasks"


def _signs(layout: Layout) -> Iterator[Entry]:
    bars = layout.bars
    attempts, halted = [b for b in bars if b.kind == "attempt"], {b.kind for b in bars if b.halt is not None}
    for outcome, badge in BADGES.items():
        if any(bar.outcome == outcome for bar in attempts):
            disc, glyph = (
                sign("o", badge.colour, 11, "white", 0.9),
                sign(f"${badge.sign}$", "white", 6, "white", 0.2),
            )
            yield (disc, glyph), badge.meaning
    if any((bar.attempt or 1) > 1 for bar in attempts):
        yield sign("$↻2$", BLACK, 13, BLACK, 0.2), "second attempt, and so on"
    if any(bar.duplicate for bar in attempts):
        yield Patch(**RING), "one slot, run more than once"
    if any(bar.count > 1 for bar in attempts):
        yield sign("$×9$", BLACK, 15, BLACK, 0.2), "so many runs, drawn as one bar"
    if "attempt" in halted:
        yield Patch(**(UNKNOWN | {"edgecolor": GREY})), "stopped, but nobody knows yet"
    if any(bar.kind == "leader" for bar in bars):
        yield Patch(**LEADS), "leads, in its epoch #1, #2, …"
    if any(bar.kind == "lock" for bar in bars):
        yield Patch(**LOCKED), "lock held, grant #1, #2, …"
    if {"leader", "lock"} & halted:
        yield Patch(**RUNS_OUT), "holder stopped, lease runs out"
    if any(bar.kind == "rest" for bar in bars):
        yield Patch(**REST), "released, at-least-for not over"
    yield from faults(bar for bar in bars if bar.kind == "fault")


def faults(marks: Iterable[Bar]) -> Iterator[Entry]:
    """An entry for each look of a fault."""
    found = {word: handle for mark in marks for handle, word in [_fault(mark)]}
    yield from ((handle, word) for word, handle in found.items())


def _fault(bar: Bar) -> Entry:
    kind = bar.outcome or ""
    if bar.band == SERVER:
        return Patch(**SERVER_STRETCH), "a fault of the server"
    if kind in MOMENTS:
        marker, colour, word = MOMENTS[kind]
        return sign(marker, colour, 11, "white", 1.0), word
    look, word = STRETCHES.get(kind, (OTHER_STRETCH, "another fault, as labelled"))
    return Patch(**look), word


def sign(marker: str, face: str, size: float, edge: str, width: float, **line: Any) -> Line2D:
    """A marker for the key; with a colour and style of `line`, on a piece of that line."""
    look: dict[str, Any] = {"markerfacecolor": face, "markeredgecolor": edge, "markeredgewidth": width}
    return Line2D([], [], marker=marker, markersize=size, **({"linestyle": "none"} | line | look))
