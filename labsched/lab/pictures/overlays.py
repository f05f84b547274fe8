"""`overlay(simulated, real, bounds)`: the same figures from both worlds on one axis, and the bound on both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ...errors import ConfigError
from ..figures import Picture, plain, style
from .ink import BLACK, BLUE, TROUBLE, Look
from .page import head_height, headline

_WIDTH, _LEFT, _RIGHT, _LANE, _BELOW = 9.0, 2.0, 0.4, 0.95, 0.95  # inches

Seconds = Mapping[str, Sequence[float]]


def overlay(simulated: Seconds, real: Seconds, bounds: Mapping[str, float], *, title: str) -> Picture:
    """A lane for each name: a tick for each simulated run, a diamond for each real one, a bar at the bound. Seconds.

    `.data` has a row per figure: `name`, `world` (simulated, real, bound), `seconds`. ConfigError for a name without
    any simulated run.
    """
    missing = [name for name in bounds if not simulated.get(name)]
    if missing or not bounds:
        raise ConfigError(
            f"there is no simulated run of {missing[0]!r}" if missing else "there is nothing to draw"
        )
    worlds = (
        ("simulated", simulated),
        ("real", real),
        ("bound", {name: [end] for name, end in bounds.items()}),
    )
    data = pd.DataFrame(
        [
            (name, world, float(value))
            for name in bounds
            for world, runs in worlds
            for value in runs.get(name, ())
        ],
        columns=["name", "world", "seconds"],
    ).astype({"name": "string", "world": "string"})
    with style():
        return _drawn(data, list(bounds), title)


def _drawn(data: pd.DataFrame, names: list[str], title: str) -> Picture:
    data = data.rename(columns={"name": "lane"})  # `name` is an attribute of frames
    counts = [f"{(data.world == world).sum() // len(names)} {world}" for world in ("simulated", "real")]
    told = [f"per lane: {' and '.join(counts)} runs; nothing may lie right of the bar"]
    above = head_height(told)
    height = above + _LANE * len(names) + _BELOW
    picture = Picture("overlay", (_WIDTH, height), data.rename(columns={"lane": "name"}), _alt(data, names))
    place = (_LEFT / _WIDTH, _BELOW / height, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, _LANE * len(names) / height)
    axes = picture.add_axes(place)
    for lane, name in enumerate(names):
        mine = data[data.lane == name]
        ticks = mine[mine.world == "simulated"].seconds
        axes.plot(
            ticks,
            [lane + 0.18] * len(ticks),
            linestyle="none",
            marker="|",
            markersize=17,
            color=BLACK,
            alpha=0.55,
        )
        marks = mine[mine.world == "real"].seconds
        axes.plot(marks, [lane - 0.2] * len(marks), linestyle="none", marker="D", markersize=10, color=BLUE,
                  markeredgecolor=BLACK)  # fmt: skip
        end = float(mine[mine.world == "bound"].seconds.iloc[0])
        axes.plot([end, end], [lane - 0.42, lane + 0.42], color=TROUBLE, linewidth=3.5)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlim(0, float(data.seconds.max()) * 1.08)
    axes.set_yticks(range(len(names)), [plain(name) for name in names], fontsize=11)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("seconds after the kill", fontsize=11)
    axes.grid(axis="x", color="#d8d8d8", linewidth=0.6)
    axes.spines[["left", "right", "top"]].set_visible(False)
    _key(picture, height)
    headline(picture, title, told)
    return picture


def _key(picture: Picture, height: float) -> None:
    from matplotlib.lines import Line2D

    point: Look = {"linestyle": "none"}
    entries = [
        Line2D([], [], marker="|", markersize=14, color=BLACK, label="a simulated run", **point),
        Line2D(
            [], [], marker="D", markersize=9, color=BLUE, markeredgecolor=BLACK, label="a real one", **point
        ),
        Line2D(
            [],
            [],
            marker="|",
            markersize=14,
            markeredgewidth=3.5,
            color=TROUBLE,
            label="the hard bound",
            **point,
        ),
    ]
    picture.legend(
        handles=entries, loc="lower left", bbox_to_anchor=(0.0, 0.0), ncols=3, frameon=False, fontsize=10.5
    )


def _alt(data: pd.DataFrame, names: list[str]) -> str:
    said = []
    for name in names:
        mine = data[data.lane == name]
        parts = []
        for world in ("simulated", "real"):
            values = mine[mine.world == world].seconds
            if len(values):
                parts.append(f"{world} {values.min():.1f} to {values.max():.1f} s in {len(values)} runs")
        end = float(mine[mine.world == "bound"].seconds.iloc[0])
        said.append(f"{name}: {', '.join(parts)}; at most {end:.1f} s.")
    return " ".join(said)
