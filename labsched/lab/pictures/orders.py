"""Orders of two clients' steps, as a lattice draws them, and in words. No ink here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import msgspec

from ...errors import ConfigError
from . import words

_STEPS = re.compile(r"([A-Z])(!?)|~")


class Path(msgspec.Struct, kw_only=True):
    """One order: `AABB`; `A!` when A died after that step, `~` where time passed."""

    order: str
    bad: bool
    why: str = ""
    shortest: bool = False
    steps: int = 0

    @property
    def points(self) -> list[tuple[int, int]]:
        """The corners that it walks through, from (0, 0) on."""
        found = [(0, 0)]
        for step in _STEPS.finditer(self.order):
            a, b = found[-1]
            if step[1]:
                found.append((a + (step[1] == "A"), b + (step[1] == "B")))
        return found

    @property
    def signs(self) -> list[tuple[tuple[int, int], str]]:
        """Where a client died, or time passed."""
        at, found = (0, 0), []
        for step in _STEPS.finditer(self.order):
            if step[1]:
                at = (at[0] + (step[1] == "A"), at[1] + (step[1] == "B"))
            if step[2] or not step[1]:
                found.append((at, "died" if step[2] else "time"))
        return found


def paths(explored: Any) -> list[Path]:
    table = getattr(explored, "orders", None)
    pairs: Iterable[tuple[str, Any]] = explored if table is None else zip(table.order, table.why, strict=True)
    paths = []
    for order, bad in pairs:
        if re.sub(r"[AB]!?|~", "", order):
            raise ConfigError(f"a lattice shows the orders of two clients, A and B; {order!r} is none")
        count = sum(letter in "AB" for letter in order)
        paths.append(Path(order=order, bad=bool(bad), why=bad if isinstance(bad, str) else "", steps=count))
    if not paths:
        raise ConfigError("nothing was explored: there is no order to draw")
    given = getattr(getattr(explored, "shortest", None), "order", None)
    bad_ones = [path for path in paths if path.bad and given in (None, path.order)]
    if bad_ones:
        min(bad_ones, key=lambda path: (path.steps, _changes(path.order), path.order)).shortest = True
    return paths


def _changes(order: str) -> int:
    letters = [letter for letter in order if letter in "AB"]
    return sum(before != after for before, after in pairwise(letters))


def named(explored: Any) -> dict[str, list[str]]:
    """The steps of the shortest bad order, by client."""
    found: dict[str, list[str]] = {}
    for step in getattr(getattr(explored, "shortest", None), "steps", ()):
        found.setdefault(step.who, []).append(step.what)
    return found


def title(paths: list[Path]) -> str:
    bad = sum(path.bad for path in paths)
    if not bad:
        return (
            f"All {words.many(len(paths), 'order')} are good" if len(paths) > 1 else "The only order is good"
        )
    return f"{bad:,} of {words.many(len(paths), 'order')} {'is' if bad == 1 else 'are'} bad"


def story(paths: list[Path], shortest: Path | None) -> list[str]:
    told = ["A's steps lead to the right, B's down: each path is one order"]
    if shortest is not None:
        why = f": {shortest.why}" if shortest.why else ""
        told += words.wrapped(f"shortest bad one: {_spelled(shortest.order)}{why}", 88)
    return told


def _spelled(order: str) -> str:
    """`A, B, B, A`, for eyes and for a voice."""
    said = {"~": "time passes"}
    return ", ".join(
        f"{step[1]} dies" if step[2] else said.get(step[0], step[0]) for step in _STEPS.finditer(order)
    )


def alt(paths: list[Path], shortest: Path | None) -> str:
    told = f"Lattice of the interleavings of two clients, A to the right and B down. {title(paths)}."
    if shortest is None:
        return told
    why = f" ({shortest.why})" if shortest.why else ""
    return f"{told} The shortest bad order is {_spelled(shortest.order)}{why}."
