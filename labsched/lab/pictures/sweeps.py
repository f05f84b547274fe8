"""`sweep_picture(frame, x=, y=)`: what changes with a setting, and how sure that is after so many runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ...errors import ConfigError
from ..figures import Picture, plain, style
from . import points, words
from .bars import frame
from .ink import BLACK, Look, TaskInk, inks
from .page import head_height, headline

if TYPE_CHECKING:
    pass

_WIDTH, _BODY, _LEFT, _RIGHT, _BELOW = 8.5, 3.9, 0.95, 0.35, 0.72  # inches
_LOG_FROM = 20  # times the smallest x that the largest must be for a logarithmic axis
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
_MOST_SERIES = 6

_DTYPES = {
    "series": "string", "x": "object", "n": "int64", "k": "Int64", "value": "float64", "low": "float64",
    "high": "float64", "q25": "float64", "q75": "float64",
}  # fmt: skip


def sweep_picture(
    result: Any,
    *,
    x: str,
    y: str,
    by: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
) -> Picture:
    """Column `y` against column `x` of a frame with one row per run, or of a sweep's result, one curve for each
    value of `by`.

    A `y` of truth values becomes shares with Wilson intervals at 95 %; numbers become medians with a box from the
    25th to the 75th percentile and whiskers from the 5th to the 95th (nearest rank). Rows without a `y` count
    nowhere. Labels should name units. `.data` has a row per point. ConfigError for a column that is not there or
    holds words where numbers are needed, for no row at all, and for more than 6 curves.
    """
    rows = points.table(result, [x, y, *([by] if by else [])])
    shares = points.shares(rows[y])
    spots = list(points.points(rows, x, y, by, shares))
    names = list(dict.fromkeys(spot.series for spot in spots))
    if len(names) > _MOST_SERIES:
        raise ConfigError(f"{by!r} has {len(names)} values, a picture shows {_MOST_SERIES} curves at most")
    labels = (xlabel or x, ylabel or (f"{y}, % of runs" if shares else y))
    with style():
        return _Drawing(spots, names, labels, (x, y, by), shares).picture


class _Drawing:
    def __init__(
        self, spots: list[points.Spot], names: list[str], labels: tuple[str, str], columns: tuple[str, str, str | None],
        shares: bool,
    ) -> None:  # fmt: skip
        self.spots, self.names, self.shares = spots, names, shares
        self.inks, self.columns = inks(names), columns
        self.times = 100 if shares else 1
        told = [points.how(spots, shares)]
        above = head_height(told) + (0.3 if len(names) > 1 else 0.05)
        height = above + _BODY + _BELOW
        self.picture = Picture(
            "sweep", (_WIDTH, height), frame(spots, _DTYPES), points.alt(spots, columns, labels, shares)
        )
        place = (_LEFT / _WIDTH, _BELOW / height, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, _BODY / height)
        axes = self.picture.add_axes(place)
        self.places = self._x_axis(axes)
        for n, name in enumerate(names):
            self._curve(axes, n, name)
        axes.set_xlabel(plain(labels[0]), fontsize=11)
        axes.set_ylabel(plain(labels[1]), fontsize=11)
        axes.set_ylim(*self._heights())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.grid(axis="y", color="#dddddd", linewidth=0.6, zorder=0)
        axes.spines[["right", "top"]].set_visible(False)
        if len(names) > 1:
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(-0.02, 1.0),
                ncols=3,
                frameon=False,
                fontsize=10,
                handlelength=3,
            )
        runs = words.many(sum(spot.n for spot in spots), "run")
        headline(self.picture, f"{columns[1]} against {columns[0]} · {runs}", told)

    def _heights(self) -> tuple[float, float]:
        """From nothing to a little above the highest whisker; a share to 10 % at least."""
        low, high = min(spot.low for spot in self.spots), max(spot.high for spot in self.spots)
        if self.shares:
            top = min(100.0, max(high * 112, 10.0))
            return -0.02 * top, top * 1.02
        air = 0.06 * (max(high, 0.0) - min(low, 0.0) or 1.0)
        return min(low, 0.0) - (air if low < 0 else 0), max(high, 0.0) + air

    def _x_axis(self, axes: Axes) -> dict[Any, float]:
        """Where each x stands: numbers at their value, if need be logarithmically; words side by side."""
        values = list(dict.fromkeys(spot.x for spot in self.spots))
        axes.tick_params(labelsize=10.5)
        if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
            axes.set_xticks(range(len(values)), [plain(str(value)) for value in values])
            axes.set_xlim(-0.5, len(values) - 0.5)
            self.words = True
            return {value: float(n) for n, value in enumerate(values)}
        self.words = False
        least, most = min(values), max(values)
        if least > 0 and most / least >= _LOG_FROM:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(FixedLocator(sorted(values)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlim(least / 1.3, most * 1.3)
        else:
            air = (most - least) * 0.06 or max(abs(least) * 0.1, 0.5)
            axes.set_xlim(least - air, most + air)
            axes.xaxis.set_major_locator(
                FixedLocator(sorted(values)) if len(values) <= 12 else MaxNLocator(10)
            )
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        return {value: float(value) for value in values}

    def _curve(self, axes: Axes, number: int, name: str) -> None:
        mine = [spot for spot in self.spots if spot.series == name]
        ink: TaskInk = self.inks[name]
        colour = ink.colour if len(self.names) > 1 else "#0072B2"
        dodge = (number - (len(self.names) - 1) / 2) * 7  # points to the side, so that whiskers stay apart
        axes_to = axes.transData + _shift(self.picture, dodge)
        xs = [self.places[spot.x] for spot in mine]
        ys = [spot.value * self.times for spot in mine]
        for x, spot in zip(xs, mine, strict=True):
            low, high = spot.low * self.times, spot.high * self.times
            axes.plot(
                [x, x], [low, high], color=BLACK, linewidth=1.3, marker="_", markersize=8, transform=axes_to
            )
            if spot.q25 is not None and spot.q75 is not None:
                look: Look = {"color": colour, "linewidth": 7, "solid_capstyle": "butt", "alpha": 0.75}
                axes.plot([x, x], [spot.q25, spot.q75], zorder=2.5, transform=axes_to, **look)
        # Between words there is nothing that a line could stand for.
        joined: Look = {
            "linestyle": "none" if self.words else _DASHES[number % 4],
            "color": colour,
            "linewidth": 1.5,
        }
        label = plain(f"{self.columns[2]} {name}") if self.columns[2] else None
        axes.plot(
            xs, ys, marker=ink.marker, markersize=8, markeredgecolor=BLACK, markeredgewidth=0.9, zorder=3,
            transform=axes_to, label=label, **joined,
        )  # fmt: skip


def _shift(picture: Picture, points: float) -> Any:
    from matplotlib.transforms import ScaledTranslation

    return ScaledTranslation(points / 72, 0, picture.dpi_scale_trans)
