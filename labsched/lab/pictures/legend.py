"""The key below a timeline: only what appears in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .bars import SERVER, Bar, Reading
from .ink import BADGES, BLACK, MOMENTS, OTHER_STRETCH, PALE, SERVER_STRETCH, STRETCHES, TROUBLE, TaskInk, inks
from .layout import WIDTH, Layout

_ABOVE, _ROW, _GAP = 0.68, 0.225, 0.1  # inches: the axis and its title, one row of entries, air below them
_COLUMNS = 4
_MOST_TASKS = 16

Entry = tuple[Any, str]


def legend_height(read: Reading, layout: Layout) -> float:
    """Inches that the key needs."""
    tasks, marks = _tasks(inks(read.tasks)), list(_marks(layout))
    return _ABOVE + sum(_ROW * _rows(entries) + _GAP for entries in (tasks, marks) if entries)


def legend(picture: Figure, read: Reading, layout: Layout, ink: dict[str, TaskInk], below: float) -> None:
    """Tasks first, then signs, under the axis; `below` is the height of that space in inches."""
    top, height = below - _ABOVE, picture.get_size_inches()[1]
    for entries in (_tasks(ink), list(_marks(layout))):
        if not entries:
            continue
        picture.legend(
            [entry[0] for entry in entries], [entry[1] for entry in entries], loc="upper left",
            bbox_to_anchor=(0.1 / WIDTH, top / height), ncols=_COLUMNS, frameon=False, fontsize=10, borderpad=0,
            borderaxespad=0, labelspacing=0.55, columnspacing=1.6, handlelength=2.2, handleheight=1.1,
            handler_map={tuple: HandlerTuple(ndivide=1)},
        )  # fmt: skip
        top -= _ROW * _rows(entries) + _GAP


def _rows(entries: list[Entry]) -> int:
    return -(-len(entries) // _COLUMNS)


def _tasks(ink: dict[str, TaskInk]) -> list[Entry]:
    entries: list[Entry] = [
        (
            (
                Patch(facecolor=look.colour, edgecolor=BLACK, hatch=look.hatch or None, linewidth=0.6),
                _sign(look.marker, look.colour, 7, BLACK, 0.7),
            ),
            task if len(task) <= 26 else f"{task[:25]}…",
        )
        for task, look in list(ink.items())[:_MOST_TASKS]
    ]
    if len(ink) > _MOST_TASKS:
        entries.append((Patch(facecolor="none", edgecolor="none"), f"and {len(ink) - _MOST_TASKS} more tasks"))
    return entries


def _marks(layout: Layout) -> Iterator[Entry]:
    bars = layout.bars
    outcomes = {bar.outcome for bar in bars if bar.kind == "attempt"}
    for outcome, badge in BADGES.items():
        if outcome in outcomes:
            yield (_sign("o", badge.colour, 11, "white", 0.9), _sign(f"${badge.sign}$", "white", 6, "white", 0.2)), badge.meaning
    if any((bar.attempt or 1) > 1 for bar in bars if bar.kind == "attempt"):
        yield _sign("$↻2$", BLACK, 13, BLACK, 0.2), "second attempt, and so on"
    if any(bar.duplicate for bar in bars):
        yield Patch(facecolor="none", edgecolor=TROUBLE, linewidth=2.2), "one slot, run more than once"
    if any(bar.count > 1 for bar in bars):
        yield _sign("$×9$", BLACK, 15, BLACK, 0.2), "so many runs, drawn as one bar"
    if any(bar.kind == "leader" for bar in bars):
        yield Patch(facecolor="#3d3d3d", edgecolor=BLACK), "leads, in its epoch #1, #2, …"
    if any(bar.kind in ("leader", "lock") and bar.halt is not None for bar in bars):
        yield Patch(facecolor="white", edgecolor="#888888", hatch="////"), "stopped, its lease runs out"
    if any(bar.kind == "attempt" and bar.halt is not None for bar in bars):
        yield Patch(facecolor="white", edgecolor="#555555", linestyle="--"), "stopped, but nobody knows yet"
    if any(bar.kind == "lock" for bar in bars):
        yield Patch(facecolor="#8c8c8c", edgecolor=BLACK, linewidth=0.6), "lock held"
    if any(bar.kind == "rest" for bar in bars):
        yield Patch(facecolor="white", edgecolor=BLACK, linestyle=":"), "released, at-least-for not over"
    yield from _faults([bar for bar in bars if bar.kind == "fault"])


def _faults(faults: list[Bar]) -> Iterator[Entry]:
    seen: set[str] = set()
    for bar in faults:
        kind = bar.outcome or ""
        if bar.band == SERVER:
            entry: Entry = (Patch(**SERVER_STRETCH), "server down")
        elif kind in MOMENTS:
            marker, colour, word = MOMENTS[kind]
            entry = (_sign(marker, colour, 11, "white", 1.0), word)
        else:
            look, word = STRETCHES.get(kind, (OTHER_STRETCH, kind))
            entry = (Patch(**look), word)
        if entry[1] not in seen:
            seen.add(entry[1])
            yield entry


def _sign(marker: str, face: str, size: float, edge: str, width: float) -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker=marker, markersize=size, markerfacecolor=face, markeredgecolor=edge,
        markeredgewidth=width,
    )  # fmt: skip
