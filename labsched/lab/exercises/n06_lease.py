"""The exercise "06-lease": how long may a holder be sure? Judged against a rival who asks without end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from labsched.worlds.simulated.guest import Machine
from labsched.worlds.simulated.simulation import Simulation

from .grading import Verdict
from .guests import Learner, Stopped

SECONDS = 4.0
POLL = 0.02  # seconds between two questions of the rival
USEFUL = 0.7  # of the lease, on a quick network
BEGIN = 1.0


class _Case(NamedTuple):
    """`about` machine a; `rival` has the lock first when it is True."""

    about: str
    plan: Callable[[Simulation], Any]
    name: str = "nightly"
    useful: bool = True


_CASES = (
    _Case("its clock is right", lambda sim: None),
    _Case("its clock is an hour ahead", lambda sim: sim.skew("a", 3600), "lock:{7}/x"),
    _Case("its clock jumps back by an hour", lambda sim: sim.at(3).skew("a", -3600)),
    _Case("each of its messages takes 0.6 s longer", lambda sim: sim.at(0.5).slow("a", 0.6), "slow", False),
    _Case("its clock runs 5 % slow", lambda sim: sim.skew("a", 0, drift=-0.05)),
)


@dataclass
class _Told:
    """What happened, in true seconds."""

    deadlines: list[float | None] = field(default_factory=list)
    asked: float = 0.0
    steady: float = 0.0  # the machine's monotonic clock when it asked
    sure_until: float = 0.0
    rival_got: float | None = None


def judge_lease(answer: Any) -> Verdict:
    """`await take(machine, name, seconds)` -> None, or until when (machine.monotonic()) the caller may be sure."""
    learner = Learner(answer)
    for case in _CASES:
        verdict = _verdict(_run(learner, case), case)
        if verdict is not None:
            return verdict
    return _contended(learner) or Verdict(
        True, f"sure for most of the lease and never beyond it, in {len(_CASES)} situations"
    )


def _run(learner: Learner, case: _Case) -> _Told:
    told = _Told()
    with Simulation(0, seed=5, messages=False) as sim:

        async def holder(machine: Machine) -> None:
            await machine.redis.ping()  # to open a connection is no part of asking
            await machine.sleep(BEGIN)
            told.asked, told.steady = sim.time, machine.monotonic()
            try:
                until = await learner.copy()(machine, case.name, SECONDS)
            except Stopped:
                return
            told.deadlines.append(until)
            while isinstance(until, (int, float)) and until < told.steady + 3 * SECONDS:
                left = until - machine.monotonic()
                if left <= 0:
                    break
                await machine.sleep(left)
            told.sure_until = sim.time

        async def rival(machine: Machine) -> None:
            redis: Any = machine.redis
            await machine.sleep(BEGIN + 1.5)
            while not await redis.set(case.name, "rival", nx=True, px=60_000):
                await machine.sleep(POLL)
            told.rival_got = sim.time

        sim.guest("a", holder)
        sim.guest("b", rival)
        case.plan(sim)
        learner.run(sim, BEGIN + 3 * SECONDS)
    return told


def _verdict(told: _Told, case: _Case) -> Verdict | None:
    until = told.deadlines[0] if told.deadlines else None
    if until is None:
        return Verdict(False, "nobody ever gets it: alone, take said None", "never-stuck")
    if isinstance(until, bool) or not isinstance(until, (int, float)):
        return Verdict(False, f"it has to return None or seconds of machine.monotonic(), not {until!r}")
    told_it = f"a asked at {told.asked:.1f} s for {SECONDS:g} s ({case.about})"
    if until > told.steady + 2 * SECONDS:
        sentence = f"{told_it} and may be sure for more than {2 * SECONDS:g} s: is that the wall clock?"
        return Verdict(False, sentence, "one-holder")
    if told.rival_got is None:
        late = told.asked + 2 * SECONDS
        return Verdict(False, f"{told_it}; at {late:.0f} s the lock was still not free", "never-stuck")
    if told.rival_got < told.sure_until - 1e-6:
        sentence = (
            f"{told_it} and was sure until {told.sure_until:.2f} s; b got the lock at {told.rival_got:.2f} s"
        )
        return Verdict(False, sentence, "one-holder")
    if case.useful and told.sure_until - told.asked < USEFUL * SECONDS:
        sentence = (
            f"{told_it} and was sure for {told.sure_until - told.asked:.1f} s only: nobody could work in that"
        )
        return Verdict(False, sentence, "useful")
    return None


def _contended(learner: Learner) -> Verdict | None:
    """b has it for 5 s; a asks meanwhile, and again afterwards."""
    got: list[Any] = []
    with Simulation(0, seed=6, messages=False) as sim:

        async def late(machine: Machine) -> None:
            try:
                for moment in (2.0, 7.0):
                    await machine.sleep(moment - sim.time)
                    got.append(await learner.copy()(machine, "shared", SECONDS))
            except Stopped:
                return

        async def first(machine: Machine) -> None:
            await machine.redis.set("shared", "b", nx=True, px=5_000)

        sim.guest("b", first)
        sim.guest("a", late)
        learner.run(sim, 9.0)
    if got[0] is not None:
        return Verdict(
            False, "b had taken the lock for 5 s; 2 s later a was told that it had it too", "one-holder"
        )
    if got[1] is None:
        return Verdict(False, "b's lock ended after 5 s; 2 s later a still did not get it", "never-stuck")
    return None
