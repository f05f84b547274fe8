"""Followers that wait for a leader's lease to end: a small model of notebook 12, in which only their waiting differs.

The leader renews its lease each second. A follower that asks is told how long that lease still lasts, and decides
when to ask again. Whoever asks first after its end leads. Nothing else is in it, so thousands of asks cost little.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

LEASE, RENEWAL = 5.0, 1.0  # seconds
DEATHS = (20.0, 40.0)  # when the leader dies, and when its successor does
UNTIL, SETTLED = 55.0, 8.0
MOST_ASKS = 60_000
Waiting = Callable[[float, random.Random], float]


class Wrong(ValueError):
    """What the function returned is no time to wait."""


class TooMany(Wrong):
    """It asks and asks."""


@dataclass
class Told:
    """What happened: when asks came, and for how long nobody led after each lease's end."""

    asks: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)

    def per_second(self) -> float:
        """Asks per second while all is well."""
        return sum(SETTLED <= t < DEATHS[0] for t in self.asks) / (DEATHS[0] - SETTLED)

    def peak(self) -> tuple[int, float]:
        """The most asks within 0.1 s, and when that was; what came before everybody had settled does not count."""
        bins = Counter(int(t * 10) for t in self.asks if t >= SETTLED)
        if not bins:
            return 0, 0.0
        found = max(bins, key=lambda b: (bins[b], -b))
        return bins[found], found / 10


def herd(waiting: Waiting, followers: int, seed: int = 1) -> Told:
    """`followers` that start within one lease; the leader dies twice. Raises Wrong for what is no time to wait."""
    told, luck = Told(), random.Random(f"herd {seed}")
    own = [random.Random(f"follower {seed} {n}") for n in range(followers)]
    queue = [(luck.uniform(0, LEASE), n) for n in range(followers)]
    heapq.heapify(queue)
    reign, deaths = 0.0, list(DEATHS)
    leads: int | None = None  # the first leader is none of the followers
    while queue and queue[0][0] < UNTIL:
        t, who = heapq.heappop(queue)
        if who == leads:
            continue
        told.asks.append(t)
        if len(told.asks) > MOST_ASKS:
            raise TooMany(f"{followers} followers asked more than {MOST_ASKS:,} times within {t:.1f} s")
        end = _lease_end(reign, t, deaths)
        if t < end:
            heapq.heappush(queue, (t + _checked(waiting(end - t, own[who])), who))
            continue
        told.gaps.append(t - end)
        deaths = deaths[1:]
        reign, leads = t, who
    return told


def _lease_end(reign: float, t: float, deaths: list[float]) -> float:
    """When the lease ends that the present leader has at `t`: a lease after its last renewal."""
    last = min(t, deaths[0]) if deaths else t
    return reign + math.floor((last - reign) / RENEWAL) * RENEWAL + LEASE


def _checked(wait: float) -> float:
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not math.isfinite(wait) or wait < 0:
        raise Wrong(f"it returned {wait!r}: a number of seconds from 0 is needed")
    return wait
