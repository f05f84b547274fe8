"""Pictures: matplotlib figures that show themselves in a notebook, say what they drew, and keep pyplot out.

pyplot holds figures in a global list and picks a backend for the whole process; a picture here is an object
like any other, so it may be drawn in a thread, a test or a command line.
"""

from __future__ import annotations

import contextlib
import html
import io
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    import pandas as pd

DPI = 110
shown_at = DPI  # see projector.py
# What a user's matplotlibrc or a dark style must not change: pictures bring their own white ground.
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.color": "black",
    "text.usetex": False,
    "axes.edgecolor": "black",
    "axes.labelcolor": "black",
    "axes.facecolor": "white",
    "xtick.color": "black",
    "ytick.color": "black",
    "hatch.linewidth": 0.7,
    "path.sketch": None,
}

IN_WORDS = "<details><summary>in words</summary><p>{}</p></details>"


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The look of all pictures; also needed while one is rendered, for matplotlib reads some of it late."""
    with matplotlib.rc_context(STYLE):
        yield


def plain(text: str) -> str:
    """The text with no part of it taken for mathematics, as matplotlib does between two dollar signs."""
    return text.replace("$", r"\$")


class Picture(Figure):
    """A figure with `.data`, the frame of what it drew, and `.alt`, the same in sentences.

    The last value of a notebook cell is shown as a PNG with that alternative text, and the text folded up below it:
    JupyterLab and Notebook give an image no alternative text, whatever its metadata say. `savefig(path)` writes
    PNG, SVG or PDF; a PNG carries the text too. The same data gives the same bytes.
    """

    data: pd.DataFrame
    alt: str

    def __init__(self, kind: str, size: tuple[float, float], data: pd.DataFrame, alt: str) -> None:
        super().__init__(figsize=size, dpi=DPI, facecolor="white", edgecolor="white")
        FigureCanvasAgg(self)
        self.kind, self.data, self.alt = kind, data, alt

    def __repr__(self) -> str:
        # Matplotlib's own repr names a size in pixels, which says nothing, and hides the picture's subject.
        return f"<{self.kind}: {textwrap.shorten(self.alt, 100, placeholder=' …')}>"

    __str__ = __repr__

    def png(self) -> bytes:
        """The picture as a PNG file."""
        out = io.BytesIO()
        self.savefig(out, format="png")
        return out.getvalue()

    def savefig(self, fname: Any, **options: Any) -> None:
        """matplotlib's `savefig`, on white, without the date and version that would change the bytes."""
        name = str(options.get("format") or fname).lower()
        if name.endswith("png"):
            options.setdefault("metadata", {"Software": None, "Description": self.alt})
        elif name.endswith(("svg", "pdf")):
            when = "Date" if name.endswith("svg") else "CreationDate"
            options.setdefault("metadata", {when: None})
        with style(), matplotlib.rc_context({"svg.hashsalt": "labsched"}):
            super().savefig(fname, **{"facecolor": "white", "dpi": shown_at, **options})

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return self.png(), {"alt": self.alt}

    def _ipython_display_(self) -> None:
        from IPython.display import display

        png, about = self._repr_png_()
        display({"image/png": png, "text/plain": repr(self)}, raw=True, metadata={"image/png": about})  # type: ignore[no-untyped-call]
        display({"text/html": IN_WORDS.format(html.escape(self.alt)), "text/plain": self.alt}, raw=True)  # type: ignore[no-untyped-call]
