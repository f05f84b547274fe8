"""Strokes on one pair of axes that counts seconds to the right and inches downward. It knows no recordings."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import FancyBboxPatch, Rectangle

from ..figures import plain
from .ink import BLACK, ON_WHITE, RING, Badge, Look, TaskInk


class Brush:
    """`inch` is how many seconds an inch is wide."""

    def __init__(self, axes: Axes, inch: float) -> None:
        self.axes, self.inch = axes, inch
        self._parts = itertools.count()

    @contextlib.contextmanager
    def mark(self, row: int) -> Iterator[None]:
        """What is drawn meanwhile shows that row of `.data`: an SVG file names its groups `mark-ROW-N`."""
        before = set(self.axes.get_children())
        yield
        for artist in self.axes.get_children():
            if artist not in before:
                artist.set_gid(f"mark-{row}-{next(self._parts)}")

    def box(self, start: float, end: float, y: float, high: float, look: Look, **more: Any) -> None:
        self.axes.add_patch(Rectangle((start, y), end - start, high, **({"linewidth": 0.8} | look | more)))

    def boxes(self, spans: Iterable[tuple[float, float, float]], high: float, ink: TaskInk) -> None:
        """Many boxes (start, end, y) of one look, as one object: thousands are drawn in no time."""
        shapes = [Rectangle((start, y), end - start, high) for start, end, y in spans]
        look: Look = {"facecolor": ink.colour, "edgecolor": BLACK, "linewidth": 0.6}
        self.axes.add_collection(PatchCollection(shapes, hatch=ink.hatch or None, zorder=3, **look))

    def line(self, x: float, top: float, bottom: float, colour: str, **look: Any) -> None:
        self.axes.plot([x, x], [top, bottom], color=colour, **({"linewidth": 2, "zorder": 5.5} | look))

    def marks(
        self, points: list[tuple[float, float]], marker: str, size: float, face: str, **look: Any
    ) -> None:
        """The same marker at many points of the axes, over whose edges it may stand."""
        left, right = self.axes.get_xlim()
        points = [point for point in points if left <= point[0] <= right]
        given: Look = {
            "markeredgecolor": BLACK,
            "markeredgewidth": 0.7,
            "zorder": 3.5,
            "clip_on": False,
        } | look
        xs, ys = [x for x, _ in points], [y for _, y in points]
        self.axes.plot(
            xs, ys, linestyle="none", marker=marker, markersize=size, markerfacecolor=face, **given
        )

    def text(self, x: float, y: float, words: str, *, plate: bool = False, **look: Any) -> None:
        """Words around (x, y); with `plate` on white, to be read on hatches."""
        given: Look = {"ha": "center", "va": "center_baseline", "zorder": 4, "clip_on": False} | look
        self.axes.text(x, y, plain(words), bbox=dict(ON_WHITE) if plate else None, **given)

    def badge(self, x: float, y: float, badge: Badge, size: float, *, sign: bool) -> None:
        look: Look = {"markeredgecolor": "white", "markeredgewidth": 0.9, "zorder": 5}
        self.marks([(x, y)], "o", size, badge.colour, **look)
        if sign:
            self.text(x, y, badge.sign, fontsize=size * 0.72, weight="bold", color="white", zorder=5.1)

    def ring(self, start: float, end: float, y: float, high: float, least: float) -> None:
        """Around a bar, at least `least` inches wide."""
        wide = max(end - start, least * self.inch) + 0.13 * self.inch
        corner = (start + end - wide) / 2, y - 0.035
        style = f"round,pad=0,rounding_size={0.1 * self.inch}"
        shape = FancyBboxPatch(corner, wide, high + 0.07, style, mutation_aspect=1 / self.inch, **RING)
        shape.set(zorder=5)
        self.axes.add_patch(shape)

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        look: Look = {"arrowstyle": "-|>", "linestyle": (0, (3, 2)), "color": BLACK, "linewidth": 1.2}
        look |= {"shrinkA": 6, "shrinkB": 1}
        self.axes.annotate("", xy=end, xytext=start, zorder=4.5, annotation_clip=False, arrowprops=look)
