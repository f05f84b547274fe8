"""Verbs that wait for their time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self

from labsched.app import Scheduler
from labsched.durations import seconds
from labsched.errors import ConfigError

from .deeds import refuse_unfit
from .verbs import Verbs

if TYPE_CHECKING:
    from ..recording import Recording
    from .simulation import Simulation


class Plan(Verbs):
    """What `sim.at(t)` returns: `sim.at(12).kill("i1").at(15).restart("i1")`.

    A step that can do nothing when its time has come (nobody leads, or the instance is dead already) does nothing,
    and its entry in `sim.planned` says why under "missed".
    """

    def __init__(self, sim: Simulation, t: float | str) -> None:
        self._sim, self._t = sim, seconds(t, "at")
        if self._t < sim.time:
            raise ConfigError(f"at({t!r}) lies in the past: it is {sim.time:g} s")

    def at(self, t: float | str) -> Plan:
        """The same for another time (absolute)."""
        return Plan(self._sim, t)

    def run(self, until: float | str | None = None) -> Recording:
        """`Simulation.run`, so that a whole run is one line."""
        return self._sim.run(until)

    def call(self, use: Callable[[Scheduler], Awaitable[Any]]) -> Self:
        """Start `await use(app)` then, on the client's machine."""
        self._later(lambda: self._sim.start_call(use))
        return self

    def _do(self, kind: str, target: str, **args: Any) -> Self:
        refuse_unfit(self._sim, kind, target)
        step: dict[str, Any] = {"t": self._t, "kind": kind, "target": target, **args}
        self._sim.planned.append(step)
        self._later(lambda: self._perform(step, kind, target, args))
        return self

    def _perform(self, step: dict[str, Any], kind: str, target: str, args: dict[str, Any]) -> None:
        try:
            self._sim.perform(kind, target, args, "plan")
        except ConfigError as error:
            step["missed"] = str(error)

    def _later(self, act: Callable[[], object]) -> None:
        loop = self._sim.loop
        loop.call_at(self._t, act, context=loop._outside_context)
