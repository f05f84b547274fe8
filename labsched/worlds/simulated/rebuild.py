"""A simulation made again from what its recording says: the same seed and options, the same faults at their times.

Whoever replays a run and whoever shrinks one starts here.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from labsched.app import Scheduler
from labsched.config import Settings
from labsched.errors import ConfigError
from labsched.runners import Registered

from ..recording import Recording
from .deeds import DEEDS
from .given import handlers_of
from .network import Constant, Exponential, Latency, Recorded, Uniform
from .simulation import Simulation

_LATENCIES = {kind.__name__: kind for kind in (Constant, Uniform, Exponential, Recorded)}


def rebuild(
    rec: Recording,
    app: Scheduler | None = None,
    *,
    faults: Iterable[Mapping[str, Any]] | None = None,
    instances: Sequence[str] | None = None,
    tasks: Iterable[str] | None = None,
    prepare: Callable[[Simulation], object] | None = None,
    messages: bool = True,
) -> Simulation:
    """The simulation of that recording, at time 0, with its faults planned: `run(until=lasted(rec))` tells the same
    story when nothing else has changed.

    `app` brings the functions of the tasks, as a recording holds none; needed unless the sample handlers are
    enough. `faults` (entries of `fault_log`), `instances` and `tasks` (names) take the place of the recorded ones.
    ConfigError for a recording of real processes, for a task that nobody brings, and for a latency of the user's
    own kind. Calls (`sim.call`, `at(t).call`), SimPy processes and machines of the user's own are not in a recording:
    `prepare(sim)` may bring them back, before anything has happened.
    """
    options = _Options(rec)
    settings = msgspec.convert(options["settings"], Settings)
    names = list(options["instances"] if instances is None else instances)
    brought = Scheduler("fake", settings=settings)
    brought.handlers.update(_chosen(rec, handlers_of(options["tasks"], app, settings), tasks))
    sim = Simulation(
        len(names),
        names=names or None,
        seed=options.seed,
        app=brought,
        settings=settings,
        network=_latency(options["network"]),
        servers=options["servers"],
        service=options["service"],
        messages=messages,
    )
    sim.tasks = options["tasks"]
    try:
        if prepare is not None:
            prepare(sim)
        for fault in performed(rec) if faults is None else faults:
            sim.at(fault["t"])._do(fault["kind"], fault["target"], **arguments(fault))
    except BaseException:
        sim.close()
        raise
    return sim


def lasted(rec: Recording) -> float:
    """How long the world of that recording ran: what to pass as `until`. Virtual seconds."""
    return float(_Options(rec)["ran"])


def performed(rec: Recording) -> list[dict[str, Any]]:
    """The faults that somebody wanted, in order. One that came of another (`restart` kills who lives) comes again."""
    return [fault for fault in rec.fault_log if fault["by"] not in DEEDS]


def arguments(fault: Mapping[str, Any]) -> dict[str, Any]:
    """What the verb of that fault was called with, without what the world has noted about it."""
    if fault["kind"] not in DEEDS:
        raise ConfigError(f"the recording has a fault {fault['kind']!r}, there are {', '.join(DEEDS)}")
    takes = list(inspect.signature(DEEDS[fault["kind"]]).parameters)[2:]  # behind the world and the name
    return {name: fault[name] for name in takes}


class _Options(dict[str, Any]):
    """The options of a recording; ConfigError for one that is missing."""

    def __init__(self, rec: Recording) -> None:
        if rec.world != "simulated":
            raise ConfigError(
                f"this recording is of a {rec.world} world: only a simulated one can be run again"
            )
        super().__init__(rec.options)
        self.seed = rec.seed or 0

    def __missing__(self, name: str) -> Any:
        raise ConfigError(f"the recording does not say its {name!r}, so it cannot be run again")


def _chosen(
    rec: Recording, there: Mapping[str, Registered], wanted: Iterable[str] | None
) -> dict[str, Registered]:
    """Those of the recorded tasks that are wanted, in the recorded order."""
    recorded = _Options(rec)["handlers"]
    missing = [name for name in recorded if name not in there]
    if missing:
        raise ConfigError(f"the recording ran {', '.join(missing)}: pass the app that has them as app=")
    keep = set(recorded if wanted is None else wanted)
    return {name: there[name] for name in recorded if name in keep}


def _latency(text: str) -> Latency:
    """What `repr` of one of our latencies says; nothing of the text is executed."""
    try:
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        values = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        made: Latency = _LATENCIES[call.func.id](**values)
    except (SyntaxError, AssertionError, KeyError, ValueError, TypeError):
        raise ConfigError(
            f"the recording's latency is {text}: only {', '.join(_LATENCIES)} can be made again"
        ) from None
    return made
