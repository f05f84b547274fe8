"""A session over a `Simulation`: real time only decides how far virtual time has come."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from labsched.errors import ConfigError
from labsched.worlds.simulated.clocks import EPOCH
from labsched.worlds.simulated.simulation import Simulation

from .replayable import Replayable
from .script import Step
from .servers import simulated_servers
from .session import JUDGE_EVERY, JUDGE_SHARE, TELL_EVERY, Command, Session, stepped
from .words import condition

FRAME = 0.05  # real seconds between two moves of a playing world
LATE = 0.5  # real seconds of delay that are caught up; more is forgotten
SLOWEST, FASTEST = 0.25, 20.0  # virtual seconds per real second
STRIDE = 1.0  # virtual seconds between two tells at full speed


class SimulatedSession(Session):
    """Owns the simulation until it is closed: nobody else may run it meanwhile.

    `play` and `pace` say how it begins. `clock` counts real seconds; a test passes its own, and calls `turn`.
    """

    world = "simulated"

    def __init__(
        self,
        sim: Simulation,
        *,
        play: bool = True,
        pace: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(EPOCH, clock)
        self.replayable = Replayable(sim)
        self.playing, self.pace = play, _pace(pace)
        self._at_world, self._told, self._faults = 0, 0, 0
        self._anchor: tuple[float, float] | None = None  # real and virtual seconds that belong together
        self._waiting: list[Command] = []
        self._stop_finish = threading.Event()

    # --- the thread

    def _live(self) -> None:
        try:
            while not self._closing:
                self.turn(self._wait())
        except Exception as error:  # somebody else has closed the simulation, say
            self._closing, self.notice = True, f"the panel has ended: {error!r}"
            self._emit("state", {**self.state, "notice": self.notice, "closed": True})
        finally:
            self.replayable.close()
            self._refuse_rest()

    def _wait(self) -> float | None:
        """How long nothing needs to be done."""
        if self.playing:
            return FRAME
        now = self._real()
        dues = []
        if self._batch or self._spoken or self._reset:
            dues.append(self._events_told + TELL_EVERY)
        if self._untold:
            dues.append(self._state_told + TELL_EVERY)
        if self.replayable.time != self._judged_to:
            dues.append(self._judged + max(JUDGE_EVERY, JUDGE_SHARE * self._judging_took))
        return max(min(dues) - now, 0.001) if dues else None

    def turn(self, wait: float | None = 0.0) -> None:
        """One round: wait so long for a command, let the world catch up, obey, tell."""
        command = self._next(wait)
        self._catch_up()
        if command is not None:
            self._obey(command)
        self._look(at_once=command is not None)

    def _catch_up(self) -> None:
        now, virtual = self._real(), self.replayable.time
        if not self.playing:
            self._anchor = None
            return
        if self._anchor is None or now - (self._anchor[0] + (virtual - self._anchor[1]) / self.pace) > LATE:
            self._anchor = (now, virtual)
        target = self._anchor[1] + (now - self._anchor[0]) * self.pace
        try:
            # What is pressed comes a microsecond later: on a whole ms, which reads well in `code`.
            self.replayable.advance(math.floor(target * 1000) / 1000 - 1e-6)
        except BaseException as error:
            self.playing, self.notice = False, _defect(error)

    # --- commands

    def _obey(self, command: Command) -> None:
        self.notice = ""
        try:
            outcome = getattr(self, f"_do_{command.do}")(**command.args)
        except BaseException as error:
            self._failed(command, error)
        else:
            command.outcome.set_result(outcome)

    def _do_hello(self) -> None:
        """A view has appeared, and knows nothing yet."""
        self._reset, self._events_told = True, -1e9

    def _do_say(self, text: str) -> None:
        self.notice = text

    def _do_close(self) -> None:
        self._closing = True

    def _do_play(self) -> None:
        self.playing = True

    def _do_pause(self) -> None:
        self.playing = False

    def _do_pace(self, pace: float) -> None:
        self.pace, self._anchor = _pace(pace), None

    def _do_run_to(self, what: str) -> None:
        self.playing = False
        found = self.replayable.run_to(what, self._interrupted)
        if not found and self._inbox.empty():
            self.notice = f"no {what} came within ten minutes"

    def _interrupted(self) -> bool:
        self._look()
        return not self._inbox.empty()

    def _do_seek(self, t: float) -> None:
        self.playing = False
        self.replayable.seek(float(t))

    def _do_press(self, step: Step, at: float | None = None) -> None:
        self._anchor = None  # acting in the past takes its time
        if at is None:
            self.replayable.act(step)
        else:
            self.replayable.plan(stepped(step, float(at)))

    def _do_finish(self, until: float | None) -> Any:
        self.playing = False
        self._stop_finish.clear()
        while until is not None and self.replayable.time < until and not self._stop_finish.is_set():
            self.replayable.advance(min(until, self.replayable.time + STRIDE))
            self._look()
        return self.replayable.recording()

    def _do_recording(self) -> Any:
        return self.replayable.recording()

    def _do_code(self) -> str:
        return self.replayable.code()

    def _do_picture(self, guarantee: str) -> None:
        self._draw(self.replayable.recording(), guarantee)

    def finish(self, until: float | None = None) -> Any:
        outcome = self.send("finish", until=until)
        try:
            return outcome.result()
        except KeyboardInterrupt:
            self._stop_finish.set()
            raise

    def code(self) -> str:
        """The script equal to what was pressed, up to now. Works on a closed panel too."""
        return self.replayable.code() if self._over.is_set() else str(self.send("code").result())

    # --- telling

    def _look(self, *, at_once: bool = False) -> None:
        """What has happened goes to whoever listens, as far as it is due."""
        world = self.replayable
        now = self._real()
        if not at_once and now < min(self._state_told, self._events_told) + TELL_EVERY:
            return
        if self._at_world != world.worlds:
            self._at_world, self._told, self._faults = world.worlds, 0, 0
            self._begin_again()
        world.read()
        self._take(world.told[self._told :], world.sim.faults[self._faults :])
        self._told, self._faults = len(world.told), len(world.sim.faults)
        if self._judgement_due(world.time):
            self._judge(world.sim.recording(), world.time, now)
        self._tell(self._facts(), at_once=at_once)

    def _facts(self) -> dict[str, Any]:
        world = self.replayable
        return {
            "time": world.time, "clock": world.clock, "end": world.end, "branch": world.branch, "pace": self.pace,
            "playing": self.playing, "rows": self._rows(), "servers": simulated_servers(world.sim),
        }  # fmt: skip

    def _rows(self) -> list[dict[str, Any]]:
        sim = self.replayable.sim
        infos = {info.name: info for info in self.replayable.instances()}
        return [self._row(sim, name, infos.get(name)) for name in sim.names]

    def _row(self, sim: Simulation, name: str, info: Any) -> dict[str, Any]:
        life = sim.life(name)
        process = "ended" if life.over and life.node.alive else life.node.state
        server = sim.servers[0]
        cuts = sim.network.way(name, server.name).cut, sim.network.way(server.name, name).cut
        cut = {(True, True): "both", (True, False): "requests", (False, True): "replies"}.get(cuts, "")
        return {
            "name": name, "process": process, "cut": cut, "alive": life.alive,
            "state": condition(process, cut, info),
            "leader": bool(info and info.leader),
            "epoch": self._tally.elections.get(info.epoch or 0, 0) if info else 0,
            "running": self._tally.running_on(name),
            "pool": sim.settings.pool_size,
            "lease": None if info is None else max(info.lease_left, 0.0),
            "lease_of": sim.settings.instance_lease,
            "offset": round(sim.clock(name).now() - server.clock.now(), 3),
        }  # fmt: skip


def _pace(pace: float) -> float:
    if not SLOWEST <= pace <= FASTEST:
        raise ConfigError(f"pace is {pace!r}: allowed are {SLOWEST:g} to {FASTEST:g}")
    return float(pace)


def _defect(error: BaseException) -> str:
    inner = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
    return f"a defect, not a fault: {inner!r}"
