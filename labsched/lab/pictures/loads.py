"""`loads(frame)`: how many requests reach a server in each tenth of a second, and what they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from ...errors import ConfigError
from ..figures import Picture, plain, style
from .ink import BLACK, TROUBLE, Look
from .page import head_height, headline, seconds_axis

if TYPE_CHECKING:
    import pandas as pd

_WIDTH, _BODY, _LEFT, _RIGHT, _BELOW, _KEY = 9.5, 3.2, 0.95, 0.35, 0.62, 0.3  # inches
_LOOKS: tuple[Look, ...] = (
    {"facecolor": "#c9d1d6"},
    {"facecolor": "#0072B2", "hatch": "...."},
    {"facecolor": TROUBLE, "hatch": "////"},
    {"facecolor": "#F0E442", "hatch": "xxxx"},
)


def loads(frame: pd.DataFrame, marks: dict[str, float] | None = None, bin: float = 0.1) -> Picture:
    """Bars of `bin` seconds, one kind of request upon the other, from a frame with `t` (where a bin begins), `what`
    and `requests`. `marks`: vertical lines, by what happened at that second.

    `.data` has a row per bin and kind that was drawn. ConfigError for a frame without a row, without these columns, or
    with more than 4 kinds.
    """
    missing = [name for name in ("t", "what", "requests") if name not in frame]
    if missing or not len(frame):
        raise ConfigError(f"the frame has no {'row' if not missing else 'column ' + missing[0]}")
    data: Any = frame.groupby(["t", "what"], as_index=False)[["requests"]].sum()
    kinds = sorted(set(data.what), key=lambda what: (what == "lead", what != "other", what))
    if len(kinds) > len(_LOOKS):
        raise ConfigError(f"there are {len(kinds)} kinds of requests, a picture shows {len(_LOOKS)} at most")
    with style():
        return _drawn(data, kinds, marks or {}, bin)


def _drawn(data: pd.DataFrame, kinds: list[str], marks: dict[str, float], bin: float) -> Picture:
    totals = data.groupby("t").requests.sum()
    most, when = int(totals.max()), totals.idxmax()
    seconds = float(data.t.max() - data.t.min()) + bin
    told = [
        f"{totals.sum() / seconds:,.0f} per second on average; at most {most:,} within {bin:g} s, at {when:.1f} s"
    ]
    above = head_height(told) + _KEY
    height = above + _BODY + _BELOW
    alt = f"Requests by time, in bins of {bin:g} s: {told[0]}." + "".join(
        f" At {t:g} s: {what}." for what, t in marks.items()
    )
    picture = Picture("loads", (_WIDTH, height), data, alt)
    place = (_LEFT / _WIDTH, _BELOW / height, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, _BODY / height)
    axes = picture.add_axes(place)
    _bars(axes, data, kinds, bin)
    for what, t in marks.items():
        axes.axvline(t, color=BLACK, linewidth=1.2, linestyle="--", zorder=4)
        axes.text(t, most * 1.1, f" {plain(what)}", fontsize=10.5, va="top", zorder=4)
    axes.set_xlim(data.t.min(), data.t.max() + bin)
    axes.set_ylim(0, most * 1.12)
    seconds_axis(axes)
    axes.set_ylabel(f"requests per {bin:g} s", fontsize=11)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.6, zorder=0.4)
    under: Look = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "ncols": 4, "frameon": False}
    axes.legend(fontsize=10, **under)
    headline(picture, f"Requests over {seconds:.0f} s", told)
    return picture


def _bars(axes: Axes, data: pd.DataFrame, kinds: list[str], bin: float) -> None:
    """What everybody does all the time at the bottom, what comes in herds on top."""
    table = data.pivot(index="t", columns="what", values="requests").fillna(0)
    below: Any = 0 * table[kinds[0]]
    for kind, look in zip(kinds, _LOOKS, strict=False):
        axes.bar(
            table.index, table[kind], bin, bottom=below, align="edge", edgecolor=BLACK, linewidth=0.15, zorder=3,
            label=plain(kind), **look,
        )  # fmt: skip
        below = below + table[kind]
