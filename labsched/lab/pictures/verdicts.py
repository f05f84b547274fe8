"""`verdicts(frame)`: what holds and what breaks, a row per fault and a column per design."""

from __future__ import annotations

import textwrap

import pandas as pd

from ...errors import ConfigError
from ..figures import Picture, plain, style
from .ink import BLACK, CALM, TROUBLE
from .page import head_height, headline

_LEFT, _CELL, _ROW, _TOP = 2.1, 1.75, 0.62, 0.45  # inches


def verdicts(table: pd.DataFrame, *, title: str) -> Picture:
    """A grid of `table`'s rows and columns. A cell's text says what broke, in a few words; an empty one: it held.

    `.data` has a row per cell: `row`, `column`, `held`, `text`. ConfigError for a table without cells.
    """
    if table.empty:
        raise ConfigError("there is nothing to draw: the table has no cells")
    cells = [
        {"row": str(row), "column": str(column), "held": not text, "text": str(text)}
        for row, line in table.iterrows()
        for column, text in line.items()
    ]
    data = pd.DataFrame(cells).astype({"row": "string", "column": "string", "text": "string"})
    with style():
        return _drawn(table, data, title)


def _drawn(table: pd.DataFrame, data: pd.DataFrame, title: str) -> Picture:
    told = [f"{int(data.held.sum())} of {len(data)} hold"]
    above, width = head_height(told) + _TOP, _LEFT + _CELL * len(table.columns) + 0.15
    height = above + _ROW * len(table) + 0.15
    picture = Picture("verdicts", (width, height), data, _alt(data))
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    for n, column in enumerate(table.columns):
        axes.text(
            _LEFT + _CELL * (n + 0.5),
            above - 0.12,
            plain(str(column)),
            ha="center",
            fontsize=10.5,
            weight="bold",
        )
    for n, row in enumerate(table.index):
        middle = above + _ROW * (n + 0.5)
        label = textwrap.fill(plain(str(row)), 25)
        axes.text(_LEFT - 0.12, middle, label, ha="right", va="center", fontsize=10)
    for number, cell in enumerate(data.itertuples()):
        x = _LEFT + _CELL * (number % len(table.columns))
        y = above + _ROW * (number // len(table.columns))
        _cell(axes, x, y, bool(cell.held), str(cell.text))
    headline(picture, title, told)
    return picture


def _cell(axes: object, x: float, y: float, held: bool, text: str) -> None:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

    assert isinstance(axes, Axes)
    ground = "#e8f3ee" if held else "#fbe3d6"
    edge = "white"
    axes.add_patch(
        Rectangle(
            (x, y), _CELL, _ROW, facecolor=ground, edgecolor=edge, linewidth=2, hatch="" if held else "//"
        )
    )
    axes.add_patch(
        Rectangle(
            (x + 0.02, y + 0.02), _CELL - 0.04, _ROW - 0.04, fill=False, edgecolor="#999999", linewidth=0.6
        )
    )
    sign, colour = ("✓ holds", CALM) if held else ("✗ " + textwrap.fill(plain(text), 17), TROUBLE)
    axes.text(
        x + _CELL / 2, y + _ROW / 2, sign, ha="center", va="center", fontsize=9.5, color=BLACK, linespacing=1.05,
        bbox={"facecolor": ground, "edgecolor": colour, "linewidth": 1.0, "boxstyle": "round,pad=0.18"},
    )  # fmt: skip


def _alt(data: pd.DataFrame) -> str:
    """One sentence per row."""
    said = []
    for row, cells in data.groupby("row", sort=False):
        bad = [f"{cell.column} ({cell.text})" for cell in cells.itertuples() if not cell.held]
        said.append(f"{row}: breaks {', '.join(bad)}." if bad else f"{row}: all hold.")
    return " ".join(said)
