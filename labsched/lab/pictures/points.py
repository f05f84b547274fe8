"""The points of a sweep: shares or medians with their intervals, and the same in words. No ink here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ...errors import ConfigError
from ...worlds.proportions import wilson
from .series import quantile

if TYPE_CHECKING:
    import pandas as pd


class Spot(msgspec.Struct, kw_only=True):
    """One point: a share (`k` of `n`) with its Wilson interval at 95 %, or a median with the 5th and 95th
    percentile."""

    series: str
    x: Any
    n: int
    k: int | None = None
    value: float
    low: float
    high: float
    q25: float | None = None
    q75: float | None = None


def table(result: Any, columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    table = result if isinstance(result, pd.DataFrame) else getattr(result, "frame", None)
    if not isinstance(table, pd.DataFrame):
        raise ConfigError(
            f"a sweep is drawn from a data frame or a sweep's result, not from {type(result).__name__}"
        )
    table = table.reset_index() if any(name in table.index.names for name in columns) else table
    for name in columns:
        if name not in table.columns:
            raise ConfigError(
                f"the sweep has no column {name!r}, it has {', '.join(map(str, table.columns))}"
            )
    table = table.dropna(subset=columns)
    if table.empty:
        raise ConfigError(f"the sweep has no run with a value of {' and '.join(map(repr, columns))}")
    return table


def shares(column: pd.Series[Any]) -> bool:
    """Whether it holds truth values; ConfigError when it holds words."""
    from pandas.api.types import is_bool, is_number

    values = column.tolist()
    if not all(is_bool(value) or is_number(value) for value in values):
        raise ConfigError(f"column {column.name!r} holds neither numbers nor truth values")
    return all(is_bool(value) for value in values)


def points(rows: pd.DataFrame, x: str, y: str, by: str | None, shares: bool) -> Iterator[Spot]:
    groups = rows.groupby([by, x] if by else [x], sort=_sorts(rows[x]))[y]
    for key, found in groups:
        at, series = key[-1], str(key[0]) if by else ""
        values = found.tolist()
        if shares:
            k, n = sum(values), len(values)
            low, high = wilson(k, n)
            yield Spot(series=series, x=at, n=n, k=k, value=k / n, low=low, high=high)
        else:
            five = [
                quantile([float(value) for value in values], part) for part in (0.05, 0.25, 0.5, 0.75, 0.95)
            ]
            yield Spot(
                series=series,
                x=at,
                n=len(values),
                value=five[2],
                low=five[0],
                high=five[4],
                q25=five[1],
                q75=five[3],
            )


def _sorts(column: pd.Series[Any]) -> bool:
    """Numbers stand in their order, words as they came."""
    return bool(
        column.map(lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)).all()
    )


def how(spots: list[Spot], shares: bool) -> str:
    counts = sorted({spot.n for spot in spots})
    each = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    runs = f"{each} run{'' if counts[-1] == 1 else 's'} at each point"
    if shares:
        return f"share of runs with its Wilson interval (95 %) · {runs}"
    if counts[-1] == 1:
        return "one run at each point"
    return f"median, box 25 to 75 %, whiskers 5 to 95 % · {runs}"


def alt(
    spots: list[Spot], columns: tuple[str, str, str | None], labels: tuple[str, str], shares: bool
) -> str:
    x, _, by = columns
    told = [f"Sweep: {labels[1]} against {labels[0]}; {how(spots, shares).replace(' · ', ', ')}."]
    for spot in spots[:12]:
        where = f"{by} {spot.series}, {x} {spot.x}" if by else f"{x} {spot.x}"
        if shares:
            said = f"{spot.k} of {spot.n} ({spot.low:.0%} to {spot.high:.0%})"
        elif spot.n == 1:
            said = f"{spot.value:.3g}"
        else:
            said = f"median {spot.value:.3g} ({spot.low:.3g} to {spot.high:.3g})"
        told.append(f"At {where}: {said}.")
    if len(spots) > 12:
        told.append(f"And {len(spots) - 12} more points.")
    return " ".join(told)
