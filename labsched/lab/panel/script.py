"""What was asked of a world: steps at their times, from clicks and code alike, and the script that equals them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from labsched.config import Settings
from labsched.worlds.simulated.deeds import DEEDS
from labsched.worlds.simulated.network import DEFAULT
from labsched.worlds.simulated.rebuild import arguments
from labsched.worlds.simulated.verbs import Verbs, meant

if TYPE_CHECKING:
    from labsched.worlds.processes import ProcessCluster
    from labsched.worlds.simulated.simulation import Simulation

# Kinds of faults are named after what happens, verbs after what is asked.
_VERBS = {"drain": "terminate", "out_of_memory": "fill", "read_only": "make_read_only"}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One verb. `t`: virtual seconds; `args` are complete, as the verb made them."""

    t: float
    kind: str
    target: str
    args: dict[str, Any] = {}

    def fault(self) -> dict[str, Any]:
        """As `rebuild` takes it."""
        return {"t": self.t, "kind": self.kind, "target": self.target, **self.args}

    @property
    def verb(self) -> str:
        """The method that does it."""
        return _VERBS.get(self.kind, self.kind)

    def unusual(self) -> dict[str, Any]:
        """The arguments that do not have their default."""
        takes = inspect.signature(getattr(Verbs, self.verb)).parameters
        return {k: v for k, v in self.args.items() if k in takes and v != takes[k].default}

    def named(self) -> tuple[list[str], dict[str, str]]:
        """The target as the verb takes it: in front, by its keyword, or not at all where it is the default."""
        name = inspect.signature(getattr(Verbs, self.verb)).parameters["name"]
        if name.default == self.target:
            return [], {}
        return ([], {"name": self.target}) if name.kind is name.KEYWORD_ONLY else ([self.target], {})

    def call(self) -> str:
        """As one writes it: `kill("i1")`; what has its default is left out."""
        target, keyword = self.named()
        words = [repr(name) for name in target]
        words += [f"{name}={value!r}" for name, value in {**keyword, **self.unusual()}.items()]
        return f"{self.verb}({', '.join(words)})".replace("'", '"')


def asked(verb: str, *target: str, **args: Any) -> Step:
    """That verb of `Verbs` as a step at no time yet. ConfigError for a verb or arguments that do not exist."""
    kind, name, given = meant(verb, *target, **args)
    return Step(t=0.0, kind=kind, target=name, args=given)


def steps_of(sim: Simulation) -> list[Step]:
    """What has been done to a simulation and what is still planned, in order."""
    done = [
        Step(t=fault["t"], kind=fault["kind"], target=fault["target"], args=arguments(fault))
        for fault in sim.faults
        if fault["by"] not in DEEDS  # one that came of another comes again
    ]
    ahead = [
        Step(t=step["t"], kind=step["kind"], target=step["target"], args=arguments(step))
        for step in sim.planned
        if step["t"] >= sim.time
    ]
    return sorted([*done, *ahead], key=lambda step: step.t)


def simulated_code(sim: Simulation, steps: Iterable[Step], until: float) -> str:
    """The script that runs this simulation with these steps to that time."""
    options, imports = [f"instances={len(sim.names)}"], ["Simulation"]
    if list(sim.names) != [f"i{n + 1}" for n in range(len(sim.names))]:
        options.append(f"names={list(sim.names)!r}")
    options.append(f"seed={sim.seed!r}")
    if sim.tasks is not None:
        options.append(f"tasks={str(sim.tasks)!r}")
    elif sim.handlers:
        options.append("app=app")
    lines = _settings(sim.settings, options)
    if sim.network.latency != DEFAULT:
        name = type(sim.network.latency).__name__
        lines.append(f"from {type(sim.network.latency).__module__} import {name}")
        options.append(f"network={sim.network.latency!r}")
    options += [f"servers={len(sim.servers)}"] if len(sim.servers) > 1 else []
    options += [f"service={sim.service!r}"] if sim.service else []
    lines.append(f"from labsched.worlds import {', '.join(imports)}")
    made = f"sim = Simulation({', '.join(options)})".replace("'", '"')
    calls = [f"sim.at({step.t:.15g}).{step.call()}" for step in steps]
    return "\n".join([*sorted(lines), "", made, *calls, f"rec = sim.run(until={until:.15g})", ""])


def real_code(cluster: ProcessCluster, steps: Iterable[Step], until: float) -> str:
    """The same for real processes, whose times are seconds since they were all there."""
    options = [f"instances={len(cluster.names)}"]
    if list(cluster.names) != [f"i{n + 1}" for n in range(len(cluster.names))]:
        options.append(f"names={list(cluster.names)!r}")
    options += [f"tasks={str(cluster.tasks)!r}"] if cluster.tasks else []
    lines = _settings(cluster.settings, options)
    lines += ["from labsched.worlds import ProcessCluster", "import asyncio"]
    body, at = [], 0.0
    for step in steps:
        body += [f"await asyncio.sleep({step.t - at:.3f})", f"await cluster.{step.call()}"]
        at = step.t
    body += [f"await asyncio.sleep({max(until - at, 0):.3f})", "rec = await cluster.recording()"]
    made = f"async with ProcessCluster({', '.join(options)}) as cluster:".replace("'", '"')
    return "\n".join([*sorted(lines, reverse=True), "", made, *(f"    {line}" for line in body), ""])


def _settings(settings: Settings, options: list[str]) -> list[str]:
    """Adds what is not default to the options; the import that this needs."""
    defaults = msgspec.structs.asdict(Settings())
    other = {k: v for k, v in msgspec.structs.asdict(settings).items() if v != defaults[k]}
    if not other:
        return []
    options.append(f"settings=Settings({', '.join(f'{k}={v!r}' for k, v in other.items())})")
    return ["from labsched import Settings"]
