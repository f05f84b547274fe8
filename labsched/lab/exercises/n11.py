"""Graders of notebook 11: bounds that hold and are no wider than they must be, timings within three limits, and a
detector that learns what silence means on each link.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from labsched import Settings, lab
from labsched.errors import ConfigError

from .answers import rebuilt
from .grading import Grader, Verdict
from .n11_links import LINKS, alarm, noticed
from .n11_world import false_alarms, killed, recovery, requests, standstills

# --- when is the work taken up?

# heartbeat, lease, leader retry, leader lease: the instance's lease decides, the leader's, and neither alone
TIMINGS = ((1.0, 4.0, 0.5, 2.0), (0.4, 1.5, 0.5, 3.0), (1.5, 4.0, 0.2, 3.5), (0.5, 3.0, 1.0, 3.2))
SLACK = 0.1  # seconds: the rounds of a renewal and of a recovery


def bounds(answer: Any) -> Verdict:
    """`bounds(heartbeat, lease, retry, leader_lease)`: the soonest and the latest, in seconds after the leader died."""
    for given in TIMINGS:
        said = rebuilt(answer)(*given)
        if not _is_pair(said):
            return Verdict(
                False, f"for {_named(given)} it returned {said!r}, not two numbers, the smaller one first"
            )
        verdict = _bounded(given, float(said[0]), float(said[1]))
        if verdict is not None:
            return verdict
    return Verdict(
        True, "every kill was recovered between your two bounds, and neither could be tighter by much"
    )


def _is_pair(said: Any) -> bool:
    numbers = (
        isinstance(said, tuple | list) and len(said) == 2 and all(isinstance(x, int | float) for x in said)
    )
    return numbers and said[0] <= said[1]


def _named(given: tuple[float, ...]) -> str:
    heartbeat, lease, retry, leader_lease = given
    return (
        f"heartbeat {heartbeat:g} s, lease {lease:g} s, retry {retry:g} s, leader's lease {leader_lease:g} s"
    )


@functools.cache
def _seen(given: tuple[float, ...]) -> tuple[float, ...]:
    """How long recovery took, in some runs with these timings whose leader was killed."""
    heartbeat, lease, retry, leader_lease = given
    settings = Settings(
        heartbeat_every=heartbeat, instance_lease=lease, lease_margin=lease / 4, cancel_grace=lease / 20,
        leader_retry=retry, leader_lease=leader_lease, leader_renew_deadline=0.7 * leader_lease, request_timeout=0.5,
    )  # fmt: skip
    return tuple(recovery(killed(settings, seed)) for seed in range(5))


def _bounded(given: tuple[float, ...], soonest: float, latest: float) -> Verdict | None:
    seen, case = _seen(given), _named(given)
    if max(seen) > latest + SLACK:
        sentence = f"with {case}, a leader's work was taken up {max(seen):.2f} s after its death"
        return Verdict(False, f"{sentence}; you said {latest:.2f} s at the latest", "bounded-recovery")
    if min(seen) < soonest - SLACK:
        sentence = f"with {case}, a leader's work was taken up {min(seen):.2f} s after its death"
        return Verdict(False, f"{sentence}; you said {soonest:.2f} s at the soonest", "bounded-recovery")
    heartbeat, lease, retry, leader_lease = given
    true = max(lease - heartbeat, leader_lease - retry), max(lease, leader_lease)
    if latest > 1.2 * true[1]:
        return Verdict(
            False, f"with {case}, {latest:.2f} s is never needed: your latest could be lower", "too-wide"
        )
    if soonest < true[0] - 0.2 * true[1]:
        return Verdict(
            False, f"with {case}, {soonest:.2f} s is never reached: your soonest could be higher", "too-wide"
        )
    return None


# --- timings within three limits

P95, STANDSTILL, BUDGET = 2.8, 1.2, 10.0  # seconds, seconds, requests per second
KILLS = 30


def budget(answer: Any) -> Verdict:
    """A dict of Settings: quick enough, patient enough, cheap enough."""
    try:
        settings = Settings(**answer)
    except (ConfigError, TypeError) as error:
        return Verdict(False, f"these are no settings: {error}")
    # What refuses soonest comes first: patience takes the longest run.
    refused = _costs(settings) or _slow(settings, 4) or _patient(settings) or _slow(settings, KILLS)
    said = f"19 of 20 kills are recovered within {P95:g} s, standstills are forgiven, the budget is kept"
    return refused or Verdict(True, said)


def _costs(settings: Settings) -> Verdict | None:
    found = requests(killed(settings, 101, wait=0.1))
    sentence = f"three instances send {found:.1f} requests per second, allowed are {BUDGET:g}"
    return Verdict(False, sentence, "within-budget") if found > BUDGET else None


def _patient(settings: Settings) -> Verdict | None:
    rec = standstills(settings, STANDSTILL, 102)
    if not false_alarms(rec):
        return None
    first = next(event for event in rec.history if event.kind == "LOST")
    when = first.at - rec.started
    sentence = (
        f"at {when:.1f} s work was taken from {first.instance}, which only stood still for {STANDSTILL:g} s"
    )
    return Verdict(
        False, sentence, "no-false-alarm", lab.timeline(rec, start=max(0.0, when - 4), end=when + 3)
    )


def _slow(settings: Settings, kills: int) -> Verdict | None:
    """Refused when more than one in twenty took too long; the 95th percentile of 30 is the second highest."""
    took = []
    for seed in range(kills):
        rec = killed(settings, 200 + seed, wait=1.3 * P95)
        took.append(recovery(rec))
        if sum(each > P95 for each in took) > 1:
            said = f"{max(took):.1f} s" if max(took) < math.inf else f"more than {1.3 * P95:.1f} s"
            sentence = f"after 2 of {len(took)} kills the work lay longer than {P95:g} s, once for {said}"
            return Verdict(False, sentence, "bounded-recovery", lab.timeline(rec))
    return None


# --- a detector that learns


def suspect(answer: Any) -> Verdict:
    """`suspect(gaps, silence)`: whether to give up, after what was seen on this link."""
    detector = rebuilt(answer)
    for link in LINKS:
        for seed in range(3):
            found = noticed(detector, link, seed)
            if found is None or found > link.limit:
                said = "never" if found is None else f"only after {found:.1f} s"
                sentence = f"{link.name}: a death is noticed {said}, and {link.limit:g} s were possible"
                return Verdict(False, sentence, "bounded-recovery")
    for link in LINKS:
        for seed in range(2):
            found_alarm = alarm(detector, link, seed, 400)
            if found_alarm is not None:
                seen, silence = found_alarm
                sentence = (
                    f"{link.name}: given up after {silence:.2f} s of silence, though it lived"
                    f" (of the {len(seen)} gaps before, the longest was {max(seen):.2f} s)"
                )
                return Verdict(False, sentence, "no-false-alarm")
    return Verdict(True, "no false alarm in 3,200 heartbeats on four links, and every death noticed in time")


GRADERS: dict[str, Grader] = {"11-bounds": bounds, "11-budget": budget, "11-suspect": suspect}
