"""Colours, hatches, markers and badges. Nothing is told by colour alone: a task has a hatch and a marker too.

The colours are those of Okabe and Ito, which people with any common colour blindness tell apart; vermilion is
kept for what goes wrong.
"""

from __future__ import annotations

from typing import Any

import msgspec

BLACK, GREY, PALE, ABSENT = "#1a1a1a", "#6b6b6b", "#f4f4f2", "#dedede"
TROUBLE = "#D55E00"  # vermilion
CALM = "#009E73"


class TaskInk(msgspec.Struct, frozen=True):
    """How one task looks: `marker` stands in for runs too short to show a hatch."""

    colour: str
    hatch: str
    marker: str


_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#BBBBBB")
_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "----", "oo", "++", "||||")
_MARKERS = ("o", "s", "^", "D", "p", "v", "P", "h", "X")


def inks(tasks: list[str]) -> dict[str, TaskInk]:
    """An ink for each task, by its place in the alphabet. 63 differ; the next begin again."""
    return {
        task: TaskInk(_COLOURS[n % 7], _HATCHES[(n + n // 7) % 9], _MARKERS[(n + n // 7) % 9])
        for n, task in enumerate(sorted(tasks))
    }


class Badge(msgspec.Struct, frozen=True):
    """A small disc with a sign, at the end of an attempt that did not simply succeed."""

    sign: str
    colour: str
    meaning: str


BADGES = {
    "FAILED": Badge("!", TROUBLE, "failed"),
    "TIMED_OUT": Badge("T", TROUBLE, "timed out"),
    "LOST": Badge("?", BLACK, "lost: its instance fell silent"),
    "CANCELLED": Badge("–", GREY, "cancelled"),
    "RETURNED": Badge("«", GREY, "handed back"),
    "RUNNING": Badge("›", "#0072B2", "still running"),
}

# kind of fault -> marker and colour of its moment, and the word for the legend
MOMENTS: dict[str, tuple[str, str, str]] = {
    "kill": ("X", TROUBLE, "killed (SIGKILL)"),
    "restart": ("^", CALM, "started again"),
    "start": ("^", CALM, "started again"),
    "drain": ("v", GREY, "told to stop (SIGTERM)"),
    "stop": ("v", GREY, "told to stop (SIGTERM)"),
}
# kind of fault -> look of its stretch, and the word for the legend
STRETCHES: dict[str, tuple[dict[str, Any], str]] = {
    "pause": ({"facecolor": "#ece3f0", "hatch": "\\\\", "edgecolor": "#8a6d99"}, "paused: runs no code"),
    "partition": ({"facecolor": "#fbe9dd", "hatch": "xx", "edgecolor": "#c98f66"}, "cut off from the server"),
}
OTHER_STRETCH: dict[str, Any] = {"facecolor": "#eef3dd", "hatch": "..", "edgecolor": "#93a35c"}
SERVER_STRETCH: dict[str, Any] = {"facecolor": "#fbe9dd", "hatch": "//", "edgecolor": TROUBLE}
