"""What all pictures have in common: a headline with sentences under it, and an axis of seconds."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..figures import plain

_LINE = 0.21  # inches, of the lines under the title


def head_height(sentences: list[str]) -> float:
    """Inches that the headline and so many lines need."""
    return 0.52 + _LINE * len(sentences)


def headline(picture: Figure, title: str, sentences: list[str]) -> None:
    """The title, made smaller until it fits, and lines below it."""
    width, height = picture.get_size_inches()
    x = 0.12 / width
    size = min(13.5, 13.5 * 8 * width / len(title))
    picture.text(x, 1 - 0.14 / height, plain(title), fontsize=size, weight="bold", va="top")
    for n, line in enumerate(sentences):
        y = 1 - (0.44 + _LINE * n) / height
        picture.text(x, y, plain(line), fontsize=11, color="#333333", va="top")


def seconds_axis(axes: Axes) -> None:
    """Time to the right."""
    axes.set_xlabel("seconds since the start", fontsize=11)
    axes.tick_params(axis="x", labelsize=10.5)
    axes.grid(axis="x", color="#d0d0d0", linewidth=0.6, zorder=0.5)
    axes.spines[["left", "right", "top"]].set_visible(False)
