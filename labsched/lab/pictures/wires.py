"""Messages as arrows over the lanes of a space-time picture, and the signs on its lines."""

from __future__ import annotations

from statistics import median

from matplotlib.patches import FancyArrowPatch

from .bars import Bar
from .brush import Brush
from .ink import BLACK, BLUE, GREY, TROUBLE, Look
from .sends import Arrow
from .spaces import Space

# kind of message -> look of its arrow, and the word for the key
ARROWS: dict[str, tuple[Look, str]] = {
    "request": ({"color": BLUE, "linestyle": "-", "linewidth": 1.1}, "request"),
    "reply": ({"color": "#3f3f3f", "linestyle": (0, (4, 2)), "linewidth": 1.0}, "reply"),
}
OTHER: tuple[Look, str] = (
    {"color": GREY, "linestyle": (0, (1, 1.5)), "linewidth": 1.0},
    "connecting, closing",
)
_WHY = {"partition": "cut off", "lossy": "lost", "lost": "lost"}  # reasons as people say them
_STUB = 0.26  # inches from its sender at which a lost message ends
_SIDE = 0.075  # inches per letter of a message's name
_MOST_ROWS = 3


class Wires:
    """Draws what crosses the lanes; `lines` is how far down the line of each machine lies, in inches."""

    def __init__(self, space: Space, brush: Brush, lines: dict[str, float]) -> None:
        self.space, self.read, self.brush, self.lines = space, space.read, brush, lines
        servers = [strip for strip in space.strips if strip.server]
        self.server = servers[0].name
        self._arrows()
        self._names()
        self._refusals()
        self._told()
        self._violation()

    # --- messages

    def _arrows(self) -> None:
        flights = [arrow.arrived - arrow.sent for arrow in self.space.arrows if arrow.arrived is not None]
        usual = median(flights) if flights else 0.0
        for arrow in self.space.arrows:
            with self.brush.mark(self.space.row(arrow)):
                self._arrow(arrow, usual)

    def _arrow(self, arrow: Arrow, usual: float) -> None:
        start, end = self.lines[arrow.source], self.lines[arrow.destination]
        look = ARROWS.get(arrow.kind, OTHER)[0]
        if arrow.arrived is None:
            self._lost(arrow, start, end, usual, look)
            return
        self.brush.axes.add_patch(
            FancyArrowPatch(
                (arrow.sent, start), (arrow.arrived, end), arrowstyle="-|>", mutation_scale=8, shrinkA=0, shrinkB=0,
                zorder=4.2, joinstyle="miter", **look,
            )
        )  # fmt: skip

    def _lost(self, arrow: Arrow, start: float, end: float, usual: float, look: Look) -> None:
        """A stub with a cross, and why."""
        part = _STUB / max(abs(end - start), _STUB)
        x, y = arrow.sent + usual * part, start + (end - start) * part
        self.brush.axes.plot([arrow.sent, x], [start, y], zorder=4.3, **look)
        self.brush.marks([(x, y)], "X", 9, TROUBLE, markeredgecolor="white", markeredgewidth=0.9, zorder=6)

    def _names(self) -> None:
        """Names of requests beside the line that they leave, and reasons of losses, where there is room; those
        that say most first."""
        taken: dict[tuple[str, bool], list[tuple[float, float]]] = {}
        inch = self.space.inch
        for arrow in sorted(self.space.arrows, key=lambda arrow: (-arrow.dullness, arrow.sent)):
            if arrow.kind != "request" and not arrow.lost:
                continue
            down = self.lines[arrow.destination] > self.lines[arrow.source]
            text = self._said(arrow)
            left, wide = arrow.sent, (len(text) * _SIDE + 0.1) * inch
            spans = taken.setdefault((arrow.source, down), [])
            free = all(left + wide <= a or b <= left for a, b in spans)
            if not free or left < self.read.start or left + wide > self.read.end + 0.25 * inch:
                continue
            spans.append((left, left + wide))
            # Clear of a ring around the violated moment.
            left += (
                0.17 * inch if any(abs(ring.start - left) < 0.1 * inch for ring in self.space.rings) else 0
            )
            y = self.lines[arrow.source] + (0.11 if down else -0.11)
            colour = TROUBLE if arrow.lost else BLUE
            words: Look = {"plate": True, "ha": "left", "fontsize": 8, "color": colour, "zorder": 5.4}
            with self.brush.mark(self.space.row(arrow)):
                self.brush.text(left + 0.05 * inch, y, text, **words)

    @staticmethod
    def _said(arrow: Arrow) -> str:
        name = arrow.name or arrow.kind
        if not arrow.lost:
            return name
        reply = " reply" if arrow.kind == "reply" else ""
        return f"{name}{reply}: {_WHY.get(arrow.lost, arrow.lost)}"

    # --- signs

    def _refusals(self) -> None:
        line = self.lines[self.server]
        for bar in self.space.refused:
            with self.brush.mark(self.space.row(bar)):
                self.brush.marks([(bar.start, line)], "s", 11, TROUBLE, markeredgecolor="white", zorder=6)
                self.brush.text(bar.start, line, "R", fontsize=8, weight="bold", color="white", zorder=6.1)
        for bar, row in refusal_rows(self.space)[0]:
            y = self.space.strips[-1].line + 0.18 + row * 0.17
            aligned = "right" if _refusal_span(self.space, bar)[0] < bar.start else "left"
            look: Look = {"ha": aligned, "fontsize": 8.5, "color": TROUBLE, "zorder": 6}
            with self.brush.mark(self.space.row(bar)):
                self.brush.text(bar.start, y, _refusal(bar), **look)

    def _told(self) -> None:
        for bar in self.space.told:
            line = self.lines[bar.band]
            with self.brush.mark(self.space.row(bar)):
                self.brush.marks([(bar.start, line)], "D", 10, BLACK, markeredgecolor="white", zorder=6)
                self.brush.text(bar.start, line, "!", fontsize=8, weight="bold", color="white", zorder=6.1)

    def _violation(self) -> None:
        for ring in self.space.rings[:1]:
            look: Look = {"linestyle": (0, (2, 2)), "linewidth": 1.6, "zorder": 2.8}
            with self.brush.mark(self.space.row(ring)):
                self.brush.line(ring.start, 0, self.space.height, TROUBLE, **look)
        for ring in self.space.rings:
            band = ring.band if ring.band in self.lines else self.server
            look = {"markeredgecolor": TROUBLE, "markeredgewidth": 2.6, "zorder": 7}
            with self.brush.mark(self.space.row(ring)):
                self.brush.marks([(ring.start, self.lines[band])], "o", 24, "none", **look)


def refusal_rows(space: Space) -> tuple[list[tuple[Bar, int]], int]:
    """Refusals with the line under the servers in which their words find room, three at most; how many lines."""
    taken: list[list[tuple[float, float]]] = []
    placed: list[tuple[Bar, int]] = []
    for bar in space.refused:
        left, right = _refusal_span(space, bar)
        row = next(
            (row for row, spans in enumerate(taken) if all(right <= a or b <= left for a, b in spans)),
            len(taken),
        )
        if row >= _MOST_ROWS:
            continue
        if row == len(taken):
            taken.append([])
        taken[row].append((left, right))
        placed.append((bar, row))
    return placed, len(taken)


def _refusal_span(space: Space, bar: Bar) -> tuple[float, float]:
    """From where to where its words reach, with air: to the right of their moment, at the right edge to the left."""
    wide = (len(_refusal(bar)) * _SIDE + 0.2) * space.inch
    over = bar.start + wide > space.read.end + 0.45 * space.inch
    return (bar.start - wide, bar.start) if over else (bar.start, bar.start + wide)


def _refusal(bar: Bar) -> str:
    number = f" #{bar.rank}" if bar.rank else ""
    return f"refused: {bar.band} {bar.outcome}{number} ({bar.label})"
