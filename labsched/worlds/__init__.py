"""Where a cluster lives, and what it leaves behind. Names are loaded when they are first used.

simulated/     Simulation       a cluster on virtual time, in one process
processes.py   ProcessCluster   OS processes on a real server, and verbs that hurt them
cluster.py                      how it comes up and goes down; supervisor.py its processes, guard.py their end
collect.py                      makes its recording
server.py      Server           an embedded server; valkey.py what it is made of, ports.py where it listens
runtime.py     find_runtime, …  how other commands find it
relay.py       Relay            a link that can be cut
fake.py        open_fake        a Redis inside this process
recording.py   Recording, load  what a run yields
sweeper.py     sweep            a scenario under many seeds; outcomes.py, proportions.py what comes of it
swarm.py       swarm            chaos drawn from a seed, with the tasks of swarm_tasks.py
scenarios.py   scenario         by name or from YAML; shipped/ the files
replay.py                       the same run again, and the first event that differs
explorer.py    explore, play    every order of a small program's commands
shrinker.py    shrink           the smallest run that still fails
pytest_plugin.py                fixtures: simulation, sim_loop
checks/                         the guarantees, as functions over a recording
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .explorer import explore, play
    from .processes import ProcessCluster
    from .recording import Recording, load
    from .relay import Relay
    from .runtime import RuntimeInfo, attach_url, find_runtime
    from .server import Server
    from .shrinker import shrink
    from .simulated.simulation import Simulation
    from .sweeper import sweep

__all__ = [
    # worlds
    "Simulation",
    "ProcessCluster",
    # what they yield
    "Recording",
    "load",
    # what is made of them
    "explore",
    "play",
    "shrink",
    "sweep",
    # their parts
    "Relay",
    "RuntimeInfo",
    "Server",
    "attach_url",
    "find_runtime",
]

_HOMES = {
    "Simulation": "simulated.simulation",
    "ProcessCluster": "processes",
    "Recording": "recording",
    "load": "recording",
    "play": "explorer",
    "shrink": "shrinker",
    "Relay": "relay",
    "RuntimeInfo": "runtime",
    "Server": "server",
    "sweep": "sweeper",
    "attach_url": "runtime",
    "explore": "explorer",
    "find_runtime": "runtime",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
