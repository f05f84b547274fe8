"""Links on which heartbeats arrive, for the detector of notebook 11: what was seen between two of them, in seconds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MEMORY = 50  # gaps that a detector is shown
FIRST = 20  # gaps seen before it is asked for the first time
LOOK_EVERY = 0.02  # of the period: how often it is asked during a gap
Detector = Callable[[Sequence[float], float], object]


@dataclass(frozen=True)
class Link:
    """`gap(luck)` draws the time to the next heartbeat; within `limit` seconds of silence death has to be noticed."""

    name: str
    period: float
    limit: float
    gap: Callable[[random.Random], float]


def _steady(luck: random.Random) -> float:
    return luck.uniform(0.98, 1.02)


def _wobbly(luck: random.Random) -> float:
    return 0.7 + luck.expovariate(1 / 0.3)


def _lossy(luck: random.Random) -> float:
    """One heartbeat in twenty is lost."""
    gap = luck.uniform(0.95, 1.05)
    while luck.random() < 0.05:
        gap += luck.uniform(0.95, 1.05)
    return gap


def _far(luck: random.Random) -> float:
    return 8 + luck.uniform(-0.5, 0.5)


LINKS = (
    Link("a steady link, a heartbeat each second", 1.0, 4.0, _steady),
    Link("a link that wobbles by some tenths of a second", 1.0, 10.0, _wobbly),
    Link("a link that loses one heartbeat in twenty", 1.0, 12.0, _lossy),
    Link("a far instance, a heartbeat every 8 s", 8.0, 30.0, _far),
)


def alarm(detector: Detector, link: Link, seed: int, heartbeats: int) -> tuple[list[float], float] | None:
    """The first false alarm: the gaps that it had seen, and the silence at which it cried though the next
    heartbeat was on its way; None when there was none."""
    luck = random.Random(f"{link.name} {seed}")
    gaps = [link.gap(luck) for _ in range(FIRST)]
    for _ in range(heartbeats):
        coming, seen = link.gap(luck), gaps[-MEMORY:]
        # A detector that cries at some silence cries at a longer one too: the last look before the heartbeat decides.
        if detector(tuple(seen), coming):
            return seen, coming
        gaps.append(coming)
    return None


def noticed(detector: Detector, link: Link, seed: int) -> float | None:
    """After how many seconds of silence it notices a death; None when not within twice the limit."""
    luck = random.Random(f"{link.name} dies {seed}")
    seen = tuple(link.gap(luck) for _ in range(MEMORY))
    silence, step = 0.0, LOOK_EVERY * link.period
    while silence < 2 * link.limit:
        silence += step
        if detector(seen, silence):
            return silence
    return None
