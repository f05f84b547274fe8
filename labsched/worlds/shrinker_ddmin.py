"""ddmin: the smallest part of a list that still fails.

Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE TSE 28(2), 2002. The shrinker of
hypothesis is stronger, but shrinks only what its own strategies have drawn: it cannot start from a given run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def ddmin(items: Sequence[T], fails: Callable[[list[T]], bool], *, least: int = 0) -> list[T]:
    """Items of which none can be left out, in their order, such that `fails` says True. `items` itself fails.

    At least `least` stay. `fails` is asked O(n) times when few of them matter, O(n^2) at worst.
    """
    kept = list(items)
    if not least and kept and fails([]):
        return []
    parts = 2
    while len(kept) > max(least, 1):
        smaller = _first_smaller(kept, parts, fails, least)
        if smaller is not None:
            kept, parts = smaller, max(parts - 1, 2)
        elif parts >= len(kept):
            break
        else:
            parts = min(2 * parts, len(kept))
    return kept


def _first_smaller(kept: list[T], parts: int, fails: Callable[[list[T]], bool], least: int) -> list[T] | None:
    cuts = [round(i * len(kept) / parts) for i in range(parts + 1)]
    # Late faults matter less often than early ones, so they are tried first.
    for start, end in reversed(list(itertools.pairwise(cuts))):
        rest = kept[:start] + kept[end:]
        if start < end and max(least, 1) <= len(rest) and fails(rest):
            return rest
    return None
