"""Where a cluster lives, and what it leaves behind. Names are loaded when they are first used.

processes.py   ProcessCluster   OS processes on a real server, and verbs that hurt them
cluster.py                      how it comes up and goes down; supervisor.py its processes, guard.py their end
collect.py                      makes its recording
server.py      Server           an embedded server; valkey.py what it is made of, ports.py where it listens
runtime.py     find_runtime, …  how other commands find it
relay.py       Relay            a link that can be cut
fake.py        open_fake        a Redis inside this process
recording.py   Recording, load  what a run yields
checks/                         the guarantees, as functions over a recording
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .processes import ProcessCluster
    from .recording import Recording, load
    from .relay import Relay
    from .runtime import RuntimeInfo, attach_url, find_runtime
    from .server import Server

__all__ = [
    # worlds
    "ProcessCluster",
    # what they yield
    "Recording",
    "load",
    # their parts
    "Relay",
    "RuntimeInfo",
    "Server",
    "attach_url",
    "find_runtime",
]

_HOMES = {
    "ProcessCluster": "processes",
    "Recording": "recording",
    "load": "recording",
    "Relay": "relay",
    "RuntimeInfo": "runtime",
    "Server": "server",
    "attach_url": "runtime",
    "find_runtime": "runtime",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
