"""Exercises of notebook 14: which fault breaks which design, and a lock on more than half of five servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from labsched.worlds.simulated.guest import Machine
from labsched.worlds.simulated.simulation import Simulation

from ..figures import Picture
from ..pictures.spacetime import spacetime
from ..zoo.stage import Chronicle, recording_of
from .answers import rebuilt
from .grading import Grader, Verdict
from .n14_designs import DESIGNS, LOCK
from .n14_world import FAULTS, story

# --- 14-matrix


def matrix(answer: Any) -> Verdict:
    """A dict: for each fault the designs that it breaks."""
    if not isinstance(answer, Mapping) or set(answer) != set(FAULTS):
        return Verdict(False, f"the answer is a dict with the keys {', '.join(map(repr, FAULTS))}")
    unknown = [name for said in answer.values() for name in said if name not in DESIGNS]
    if unknown:
        return Verdict(False, f"there is no design {unknown[0]!r}, there are {', '.join(map(repr, DESIGNS))}")
    if not any(answer.values()):
        return Verdict(False, "you have named no design yet: some break under nearly every fault")
    wrong = [
        (fault, design)
        for fault in FAULTS
        for design in DESIGNS
        if (design in answer[fault]) != bool(story(design, fault).guarantee)
    ]
    if not wrong:
        return Verdict(True, f"all {len(FAULTS) * len(DESIGNS)} of them, for the reasons that the runs show")
    fault, design = wrong[0]
    found = story(design, fault)
    cells = len(FAULTS) * len(DESIGNS)
    head = f"{cells - len(wrong)} of {cells} are right; {design!r} under {fault!r}"
    if found.guarantee and found.recording is not None:
        said = f"{head} does break: {found.sentence}"
        return Verdict(False, said, found.guarantee, spacetime(found.recording, 0.9, 6.2))
    return Verdict(False, f"{head} holds: look at what the store accepts", "no-false-alarm")


# --- 14-redlock

MS = 2000
Acquire = Callable[[Machine, str, int], Any]


@dataclass
class Trial:
    """A world of five servers, and who believed to hold the lock from when to when."""

    sim: Simulation
    holds: list[tuple[str, float, float]] = field(default_factory=list)
    asked: dict[str, list[float]] = field(default_factory=dict)
    raised: list[BaseException] = field(default_factory=list)

    def client(self, name: str, answer: Acquire, at: float, every: float = 0.0, until: float = 0.0) -> None:
        """A machine that asks at `at`, and then again after each `every` seconds until it has it, or it is `until`."""
        mine = rebuilt(answer)

        async def program(machine: Machine) -> None:
            await machine.sleep(at)
            while True:
                self.asked.setdefault(name, []).append(self.sim.time)
                try:
                    left = await mine(machine, LOCK, MS)
                except Exception as error:
                    self.raised.append(error)
                    return
                if left:
                    self.holds.append((name, self.sim.time, self.sim.time + float(left)))
                    return
                if not every or self.sim.time > until:
                    return
                await machine.sleep(every)

        self.sim.guest(name, program)

    def got(self, name: str) -> float | None:
        """When that client first got it."""
        return next((since for who, since, _ in self.holds if who == name), None)

    def clash(self) -> str:
        """Two that believe at the same time."""
        for n, (who, since, until) in enumerate(self.holds):
            for other, begins, _ in self.holds[n + 1 :]:
                if other != who and since <= begins < until:
                    told = f"{who} got it at {since:.2f} s, by its own word for {until - since:.2f} s"
                    return f"{told}; {other} got it at {begins:.2f} s"
        return ""


Scene = tuple[str, Callable[[Trial, Acquire], None], Callable[[Trial], str]]


def _alone(trial: Trial, answer: Acquire) -> None:
    trial.client("a", answer, 1)


def _race(trial: Trial, answer: Acquire) -> None:
    for name, link in (("a", 0.0), ("b", 0.001), ("c", 0.002)):
        trial.client(name, answer, 1, every=0.15, until=3)
        trial.sim.slow(name, link)


def _down(trial: Trial, answer: Acquire) -> None:
    trial.sim.at(0.5).kill("server2").kill("server4")
    trial.client("a", answer, 1)


def _hanging(trial: Trial, answer: Acquire) -> None:
    trial.sim.at(0.5).pause("server1").pause("server3")
    trial.client("a", answer, 1)


def _minority(trial: Trial, answer: Acquire) -> None:
    for name in ("server3", "server4", "server5"):
        trial.sim.at(0.5).kill(name)
    for name in ("server3", "server4"):
        trial.sim.at(1.9).restart_server(name)
    trial.client("a", answer, 1)
    trial.client("b", answer, 2)


def _taken(trial: Trial, answer: Acquire) -> None:
    trial.client("a", answer, 1)
    for n in range(3):
        trial.client(f"b{n}", answer, 1.4 + 0.2 * n)


def _again(trial: Trial, answer: Acquire) -> None:
    trial.client("a", answer, 1)
    trial.client("b", answer, 1.5, every=0.1, until=6)


def _slow(trial: Trial, answer: Acquire) -> None:
    trial.client("a", answer, 1)
    trial.sim.slow("a", 0.08)
    trial.sim.at(1.1).skew("a", -30)
    trial.client("b", answer, 2.8, every=0.05, until=6)


def _needs_a(trial: Trial) -> str:
    return "" if trial.got("a") is not None else "nobody got it"


def _soon(trial: Trial) -> str:
    since = trial.got("a")
    if since is None:
        return "nobody got it, though three servers answered"
    return "" if since < 2 else f"it took until {since:.1f} s, a second and more after the question"


def _b_after(trial: Trial) -> str:
    if trial.got("b") is not None:
        return ""
    return "a got two of five and gave up; a second later four are there, and b gets none: give back what is no use"


def _b_soon(trial: Trial) -> str:
    since = trial.got("b")
    return "" if since is not None and since < 5 else "b did not get it when a's time was long over"


def _nothing(trial: Trial) -> str:
    return ""


SCENES: tuple[Scene, ...] = (
    ("all five are there", _alone, _needs_a),
    ("two of five are down", _down, _needs_a),
    ("two of five hang", _hanging, _soon),
    ("three ask at once", _race, _nothing),
    ("a has it, three others ask", _taken, _needs_a),
    ("three of five were down", _minority, _b_after),
    ("a's time is over", _again, _b_soon),
    ("a's link is slow and its clock set back", _slow, _nothing),
)


def redlock(answer: Any) -> Verdict:
    """`acquire(machine, name, ms)`: seconds for which the lock is surely ours, or None."""
    rebuilt(answer)
    for about, scene, demand in SCENES:
        for seed in range(6 if scene is _race else 2):
            verdict = _tried(answer, about, scene, demand, seed)
            if verdict is not None:
                return verdict
    return Verdict(True, f"in {len(SCENES)} scenes nobody shared it, and whoever could have it got it")


def _tried(answer: Acquire, about: str, scene: Any, demand: Any, seed: int) -> Verdict | None:
    with Simulation(0, seed=seed, servers=5) as sim:
        trial = Trial(sim)
        scene(trial, answer)
        sim.loop.run(until=8)
        if trial.raised:
            raise trial.raised[0]
        clash, missing = trial.clash(), demand(trial)
        if clash:
            return Verdict(False, f"{about}: {clash}", "one-holder", _picture(sim))
        too_long = [(who, until - since) for who, since, until in trial.holds if until - since > MS / 1000]
        if too_long:
            who, said = too_long[0]
            return Verdict(
                False, f"{about}: {who} counts on {said:g} s of a lock of {MS / 1000:g} s", "one-holder"
            )
        if missing:
            return Verdict(False, f"{about}: {missing}", "never-stuck", _picture(sim))
    return None


def _picture(sim: Simulation) -> Picture | None:
    """The messages between clients and servers; None when nobody sent any."""
    rec = recording_of(sim, Chronicle(sim))
    return spacetime(rec, 0.9, 2.6) if rec.message_log else None


GRADERS: dict[str, Grader] = {"14-matrix": matrix, "14-redlock": redlock}
