"""Exercises of notebook 15: measure a takeover in any recording, and say how long one may last."""

from __future__ import annotations

import functools
from typing import Any

from labsched.config import Settings
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.simulation import Simulation

from ..pictures.timeline import timeline
from .answers import rebuilt
from .grading import Grader, Verdict

# --- 15-takeover


@functools.cache
def _runs() -> tuple[tuple[str, Recording], ...]:
    """Recordings to measure, and what is special about each."""
    made: list[tuple[str, Recording]] = []

    def run(about: str, seed: int, deeds: Any, until: float = 16) -> None:
        with Simulation(3, seed=seed, messages=False) as sim:
            sim.run(until=0.5)
            leader = sim.leader or "i1"
            deeds(sim, leader, next(name for name in sim.names if name != leader))
            made.append((about, sim.run(until=until)))

    run("the leader is killed", 1, lambda sim, leader, other: sim.at(6).kill(leader))
    run(
        "a follower is killed first", 2, lambda sim, leader, other: sim.at(3).kill(other).at(7.3).kill(leader)
    )
    run("only a follower is killed", 3, lambda sim, leader, other: sim.at(4).kill(other))
    run("nobody follows", 4, lambda sim, leader, other: sim.at(14).kill(leader))
    run("the first leader steps down, the second is killed", 5,
        lambda sim, leader, other: sim.at(3).terminate(leader).at(8.1).kill("leader"))  # fmt: skip
    run("the leader is paused first", 6,
        lambda sim, leader, other: sim.at(2).pause(other).at(2.5).resume(other).at(9).kill(leader))  # fmt: skip
    return tuple(made)


def measured(rec: Recording) -> float | None:
    """The reference for `takeover`."""
    for kill in rec.faults[rec.faults.kind == "kill"].itertuples():
        before = rec.leaders[rec.leaders.elected < kill.t]
        after = rec.leaders[rec.leaders.elected > kill.t]
        if len(before) and before.instance.iloc[-1] == kill.target and len(after):
            return float(after.elected.iloc[0] - kill.t)
    return None


def takeover(answer: Any) -> Verdict:
    """`takeover(rec)`: seconds from the kill of the leader to the next election; None when there is no such thing."""
    function = rebuilt(answer)
    for about, rec in _runs():
        said, true = function(rec), measured(rec)
        if said is not None and (isinstance(said, bool) or not hasattr(said, "__float__")):
            return Verdict(False, f"{about}: yours returns {said!r}, neither seconds nor None")
        if (said is None) != (true is None) or (said is not None and abs(float(said) - (true or 0)) > 0.02):
            told = "None" if said is None else f"{float(said):.2f} s"
            wanted = "there is none: None" if true is None else f"it is {true:.2f} s"
            return Verdict(False, f"{about}: yours says {told}, {wanted}", "measured-right", timeline(rec))
    return Verdict(
        True, f"{len(_runs())} recordings, with and without a takeover, measured as the events say"
    )


# --- 15-bound

TRIALS = (  # leader_lease, leader_retry, instance_lease, heartbeat, sweep
    (5.0, 1.0, 4.0, 1.0, 1.0),
    (2.0, 0.4, 6.0, 1.0, 2.0),
    (8.0, 1.0, 2.0, 0.5, 0.5),
)
KILLS = 6  # each trial is killed at so many moments between two renewals
NAMED = ("leader_lease", "leader_retry", "instance_lease")
SPARE = 1.25  # times the longest that can happen: a bound above is no bound


def _settings(leader: float, retry: float, instance: float, heartbeat: float, sweep: float) -> Settings:
    return Settings(
        leader_lease=leader, leader_renew_deadline=leader * 0.6, leader_retry=retry, instance_lease=instance,
        heartbeat_every=heartbeat, lease_margin=instance / 4, cancel_grace=instance / 10, sweep_every=sweep,
    )  # fmt: skip


@functools.cache
def _longest(number: int) -> float:
    """The longest takeover of that trial, seconds."""
    settings, found = _settings(*TRIALS[number]), 0.0
    for n in range(KILLS):
        at = settings.leader_lease + n * settings.leader_retry / KILLS
        with Simulation(3, seed=n, settings=settings, messages=False) as sim:
            rec = sim.at(at).kill("leader").run(until=at + 2 * settings.leader_lease)
        found = max(found, measured(rec) or float("inf"))
    return found


def bound(answer: Any) -> Verdict:
    """`longest(settings)`: seconds after which somebody leads again, whenever the leader is killed."""
    function = rebuilt(answer)
    for number, trial in enumerate(TRIALS):
        settings, seen = _settings(*trial), _longest(number)
        said = function(settings)
        told = ", ".join(f"{name} {getattr(settings, name):g} s" for name in NAMED)
        if isinstance(said, bool) or not isinstance(said, int | float):
            return Verdict(False, f"yours returns {said!r}, not seconds")
        if said < seen - 0.05:
            return Verdict(
                False,
                f"{told}: yours promises {said:g} s, and a takeover took {seen:.1f} s",
                "bounded-recovery",
            )
        if said > settings.leader_lease * SPARE:
            sentence = f"{told}: yours allows {said:g} s; nothing near that ever happens, the longest was {seen:.1f} s"
            return Verdict(False, sentence, "no-slack")
    return Verdict(
        True, f"no takeover of {len(TRIALS) * KILLS} took longer, and none could have taken much less"
    )


GRADERS: dict[str, Grader] = {"15-takeover": takeover, "15-bound": bound}
