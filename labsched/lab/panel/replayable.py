"""A simulation that can be stepped, sought and branched. Virtual time only: no thread, no clock.

The world moves in short runs, and what is asked of it is done between two of them, before anything else of that
instant. So a replay that plans the same steps at the same times tells the same story, to the digest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from labsched.app import Scheduler
from labsched.errors import ConfigError, EventsGap
from labsched.model import Event, InstanceInfo, Kind
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.clocks import EPOCH
from labsched.worlds.simulated.rebuild import rebuild
from labsched.worlds.simulated.simulation import Simulation

from .script import Step, simulated_code, steps_of

US = 1_000_000
LOOK_AHEAD = 600.0  # virtual seconds after which "run to the next …" gives up
FORGETS = ("restart_server", "failover")  # kinds of faults after which the server may know less
CHECK_EVERY = 1.0  # virtual seconds between two looks for a violation

KINDS: dict[str, frozenset[Kind]] = {
    "event": frozenset(Kind),
    "leader": frozenset({Kind.LEADER_ELECTED, Kind.LEADER_RESIGNED}),
    "lock": frozenset({Kind.LOCK_ACQUIRED, Kind.LOCK_EXTENDED, Kind.LOCK_RELEASED}),
}


class Replayable:
    """`sim` is the world of now; after `seek` it is another one than was given, which stays as it was.

    `end`: how far this story has been told (virtual seconds); `time` may lie before it. `branch` counts the times
    at which somebody acted in the past, which ends the old future. `told`: the events up to now, as of the last `read`;
    `worlds` counts the replays, after which it is another list.
    """

    def __init__(self, sim: Simulation) -> None:
        self.sim = self._given = sim
        self.steps = steps_of(sim)
        self.end, self.branch, self.worlds = sim.time, 0, 0
        self.told: list[Event] = []
        self._story: list[Event] = []  # the longest that was told, to see whether a replay repeats it
        self._began = sim.time  # from here on this has looked
        self._blind = max(
            (step.t for step in self.steps if step.kind in FORGETS and step.t <= sim.time), default=0.0
        )
        self.read()

    @property
    def time(self) -> float:
        return self.sim.time

    # --- going on

    def advance(self, until: float) -> None:
        """Up to that time (absolute), what falls due then excluded; raises what nobody caught."""
        for before in self._losses(self.time, until):
            self.sim.advance(before)
            self.read()
        if until > self.sim.time:
            self.sim.advance(until)
            self.sim.check_troubles()
        self.end = max(self.end, self.sim.time)

    def run_to(self, what: str, stop: Callable[[], bool] = lambda: False) -> bool:
        """Just past the next `event`, `leader` change, `lock` event or `violation`; False when `stop()` said so or
        none came within `LOOK_AHEAD`."""
        limit = self.time + LOOK_AHEAD
        if what == "violation":
            return self._run_to_violation(limit, stop)
        if what not in KINDS:
            raise ConfigError(f"there is no next {what!r}, there are {', '.join(KINDS)}, violation")
        self.read()
        kinds = KINDS[what]
        while not stop() and (upcoming := self.sim.env.peek()) < limit:
            self.advance((round(upcoming * US) + 1) / US)
            if any(event.kind in kinds for event in self.read()):
                return True
        return False

    def _run_to_violation(self, limit: float, stop: Callable[[], bool]) -> bool:
        before = len(self.sim.recording().check().violations)
        while not stop() and self.time < limit:
            self.advance(self.time + CHECK_EVERY)
            if len(self.sim.recording().check().violations) > before:
                return True
        return False

    # --- acting

    def act(self, step: Step) -> Step:
        """Do it now; what was done, with a name in place of "leader". In the past it begins a branch."""
        target = step.target if step.target != "leader" else self.sim.leader or "leader"
        self._fork()
        if step.kind in FORGETS:
            self.read()
        # A look from outside may have begun this instant already: it ends first, so that a replay, which does the
        # step before anything else, finds the same.
        self.advance((round(self.time * US) + 1) / US)
        self.sim.perform(step.kind, target, step.args, "hand")
        done = msgspec.structs.replace(step, t=self.time, target=self.sim.faults[-1]["target"])
        self._insert(done)
        return done

    def plan(self, step: Step) -> Step:
        """Do it when its time has come. ConfigError when that lies in the past."""
        if step.target not in ("leader", "all", "server"):
            self.sim.known(step.target)
        if not step.t >= self.time:
            raise ConfigError(f"at={step.t!r} lies in the past: it is {self.time:g} s")
        self._fork()
        self.sim.at(step.t)._do(step.kind, step.target, **step.args)
        self._insert(step)
        return step

    def _insert(self, step: Step) -> None:
        self.steps.append(step)
        self.steps.sort(key=lambda one: one.t)

    def _fork(self) -> None:
        """What had been told beyond now will not happen."""
        if self.time >= self.end:
            return
        kept = [step for step in self.steps if step.t < self.time or step.t >= self.end]
        if len(kept) < len(self.steps):
            self._replace(kept, self.time)
        self.end, self.branch = self.time, self.branch + 1
        self._story = []

    def seek(self, t: float) -> None:
        """To that instant of the story, by replaying it where it lies behind. ConfigError when the replay tells
        another story: then code has driven this world by means that no recording holds."""
        t = max(0.0, math.floor(t * US) / US)
        if t >= self.time:
            self.advance(t)
            return
        self._replace(self.steps, t)

    def _replace(self, steps: list[Step], t: float) -> None:
        self.read()
        self._story = max(self._story, self.told, key=len)
        brought = Scheduler("fake", settings=self.sim.settings)
        brought.handlers.update(self.sim.handlers)
        made = rebuild(self.sim.recording(), brought, faults=[step.fault() for step in steps])
        told: list[Event] = []
        if t < self._blind:  # what was lost before anybody looked is seen now: another story, and a whole one
            self._began = self._blind = 0.0
            self._story = []
        for before in self._losses(self._began, t):
            made.advance(before)
            read(made, told)
        made.advance(t)
        read(made, told)
        if self._story and [_plot(event) for event in told] != [
            _plot(one) for one in self._story[: len(told)]
        ]:
            made.close()
            raise ConfigError(
                "this world cannot be replayed: code outside of its recording has driven it "
                "(sim.call, sim.process, guests)"
            )
        old, self.sim, self.steps, self.told = self.sim, made, list(steps), told
        self.worlds += 1
        if old is not self._given:
            old.close()

    def close(self) -> None:
        """End what `seek` made; the simulation that was given is its owner's."""
        if self.sim is not self._given:
            self.sim.close()

    # --- looking

    @property
    def clock(self) -> float:
        """Seconds since the start by the server's clock, as events have them."""
        return self.sim.servers[0].clock.now() - EPOCH

    def instances(self) -> list[InstanceInfo]:
        """The members as the server knows them."""
        return self.sim.peek(lambda app: app.instances())

    def read(self) -> list[Event]:
        """What is new since the last call, now at the end of `told`."""
        return read(self.sim, self.told)

    def _losses(self, since: float, until: float) -> list[float]:
        """The last instants before the server's data is lost on purpose: what nobody reads then is never told."""
        moments = (step.t - 1 / US for step in self.steps if step.kind in FORGETS)
        return [before for before in moments if since < before < until]

    def recording(self) -> Recording:
        """Everything up to now."""
        self.sim.check_troubles()
        return self.sim.recording()

    def code(self) -> str:
        """The script equal to what was done."""
        return simulated_code(self.sim, self.steps, max(self.time, 0.001))


def read(sim: Simulation, told: list[Event]) -> list[Event]:
    """What is new, now at the end of `told`, which keeps what the server has lost."""
    since = told[-1].id if told else "-"
    try:
        new = sim.peek(lambda app: app.history(since))
    except EventsGap:  # the server lost its data
        known = {event.id for event in told}
        new = [event for event in sim.peek(lambda app: app.history()) if event.id not in known]
    told.extend(new)
    return new


def _plot(event: Event) -> tuple[Any, ...]:
    return event.id, event.kind, event.execution, event.instance
