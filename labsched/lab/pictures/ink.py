"""Colours, hatches, markers and badges. Nothing is told by colour alone: a task has a hatch and a marker too.

The colours are those of Okabe and Ito, which people with any common colour blindness tell apart; vermilion is
kept for what goes wrong.
"""

from __future__ import annotations

from typing import Any

import msgspec

Look = dict[str, Any]

BLACK, GREY = "#1a1a1a", "#6b6b6b"
TROUBLE, CALM, BLUE = "#D55E00", "#009E73", "#0072B2"  # vermilion, bluish green, blue


class TaskInk(msgspec.Struct, frozen=True):
    """How one task looks: `marker` stands in for runs too short to show a hatch."""

    colour: str
    hatch: str
    marker: str


_COLOURS = ("#56B4E9", "#E69F00", CALM, "#CC79A7", "#F0E442", BLUE, "#BBBBBB")
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
    "RUNNING": Badge("›", BLUE, "still running"),
}

# The ground of an instance's lane: no such member, and a member.
ABSENT: Look = {"facecolor": "#dedede", "edgecolor": "none", "zorder": 0.2}
MEMBER: Look = {"facecolor": "#f4f4f2", "edgecolor": "none", "zorder": 0.3}

LEADS: Look = {"facecolor": "#3d3d3d", "edgecolor": BLACK, "zorder": 3}
LEADS_STRIP: Look = {"facecolor": "#3d3d3d", "edgecolor": "none", "zorder": 2}
LOCKED: Look = {"facecolor": "#8c8c8c", "edgecolor": BLACK, "linewidth": 0.6, "zorder": 3}
LEASE: Look = {"facecolor": "#bfe3d5", "edgecolor": CALM, "linewidth": 0.6, "zorder": 3}
LEASE_MARGIN: Look = {"facecolor": "white", "edgecolor": CALM, "hatch": "||||", "linewidth": 0.6, "zorder": 3}
REST: Look = {"facecolor": "white", "edgecolor": BLACK, "linewidth": 0.6, "linestyle": ":", "zorder": 3}
RUNS_OUT: Look = {"facecolor": "white", "edgecolor": "#888888", "hatch": "////", "zorder": 3}
UNKNOWN: Look = {"facecolor": "white", "linestyle": "--", "linewidth": 1.4, "zorder": 2.9}
RING: Look = {"facecolor": "none", "edgecolor": TROUBLE, "linewidth": 2.2}
ON_WHITE: Look = {"facecolor": "white", "alpha": 0.88, "edgecolor": "none", "pad": 1.0}

# kind of fault -> marker and colour of its moment, and the word for the legend
MOMENTS: dict[str, tuple[str, str, str]] = {
    "kill": ("X", TROUBLE, "killed (SIGKILL)"),
    "restart": ("^", CALM, "started again"),
    "start": ("^", CALM, "started again"),
    "drain": ("v", GREY, "told to stop (SIGTERM)"),
    "stop": ("v", GREY, "told to stop (SIGTERM)"),
}
# kind of fault -> look of its stretch, and the word for the legend
STRETCHES: dict[str, tuple[Look, str]] = {
    "pause": ({"facecolor": "#ece3f0", "hatch": "\\\\", "edgecolor": "#8a6d99"}, "paused: runs no code"),
    "partition": ({"facecolor": "#fbe9dd", "hatch": "xx", "edgecolor": "#c98f66"}, "cut off from the server"),
}
OTHER_STRETCH: Look = {"facecolor": "#eef3dd", "hatch": "..", "edgecolor": "#93a35c"}
SERVER_STRETCH: Look = {"facecolor": "#fbe9dd", "hatch": "//", "edgecolor": TROUBLE, "alpha": 0.5}
