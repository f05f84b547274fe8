"""Scenarios by name, and from YAML files: a cluster, its tasks, what is done to it and when.

    about: a pause that outlives the lease
    instances: 3
    settings: {pool-size: 3, instance-lease: 3s}            # those of Settings, flat
    tasks: samples                     # or swarm, or the path of a tasks.yml beside this file
    network: {uniform: [0.1ms, 0.3ms]}
    faults:
      - {at: 12s, verb: pause, target: i1}
      - {at: [18s, 22s], verb: resume, target: i1}          # when exactly, is drawn from the seed
      - {at: 30s, verb: failover, args: {lag: 50ms}}
    until: 60s

Verbs are those of `Simulation`, `args` their other arguments. docs/simulation.md lists all keys.
"""

from __future__ import annotations

import inspect
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from labsched.app import Scheduler
from labsched.config import Settings
from labsched.durations import seconds
from labsched.errors import ConfigError, LabschedError
from labsched.yamlfile import nearest, read_mapping

from .recording import Recording
from .simulated.network import Constant, Exponential, Latency, Uniform
from .simulated.simulation import Simulation
from .simulated.verbs import VERBS
from .swarm import swarm
from .swarm_tasks import REGULARS, SAMPLES, swarm_app

SHIPPED = Path(__file__).with_name("shipped")  # the same files as data/scenarios
SWARM = "swarm"
_WHERE = re.compile(r"(.*?) - at `(?:key in )?\$\.?(.*)`$", re.DOTALL)


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One verb, at its time or at one between two."""

    at: Any
    verb: str
    target: str | None = None
    args: dict[str, Any] = {}


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a YAML file says. Call it with a seed for its recording."""

    about: str = ""
    instances: int = 3
    settings: dict[str, Any] = {}
    tasks: str = "samples"
    network: dict[str, Any] = {}
    servers: int = 1
    faults: list[Fault] = []
    until: Any = 60.0
    path: str = ""
    messages: bool = False

    def __call__(self, seed: int) -> Recording:
        with self.world(seed) as sim:
            return sim.run(until=self.lasts)

    @property
    def lasts(self) -> float:
        """Virtual seconds."""
        return seconds(self.until, "until", minimum=0.001)

    def world(self, seed: int) -> Simulation:
        """At time 0, with its faults planned. ConfigError names the file and the key that is wrong."""
        with _At(self.path):
            sim = Simulation(
                self.instances, seed=seed, app=self._app(), network=_latency(self.network), servers=self.servers,
                messages=self.messages,
            )  # fmt: skip
            try:
                self._plan(sim, random.Random(f"scenario {seed}"))
            except BaseException:
                sim.close()
                raise
        return sim

    def _app(self) -> Scheduler:
        known = {name.replace("_", "-"): name for name in Settings.__struct_fields__}
        for name in self.settings:
            if name not in known:
                raise ConfigError(f"settings.{name} is unknown; {nearest(name, known)}")
        with _At("settings"):
            settings = Settings(**{known[name]: value for name, value in self.settings.items()})
        if self.tasks == SWARM:
            return swarm_app(settings, REGULARS)
        app = Scheduler("fake", settings=settings)
        with _At("tasks"):
            path = SAMPLES if self.tasks == "samples" else Path(self.path).parent / self.tasks
            app.load_tasks(path, _handlers())
        return app

    def _plan(self, sim: Simulation, rng: random.Random) -> None:
        for number, fault in enumerate(self.faults):
            with _At(f"faults[{number}]"):
                verb, target = _call(fault)
                plan = sim.at(_moment(fault.at, rng))
                verb(plan, **target, **fault.args)


def scenario(name: str, *, until: float | None = None, messages: bool = False) -> Callable[[int], Recording]:
    """The scenario of that name, or of that YAML file. `until` (virtual seconds) takes the place of its own."""
    if name == SWARM:
        return Swarm(60.0 if until is None else until, messages)
    path = SHIPPED / f"{name}.yml"
    if not re.fullmatch(r"[\w-]+", name) or not path.exists():
        if not name.endswith((".yml", ".yaml")):
            raise ConfigError(
                f"no scenario is named {name!r}, and it is no .yml file; {nearest(name, names(), names())}"
            )
        path = Path(name)
    found = read(path)
    if until is not None:
        found = msgspec.structs.replace(found, until=until)
    return msgspec.structs.replace(found, messages=messages)


def names() -> list[str]:
    """Scenarios that need no file of the user's."""
    return [SWARM, *sorted(path.stem for path in SHIPPED.glob("*.yml"))]


class Swarm(msgspec.Struct, frozen=True):
    """`swarm` as a scenario; three tenths of its time are healthy."""

    until: float
    messages: bool
    about: str = "everything at once, drawn from the seed: instances, settings, tasks and faults"

    def __call__(self, seed: int) -> Recording:
        return swarm(seed, until=self.until, healthy=min(18.0, 0.3 * self.until), messages=self.messages)


def read(path: str | os.PathLike[str]) -> Scenario:
    """The scenario of that file, tried out: ConfigError, in one line, names the file and the key that is wrong."""
    tree = read_mapping(path, "scenario file")
    with _At(str(path)):
        for key in ("path", "messages"):
            if key in tree:
                raise ConfigError(f"{key} is unknown; {nearest(key, _KEYS, _KEYS)}")
        try:
            found = msgspec.convert({**tree, "path": str(path)}, Scenario)
        except msgspec.ValidationError as error:
            raise ConfigError(_said(str(error))) from None
        lasts = found.lasts
        for number, fault in enumerate(found.faults):
            with _At(f"faults[{number}]"):
                if _moment(fault.at, random.Random(0)) > lasts:
                    raise ConfigError(f"at is {fault.at!r}: the run ends at {lasts:g} s")
    found.world(0).close()
    return found


_KEYS = [name for name in Scenario.__struct_fields__ if name not in ("path", "messages")]


class _At:
    """Puts the place in front of what is wrong there."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LabschedError | ValueError) and self._place:
            said = str(error)
            between = "." if said.startswith(("at ", "verb ", "target ", "args")) else ": "
            raise ConfigError(f"{self._place}{between}{said}") from None


def _said(message: str) -> str:
    """msgspec's message with the place first."""
    found = _WHERE.match(message)
    what, place = (found[1], found[2]) if found else (message, "")
    unknown = re.search(r"unknown field `(.*)`", what)
    if unknown:
        known = _KEYS if not place else Fault.__struct_fields__
        return f"{place + '.' if place else ''}{unknown[1]} is unknown; {nearest(unknown[1], known, known)}"
    what = what[0].lower() + what[1:].replace("`", "")
    return f"{place}: {what}" if place else what


def _call(fault: Fault) -> tuple[Callable[..., Any], dict[str, str]]:
    """The verb and its target, unless that is left to the verb."""
    if fault.verb not in VERBS:
        raise ConfigError(f"verb {fault.verb!r} is unknown; {nearest(fault.verb, VERBS, VERBS)}")
    verb = VERBS[fault.verb]
    takes = inspect.signature(verb).parameters
    if takes["name"].default == "server" and not re.fullmatch(r"server\d*", fault.target or "server"):
        raise ConfigError(
            f"target is {fault.target!r}: {fault.verb} is done to the server, or to one of several"
        )
    given = {} if fault.target is None else {"name": fault.target}
    if not given and takes["name"].default is inspect.Parameter.empty:
        raise ConfigError(f"target is missing: {fault.verb} needs an instance, leader or server")
    try:
        inspect.signature(verb).bind(None, **given, **fault.args)
    except TypeError as error:
        allowed = [name for name in takes if name not in ("self", "name")]
        raise ConfigError(f"args: {error}; allowed are {', '.join(allowed) or 'none'}") from None
    hints = get_type_hints(verb)
    for name, value in fault.args.items():
        try:
            msgspec.convert(value, hints[name])
        except msgspec.ValidationError as error:
            what = str(error)
            raise ConfigError(f"args.{name}: {what[0].lower()}{what[1:].replace('`', '')}") from None
    return verb, given


def _moment(at: Any, rng: random.Random) -> float:
    if isinstance(at, list):
        if len(at) != 2:
            raise ConfigError(f"at is {at!r}: allowed are a time, or two between which it lies")
        low, high = seconds(at[0], "at"), seconds(at[1], "at")
        if low > high:
            raise ConfigError(f"at is {at!r}: the first must not be later than the second")
        return round(rng.uniform(low, high), 6)
    return seconds(at, "at")


_LATENCIES: dict[str, tuple[type[Any], int]] = {
    "constant": (Constant, 1),
    "uniform": (Uniform, 2),
    "exponential": (Exponential, 2),
}


def _latency(network: dict[str, Any]) -> Latency | None:
    """`{constant: 1ms}`, `{uniform: [LOW, HIGH]}` or `{exponential: [MEAN, LEAST]}`; none is the default."""
    if not network:
        return None
    name = next(iter(network))
    if len(network) != 1 or name not in _LATENCIES:
        raise ConfigError(
            f"network has {', '.join(map(str, network))}: allowed is one of {', '.join(_LATENCIES)}"
        )
    kind, most = _LATENCIES[name]
    given = network[name] if isinstance(network[name], list) else [network[name]]
    if not 1 <= len(given) <= most or (kind is Uniform and len(given) != 2):
        raise ConfigError(f"network.{name} is {network[name]!r}: it takes {most} duration{'s' * (most > 1)}")
    made: Latency = kind(*(seconds(value, f"network.{name}") for value in given))
    return made


def _handlers() -> dict[str, Callable[..., Any]]:
    from labsched.samples import HANDLERS

    return {**HANDLERS, **{name: job.function for name, job in swarm_app().handlers.items()}}


def described() -> Iterator[tuple[str, str]]:
    """Names and what they are about."""
    for name in names():
        yield name, Swarm(1, False).about if name == SWARM else read(SHIPPED / f"{name}.yml").about
