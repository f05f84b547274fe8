"""Exercises of notebook 06: which design survives which clock, a lease that lies to nobody, the time of a server."""

from __future__ import annotations

from typing import Any, NamedTuple

from labsched.worlds.simulated.clocks import EPOCH
from labsched.worlds.simulated.errors import Spinning
from labsched.worlds.simulated.guest import Machine
from labsched.worlds.simulated.network import Latency, Uniform
from labsched.worlds.simulated.simulation import Simulation

from .grading import Grader, Verdict
from .guests import Learner, Misuse, Stopped
from .n06_designs import DESIGNS, FAULTS, trial
from .n06_lease import judge_lease


def _tidy(grade: Grader) -> Grader:
    """What the learner's code may not do is a verdict of its own."""

    def judged(answer: Any) -> Verdict:
        try:
            return grade(answer)
        except Misuse as misuse:
            return Verdict(False, str(misuse))
        except Spinning:
            return Verdict(False, "your code runs on and on without letting time pass")

    return judged


ROWS = [fault for fault in FAULTS if fault != "none"]


def grade_matrix(answer: Any) -> Verdict:
    """`{design: [faults that it survives]}`, each cell tried. Names the first wrong one."""
    if not isinstance(answer, dict) or set(answer) != set(DESIGNS):
        return Verdict(False, f"name each of {', '.join(DESIGNS)} once, with the faults that it survives")
    unknown = [fault for faults in answer.values() for fault in faults if fault not in ROWS]
    if unknown:
        return Verdict(False, f"{unknown[0]!r} is no fault here; there are {', '.join(ROWS)}")
    from ..pictures.beliefs import beliefs

    for design in DESIGNS:
        for fault in ROWS:
            tried = trial(design, fault)
            if tried.held != (fault in answer[design]):
                guarantee = "no-false-alarm" if tried.held else "one-holder"
                return Verdict(False, f"{tried!r}, and you say otherwise", guarantee, beliefs([tried]))
    return Verdict(True, f"{len(DESIGNS) * len(ROWS)} trials came out as you say")


class _Server(NamedTuple):
    """A situation in which a machine asks for the server's time, again and again."""

    about: str
    plan: Any
    server: float = 0.0  # by how much the server's clock is off
    network: Latency | None = None


def _jumps(sim: Simulation) -> None:
    sim.at(0.5).slow("a", 0.6)
    for moment in (1.5, 3.8, 6.0):
        sim.at(moment).skew("a", -5)


_ASKING = (
    _Server("the machine's clock is right", lambda sim: None),
    _Server("the machine's clock is an hour ahead", lambda sim: sim.skew("a", 3600)),
    _Server("the server's clock is 90 s behind the machine's", lambda sim: None, -90.0),
    _Server("each message takes 0.6 s longer", lambda sim: sim.at(0.5).slow("a", 0.6)),
    _Server("some answers take longer than their questions", lambda sim: None, 0.0, Uniform(0.02, 0.9)),
    _Server("the clock jumps back while the answer is on its way", _jumps),
)


def grade_now(answer: Any) -> Verdict:
    """`await now(machine)` -> (time, error): the server's clock lies within `error` of `time` as it returns."""
    for case in _ASKING:
        verdict = _asked(answer, case)
        if verdict is not None:
            return verdict
    return Verdict(
        True, f"right within its own bounds in {len(_ASKING)} situations, and no wider than it must be"
    )


def _asked(answer: Any, case: _Server) -> Verdict | None:
    learner, told = (
        Learner(answer),
        list[tuple[Any, float, float]](),
    )  # what was said, the truth, how long it took
    with Simulation(0, seed=3, messages=False, network=case.network) as sim:

        async def live(machine: Machine) -> None:
            await machine.redis.ping()  # to open a connection is no part of asking
            await machine.sleep(1.0)
            try:
                for _ in range(4):
                    began = sim.time
                    said = await learner.copy()(machine)
                    told.append((said, EPOCH + sim.time + case.server, sim.time - began))
                    await machine.sleep(1.0)
            except Stopped:
                return

        sim.guest("a", live)
        sim.skew("server", case.server)
        case.plan(sim)
        learner.run(sim, 12.0)
    for said, truth, took in told:
        if not isinstance(said, tuple) or len(said) != 2:
            return Verdict(False, f"it has to return (time, error), both in seconds, not {said!r}")
        off = abs(said[0] - truth)
        if off > said[1] + 1e-4:
            sentence = f"{case.about}: off by {off:,.4g} s, and it had said {said[1]:.4g} s at most"
            return Verdict(False, sentence, "bound-holds")
        if said[1] > took / 2 + 0.002:
            allowed = f"question and answer took {took:.2f} s, which allows half of that"
            sentence = f"{case.about}: it says within {said[1]:.2f} s; {allowed}"
            return Verdict(False, sentence, "bound-useful")
    return None


GRADERS: dict[str, Grader] = {
    "06-matrix": grade_matrix,
    "06-lease": _tidy(judge_lease),
    "06-now": _tidy(grade_now),
}
