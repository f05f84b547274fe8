"""`beliefs(trials)`: who believed that they held a lock, and when two did at once.

Each trial has `spans` (who, start, end), `clashes` (start, end), `until`, and a repr that tells its story.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from matplotlib.axes import Axes

from ...errors import ConfigError
from ..figures import Picture, plain, style
from .brush import Brush
from .ink import BLACK, MEMBER, TROUBLE, Look
from .page import head_height, headline, seconds_axis

_WIDTH, _LEFT, _RIGHT, _BELOW = 10.0, 0.55, 0.3, 0.6  # inches
_TITLE, _LANE, _GAP = 0.34, 0.3, 0.12
_BAR: Look = {"facecolor": "#8fb8d8", "edgecolor": BLACK, "linewidth": 0.8, "zorder": 3}
_DTYPES = {"trial": "string", "who": "string", "start": "float64", "end": "float64", "kind": "string"}


class Told(Protocol):
    """What a trial has to have."""

    @property
    def spans(self) -> Sequence[tuple[str, float, float]]: ...
    @property
    def clashes(self) -> Sequence[tuple[float, float]]: ...
    @property
    def until(self) -> float: ...


def beliefs(trials: Sequence[Told], until: float | None = None) -> Picture:
    """One block for each trial, one lane for each who. Times are true seconds, up to `until`.

    `.data` has a row per belief (`believes`) and per time in which two believed (`clash`). ConfigError without a trial.
    """
    import pandas as pd

    if not trials:
        raise ConfigError("beliefs() needs a trial at least")
    rows = [
        (repr(trial), *row)
        for trial in trials
        for row in [
            *((who, start, end, "believes") for who, start, end in trial.spans),
            *(("both", start, end, "clash") for start, end in trial.clashes),
        ]
    ]
    data = pd.DataFrame(rows, columns=list(_DTYPES)).astype(_DTYPES)
    last = until if until is not None else max(trial.until for trial in trials)
    with style():
        return _drawn(trials, data, last)


def _drawn(trials: Sequence[Told], data: Any, last: float) -> Picture:
    lanes = [sorted({span[0] for span in trial.spans}) for trial in trials]
    body = sum(_TITLE + len(names) * _LANE + _GAP for names in lanes)
    told = ["bar: believes that it holds the lock · ring and hatch: two believe so at once"]
    above = head_height(told)
    height = above + body + _BELOW
    broken = sum(bool(trial.clashes) for trial in trials)
    alt = f"Who believes that they hold the lock. {'. '.join(map(repr, trials))}."
    picture = Picture("beliefs", (_WIDTH, height), data, alt)
    wide = _WIDTH - _LEFT - _RIGHT
    axes = picture.add_axes((_LEFT / _WIDTH, _BELOW / height, wide / _WIDTH, body / height))
    axes.set(xlim=(0, last), ylim=(body, 0))
    axes.set_yticks([])
    seconds_axis(axes)
    brush = Brush(axes, last / wide)
    top = 0.0
    for trial, names in zip(trials, lanes, strict=True):
        _block(axes, brush, trial, names, top, last)
        top += _TITLE + len(names) * _LANE + _GAP
    title = (
        f"Who holds the lock? Two at once in {broken} of {len(trials)}"
        if len(trials) > 1
        else "Who holds the lock?"
    )
    headline(picture, title, told)
    return picture


def _block(axes: Axes, brush: Brush, trial: Told, names: list[str], top: float, last: float) -> None:
    axes.text(0, top + _TITLE / 2 + 0.04, plain(repr(trial)), fontsize=10.5, va="center_baseline", zorder=5)
    first = top + _TITLE
    for number, name in enumerate(names):
        y = first + number * _LANE
        brush.box(0, last, y + 0.03, _LANE - 0.06, MEMBER)
        axes.text(-0.12 * brush.inch, y + _LANE / 2, name, fontsize=11, ha="right", va="center_baseline")
        for who, start, end in trial.spans:
            if who == name and start < last:
                brush.box(start, min(end, last), y + 0.05, _LANE - 0.1, _BAR)
    high = len(names) * _LANE
    for start, end in trial.clashes:
        if start < last:
            brush.box(
                start,
                min(end, last),
                first + 0.03,
                high - 0.06,
                {"facecolor": "none", "edgecolor": TROUBLE},
                hatch="////",
                zorder=4,
                linewidth=0,
            )
            brush.ring(start, min(end, last), first, high, 0.1)
