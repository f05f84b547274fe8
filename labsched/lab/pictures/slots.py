"""`slots(recordings)`: what became of every slot, one row for each recording, side by side.

A bar is an attempt; the thin line before it goes back to the slot that it ran for, so its length is how late it began.
A cross is a slot that was skipped. Ground that is grey had no instance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from matplotlib.axes import Axes

from ...errors import ConfigError
from ..figures import Picture, plain, style
from . import words
from .bars import frame
from .brush import Brush
from .ink import ABSENT, BADGES, BLACK, GREY, MEMBER, TROUBLE, Look
from .page import head_height, headline, seconds_axis

if TYPE_CHECKING:
    from labsched.worlds.recording import Recording

_WIDTH, _LEFT, _RIGHT, _BELOW = 10.0, 1.75, 0.3, 0.6  # inches
_BAR, _GAP, _AIR = 0.2, 0.07, 0.3  # inches: a bar, between two, and between two rows
_DTYPES = {
    "row": "string", "kind": "string", "slot": "float64", "start": "float64", "end": "float64", "outcome": "string",
    "reason": "string", "level": "int64",
}  # fmt: skip


class Fate(msgspec.Struct):
    """One thing drawn. Seconds since the recording began; `level` is the bar's place within its row."""

    row: str
    kind: str  # ran, skipped, nobody
    slot: float | None
    start: float
    end: float
    outcome: str | None = None
    reason: str | None = None
    level: int = 0


def slots(recordings: Mapping[str, Recording], start: float = 0.0, end: float | None = None) -> Picture:
    """What became of the slots between `start` and `end` (seconds), a row for each name and recording.

    `.data` has a row per attempt of a slot (`ran`), per slot skipped (`skipped`, with `reason`) and per time without
    any instance (`nobody`). ConfigError without a recording.
    """
    if not recordings:
        raise ConfigError("slots() needs a recording at least: {'name': recording}")
    until = end if end is not None else max(rec.ended - rec.started for rec in recordings.values())
    fates = [fate for name, rec in recordings.items() for fate in _fates(name, rec) if start <= fate.end]
    fates = [fate for fate in fates if fate.start <= until]
    for name in recordings:
        _stack([fate for fate in fates if fate.row == name and fate.kind == "ran"])
    with style():
        return _drawn(list(recordings), fates, start, until)


def _fates(name: str, rec: Recording) -> Iterator[Fate]:
    last = rec.ended - rec.started
    yield from _nobody(name, rec, last)
    of = dict(zip(rec.executions.execution, rec.executions.slot.astype("float64"), strict=True))
    runs = rec.attempts
    for execution, began, ended, outcome in zip(
        runs.execution, runs.started, runs.ended, runs.outcome, strict=True
    ):
        slot = of.get(execution, math.nan)
        if not math.isnan(slot):
            over = last if math.isnan(ended) else float(ended)
            at = slot / 1000 - rec.started
            yield Fate(name, "ran", at, float(began), over, str(outcome or "RUNNING"))
    for event in rec.history:
        if event.kind == "SKIPPED":
            for slot in _range(event.data):
                at = slot / 1000 - rec.started
                yield Fate(name, "skipped", at, at, at, None, event.data["reason"])


def _range(data: Mapping[str, Any]) -> list[float]:
    """The slots of one event, which names the first, the last and how many: of a period all, else both ends."""
    first, last, count = data["first"], data["last"], data.get("count") or 2
    if first == last:
        return [first]
    return [first + number * (last - first) / (count - 1) for number in range(count)]


def _nobody(name: str, rec: Recording, last: float) -> Iterator[Fate]:
    """From when the last process ended to when the next one was there."""
    there, since = {*rec.snapshot.get("instances", {})}, None
    for event in rec.history:
        at = event.at - rec.started
        if event.kind == "INSTANCE_JOINED":
            if since is not None and not there:
                yield Fate(name, "nobody", None, since, at)
            there.add(str(event.instance))
            since = None
        elif event.kind in ("INSTANCE_LEFT", "INSTANCE_LOST"):
            there.discard(str(event.instance))
            since = at if not there else None
    if since is not None:
        yield Fate(name, "nobody", None, since, last)


def _stack(runs: list[Fate]) -> None:
    """Bars of the same time get levels of their own."""
    free: list[float] = []
    for run in sorted(runs, key=lambda run: (run.start, run.slot or 0)):
        level = next((n for n, since in enumerate(free) if since <= run.start), len(free))
        free[level : level + 1] = [run.end]
        run.level = level


def _drawn(names: list[str], fates: list[Fate], start: float, end: float) -> Picture:
    levels = {name: 1 + max((fate.level for fate in fates if fate.row == name), default=0) for name in names}
    body = sum(_AIR + levels[name] * (_BAR + _GAP) for name in names)
    told = ["bar: a run, the line before it begins at its slot · cross: slot skipped · grey: no instance"]
    signs = [badge for outcome, badge in BADGES.items() if any(fate.outcome == outcome for fate in fates)]
    if signs:
        told.append("at its end: " + " · ".join(f"{badge.sign} {badge.meaning}" for badge in signs))
    above = head_height(told) + 0.1
    height = above + body + _BELOW
    ran, skipped = (sum(fate.kind == kind for fate in fates) for kind in ("ran", "skipped"))
    picture = Picture("slots", (_WIDTH, height), frame(fates, _DTYPES), _alt(names, fates, start, end))
    wide = _WIDTH - _LEFT - _RIGHT
    axes = picture.add_axes((_LEFT / _WIDTH, _BELOW / height, wide / _WIDTH, body / height))
    axes.set(xlim=(start, end), ylim=(body, 0))
    axes.set_yticks([])
    seconds_axis(axes)
    top = 0.0
    for name in names:
        high = _AIR + levels[name] * (_BAR + _GAP)
        _row(
            axes,
            Brush(axes, (end - start) / wide),
            [fate for fate in fates if fate.row == name],
            top,
            high,
            (start, end),
        )
        picture.text(
            (_LEFT - 0.12) / _WIDTH,
            1 - (above + top + high / 2) / height,
            plain(name),
            ha="right",
            va="center",
            fontsize=11,
        )
        top += high
    headline(picture, f"What became of the slots · {words.many(ran, 'run')}, {skipped} skipped", told)
    return picture


def _row(
    axes: Axes, brush: Brush, fates: list[Fate], top: float, high: float, span: tuple[float, float]
) -> None:
    brush.box(*span, top + 0.04, high - 0.08, MEMBER)
    for fate in fates:
        if fate.kind == "nobody":
            brush.box(
                max(fate.start, span[0]), min(fate.end, span[1]), top + 0.04, high - 0.08, ABSENT, zorder=0.4
            )
    for fate in fates:
        y = top + _AIR / 2 + _GAP / 2 + fate.level * (_BAR + _GAP)
        if fate.kind == "ran":
            _run(axes, brush, fate, y)
        elif fate.kind == "skipped":
            brush.marks(
                [(fate.start, y + _BAR / 2)], "x", 8, TROUBLE, markeredgecolor=TROUBLE, markeredgewidth=2.2
            )


def _run(axes: Axes, brush: Brush, fate: Fate, y: float) -> None:
    middle = y + _BAR / 2
    if fate.slot is not None and fate.start - fate.slot > 0.05:
        axes.plot([fate.slot, fate.start], [middle, middle], color=GREY, linewidth=1.2, zorder=2.5)
        brush.line(fate.slot, y + 0.03, y + _BAR - 0.03, GREY, linewidth=1.2, zorder=2.5)
    look: Look = {"facecolor": "#56B4E9", "edgecolor": BLACK, "linewidth": 0.6, "zorder": 3}
    least = 0.07 * brush.inch
    brush.box(fate.start, max(fate.end, fate.start + least), y, _BAR, look)
    badge = BADGES.get(str(fate.outcome))
    if badge is not None:
        brush.badge(fate.end, middle, badge, 11, sign=True)


def _alt(names: list[str], fates: list[Fate], start: float, end: float) -> str:
    told = []
    for name in names:
        mine = [fate for fate in fates if fate.row == name]
        ran = [f"{fate.slot:g}" for fate in mine if fate.kind == "ran"]
        skipped = [f"{fate.slot:g}" for fate in mine if fate.kind == "skipped"]
        told.append(
            f"{name}: ran the slots of {', '.join(ran) or 'none'}; skipped {', '.join(skipped) or 'none'}"
        )
    return f"Slots from {start:g} to {end:g} seconds. {'. '.join(told)}."
