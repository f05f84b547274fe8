"""`lattice(explored)`: every order of two clients' steps as a path through a grid.

A's steps lead to the right, B's down, so a path from corner to corner is one interleaving. The grid is that of
E. W. Dijkstra's progress graphs ("Cooperating Sequential Processes", 1965), there with forbidden regions, here
with the paths themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes

from ..figures import Picture, plain, style
from . import orders, words
from .bars import frame
from .ink import BLACK, GREY, TROUBLE, Look
from .legend import Entry, key, key_height, sign
from .page import head_height, headline

_PAPER, _LEFT, _TOP = 8.5, 1.65, 0.5  # inches: width, names of B's steps, names of A's
_TRACKS = 12  # paths up to which each has a track of its own
_APART = 0.07  # inches between two tracks
_WORST: Look = {"color": TROUBLE, "linestyle": (0, (3, 1.2))}
_DTYPES = {"order": "string", "bad": "bool", "why": "string", "shortest": "bool", "steps": "int64"}


def lattice(explored: Any, steps: Mapping[str, Sequence[str]] | None = None) -> Picture:
    """Good orders thin and grey, bad ones red and dashed, the shortest bad one thick, with its order written.

    `explored` is what `explore` returns, or (order, bad) pairs such as ("AABB", True); a text in place of True says
    why. `steps` names the steps, {"A": ["GET", "SET"], "B": [...]}. Above 12 orders a line stands for all that pass
    there, wider the more there are. `.data` has a row per order. ConfigError for other clients than A and B, and
    when there is no order.
    """
    paths = orders.paths(explored)
    with style():
        return _Drawing(paths, steps or orders.named(explored)).picture


class _Drawing:
    def __init__(self, paths: list[orders.Path], steps: Mapping[str, Sequence[str]]) -> None:
        self.paths, self.steps = paths, steps
        self.across = max(max(a for a, _ in path.points) for path in paths)
        self.down = max(max(b for _, b in path.points) for path in paths)
        self.shortest = next((path for path in paths if path.shortest), None)
        self.wide = min(2.3, (_PAPER - _LEFT - 0.8) / (self.across + 0.6))
        self.high = min(1.2, 4.6 / max(self.down, 1))
        told = orders.story(paths, self.shortest)
        part = self._key()
        above, below = head_height(told) + _TOP, key_height([part]) - 0.3
        wide, high = self.wide * (self.across + 0.6), self.high * (self.down + 0.6)
        height = above + high + below
        self.picture = Picture(
            "lattice", (_PAPER, height), frame(paths, _DTYPES), orders.alt(paths, self.shortest)
        )
        axes = self.picture.add_axes((_LEFT / _PAPER, below / height, wide / _PAPER, high / height))
        axes.set_xlim(-0.3, self.across + 0.3)
        axes.set_ylim(self.down + 0.3, -0.3)
        axes.set_axis_off()
        # Paths that let A go first lie above and right of the others, and so do their tracks.
        tracks = sorted(paths, key=lambda path: (self._lead(path), path.order))
        self.tracks = {path.order: n - (len(paths) - 1) / 2 for n, path in enumerate(tracks)}
        self.small = self.wide < 1.0 or self.high < 0.8
        self._grid(axes)
        if len(paths) <= _TRACKS:
            self._tracks(axes)
        else:
            self._streets(axes)
        self._worst(axes)
        headline(self.picture, orders.title(paths), told)
        key(self.picture, [part], below + 0.3)

    def _lead(self, path: orders.Path) -> int:
        """How many pairs of steps have A's first, what an order leaves out counted as done at its end."""
        a, b = path.points[-1]
        order = path.order + "A" * (self.across - a) + "B" * (self.down - b)
        return sum(order[:n].count("A") for n, letter in enumerate(order) if letter == "B")

    def _grid(self, axes: Axes) -> None:
        dots = [(a, b) for a in range(self.across + 1) for b in range(self.down + 1)]
        axes.plot(
            *zip(*dots, strict=True), linestyle="none", marker="o", markersize=4, color="#9a9a9a", zorder=1
        )
        look: Look = {"fontsize": 8.5 if self.small else 10, "va": "center", "clip_on": False}
        for n in range(self.across):
            axes.text(n + 0.5, -0.42, plain(self._step("A", n)), ha="center", **look)
        for n in range(self.down):
            axes.text(-0.28, n + 0.5, plain(self._step("B", n)), ha="right", **look)
        axes.text(0, -0.2, "start", fontsize=9, color=GREY, ha="center", va="center")
        axes.text(self.across, self.down + 0.22, "end", fontsize=9, color=GREY, ha="center", va="center")

    def _step(self, client: str, number: int) -> str:
        names = self.steps.get(client, ())
        name = str(names[number]) if number < len(names) else ""
        room = 9 if self.small else 15
        return f"{client}{number + 1} {words.short(name, room)}".strip()

    def _tracks(self, axes: Axes) -> None:
        """Each path beside the others: shifted across the diagonal, along which all of them lead."""
        for path in self.paths:
            points = self._shifted(path)
            if not path.shortest:
                self._line(axes, points, path.bad, 1.7 if path.bad else 1.2)
                axes.plot(
                    *points[-1], marker="s", markersize=4, color=TROUBLE if path.bad else "#8a8a8a", zorder=3
                )
                self._signs(axes, path)

    def _shift(self, path: orders.Path) -> tuple[float, float]:
        """By how many cells the track of a path lies beside the grid."""
        if len(self.paths) > _TRACKS:
            return 0.0, 0.0
        inches = self.tracks[path.order] * _APART
        return inches / self.wide, -inches / self.high

    def _shifted(self, path: orders.Path) -> list[tuple[float, float]]:
        right, down = self._shift(path)
        return [(a + right, b + down) for a, b in path.points]

    def _streets(self, axes: Axes) -> None:
        """All paths along an edge as one line: good ones on one side of it, bad ones on the other."""
        for bad, side in ((False, -0.035), (True, 0.035)):
            used = Counter(edge for path in self.paths if path.bad is bad for edge in pairwise(path.points))
            most = max(used.values(), default=1)
            for ((a, b), (c, d)), count in sorted(used.items()):
                shift = (0, side) if b == d else (-side, 0)
                points = [(a + shift[0], b + shift[1]), (c + shift[0], d + shift[1])]
                self._line(axes, points, bad, 0.8 + 2.2 * count / most)

    @staticmethod
    def _line(axes: Axes, points: list[tuple[float, float]], bad: bool, width: float) -> None:
        look: Look = (
            {"color": TROUBLE, "linestyle": (0, (4, 2))} if bad else {"color": "#8a8a8a", "linestyle": "-"}
        )
        axes.plot(*zip(*points, strict=True), linewidth=width, zorder=2.5 if bad else 2, **look)

    def _signs(self, axes: Axes, path: orders.Path) -> None:
        right, down = self._shift(path)
        for (a, b), kind in path.signs:
            look: Look = (
                {"marker": "X", "color": BLACK} if kind == "died" else {"marker": "d", "color": BLACK}
            )
            axes.plot([a + right], [b + down], markersize=9, markeredgewidth=0.5, zorder=4, **look)

    def _worst(self, axes: Axes) -> None:
        """The shortest bad path, thick, with a letter for each step."""
        if self.shortest is None:
            return
        points = self._shifted(self.shortest)
        axes.plot(*zip(*points, strict=True), linewidth=3.6, zorder=3, **_WORST)
        for (a, b), (c, d) in pairwise(points):
            name = "A" if d == b else "B"
            disc: Look = {
                "boxstyle": "circle,pad=0.18",
                "facecolor": "white",
                "edgecolor": TROUBLE,
                "linewidth": 1.4,
            }
            axes.text(
                (a + c) / 2, (b + d) / 2, name, fontsize=8 if self.small else 10, weight="bold", ha="center",
                va="center", bbox=disc, zorder=5,
            )  # fmt: skip
        self._signs(axes, self.shortest)

    def _key(self) -> list[Entry]:
        good = {"color": "#8a8a8a", "linestyle": "-"}
        bad = {"color": TROUBLE, "linestyle": (0, (4, 2))}
        entries: list[Entry] = []
        if any(not path.bad for path in self.paths):
            entries.append((sign("", GREY, 0, GREY, 0, linewidth=1.2, **good), "good order"))
        if any(path.bad and not path.shortest for path in self.paths):
            entries.append((sign("", TROUBLE, 0, TROUBLE, 0, linewidth=1.7, **bad), "bad order"))
        if self.shortest is not None:
            entries.append((sign("", TROUBLE, 0, TROUBLE, 0, linewidth=3.6, **_WORST), "shortest bad one"))
        kinds = {kind for path in self._signed() for _, kind in path.signs}
        if "died" in kinds:
            entries.append((sign("X", BLACK, 8, BLACK, 0.5), "client dies"))
        if "time" in kinds:
            entries.append((sign("d", BLACK, 9, BLACK, 0.5), "time passes"))
        return entries

    def _signed(self) -> list[orders.Path]:
        """Those whose deaths and pauses are drawn."""
        return self.paths if len(self.paths) <= _TRACKS else [path for path in self.paths if path.shortest]
