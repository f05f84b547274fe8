"""`states(rec)`: the table of legal transitions as a drawing, and how often a recording took each step.

Arrows are drawn from `model.TRANSITIONS`, so the drawing cannot say what the scripts do not do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ...model import TERMINAL, TRANSITIONS, State
from ..figures import Picture, style
from . import words
from .ink import BLACK, BLUE
from .page import head_height, headline

if TYPE_CHECKING:
    import pandas as pd

    from labsched.worlds.recording import Recording

NEW = "(new)"
_WIDTH, _BODY = 10.0, 4.2  # inches
_PLACES = {  # inches from the left and from the bottom, of a box's middle
    NEW: (0.75, 2.3), "BUFFERED": (2.35, 3.6), "SKIPPED": (2.35, 0.6), "READY": (3.9, 2.3), "RETRYING": (5.35, 3.8),
    "RUNNING": (6.8, 2.3), "CANCELLED": (5.35, 0.6), "SUCCEEDED": (9.1, 3.6), "FAILED": (9.1, 2.3),
    "DEAD": (9.1, 1.0),
}  # fmt: skip
_BENDS = {  # how far an arrow bows, as a share of its length; straight ones are not named
    ("READY", "RUNNING"): -0.2, ("RUNNING", "READY"): -0.2, ("FAILED", "READY"): 0.33, ("DEAD", "READY"): -0.42,
    ("RETRYING", "CANCELLED"): -0.12, ("BUFFERED", "CANCELLED"): 0.27,
}  # fmt: skip
_LABELS = {
    ("BUFFERED", "SKIPPED"): 0.72,
    (NEW, "READY"): 0.36,
}  # where on its arrow a count stands, if not in the middle
_HALF = 0.58, 0.2  # inches, of a box
_DTYPES = {"before": "string", "after": "string", "count": "int64"}


def states(rec: Recording | None = None) -> Picture:
    """Each legal step from state to state an arrow: thick and blue, with its count, where `rec` took it; grey and
    dotted where not. Terminal states have a double frame. `.data` has a row per legal step: `before`, `after`, `count`.
    """
    import pandas as pd

    taken = Counter() if rec is None else Counter(steps(rec))
    legal = [(before or NEW, str(after)) for before, ends in TRANSITIONS.items() for after in sorted(ends)]
    rows = [(before, after, taken[before, after]) for before, after in legal]
    data = pd.DataFrame(rows, columns=list(_DTYPES)).astype(_DTYPES)
    with style():
        return _drawn(data, rec is not None)


def steps(rec: Recording) -> Iterator[tuple[str, str]]:
    """(before, after) of each change of state that the history tells, in its order; `NEW` comes before the first."""
    now = {id: entry["state"] for id, entry in rec.snapshot.get("executions", {}).items()}
    for event in rec.history:
        if event.kind in State.__members__ and event.execution is not None:
            yield str(now.get(event.execution, NEW)), str(event.kind)
            now[event.execution] = str(event.kind)


def _drawn(data: pd.DataFrame, counted: bool) -> Picture:
    told = [
        "thick: taken so often; dotted: legal, not taken here. Double frame: an end"
        if counted
        else "each arrow is a legal step. Double frame: an end"
    ]
    height = head_height(told) + _BODY
    picture = Picture("states", (_WIDTH, height), data, _alt(data, counted))
    axes = picture.add_axes((0, 0, 1, _BODY / height))
    axes.set(xlim=(0, _WIDTH), ylim=(0, _BODY))
    axes.axis("off")
    for before, after, count in data.itertuples(index=False):
        _arrow(axes, before, after, count, counted)
    for name, place in _PLACES.items():
        _box(axes, name, place)
    total = f" · {words.many(int(data['count'].sum()), 'step')} taken" if counted else ""
    headline(picture, f"The states of an execution{total}", told)
    return picture


def _box(axes: Axes, name: str, place: tuple[float, float]) -> None:
    x, y = place
    frames = (0.0, 0.06) if name in TERMINAL else (0.0,)
    for grown in reversed(frames):
        corner = x - _HALF[0] - grown, y - _HALF[1] - grown
        axes.add_patch(
            FancyBboxPatch(
                corner, 2 * (_HALF[0] + grown), 2 * (_HALF[1] + grown), "round,pad=0,rounding_size=0.1",
                facecolor="white", edgecolor=BLACK, linewidth=1.1, zorder=4,
            )
        )  # fmt: skip
    axes.text(x, y, name, ha="center", va="center_baseline", fontsize=10.5, zorder=5)


def _arrow(axes: Axes, before: str, after: str, count: int, counted: bool) -> None:
    taken = count > 0 or not counted
    look: dict[str, Any] = (
        {"color": BLUE if counted else BLACK, "linewidth": 2.4 if counted else 1.2, "zorder": 3}
        if taken
        else {"color": "#999999", "linewidth": 1.0, "linestyle": ":", "zorder": 2}
    )
    bend = _BENDS.get((before, after), 0.0)
    start, end = _ends(_PLACES[before], _PLACES[after])
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=13, shrinkA=0, shrinkB=2,
            connectionstyle=f"arc3,rad={bend}", **look,
        )
    )  # fmt: skip
    if counted and count:
        x, y = _on_bow(start, end, bend, _LABELS.get((before, after), 0.5))
        plate = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        axes.text(
            x,
            y,
            f"{count:,}",
            color=BLUE,
            weight="bold",
            ha="center",
            va="center_baseline",
            bbox=plate,
            zorder=6,
        )


def _ends(
    start: tuple[float, float], end: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where a straight line between two boxes leaves the first and meets the second."""
    return _edge(start, end), _edge(end, start)


def _edge(box: tuple[float, float], to: tuple[float, float]) -> tuple[float, float]:
    dx, dy = to[0] - box[0], to[1] - box[1]
    wide, high = _HALF[0] + 0.08, _HALF[1] + 0.08
    share = min(wide / abs(dx) if dx else 9.0, high / abs(dy) if dy else 9.0)
    return box[0] + dx * share, box[1] + dy * share


def _on_bow(
    start: tuple[float, float], end: tuple[float, float], bend: float, share: float
) -> tuple[float, float]:
    """A point of a bow, `share` of the way along, as matplotlib's arc3 draws it."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    aside = 2 * share * (1 - share) * bend
    return start[0] + share * dx + aside * dy, start[1] + share * dy - aside * dx


def _alt(data: pd.DataFrame, counted: bool) -> str:
    listed = [
        f"{before} to {after}" + (f" {count} times" if counted else "")
        for before, after, count in data.itertuples(index=False)
        if count or not counted
    ]
    # Counts come after the first hundred signs, which are all that a stored output shows.
    head = "The states of an execution and the legal steps from one to the other"
    if counted:
        head += ", with how often this recording took each of them"
    return f"{head}: {', '.join(listed) or 'none'}."
