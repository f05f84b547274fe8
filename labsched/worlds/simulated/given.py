"""What a simulation is given, checked at its door: seed, servers, tasks and their handlers, and the versions that its
digest depends on."""

from __future__ import annotations

import operator
import platform
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakeredis
import redis
import simpy

import labsched
from labsched.app import Scheduler
from labsched.config import Settings
from labsched.errors import ConfigError
from labsched.runners import Registered
from labsched.samples import HANDLERS


def expect(what: str, given: object, kind: type) -> None:
    """ConfigError unless it is of that kind, or None."""
    if given is not None and not isinstance(given, kind):
        raise ConfigError(f"{what} is {reprlib.repr(given)}: it takes a {kind.__name__}")


def seed_of(given: Any) -> int:
    """A whole number of any type, numpy's too, as an int: a file can hold nothing else. ConfigError for others."""
    try:
        if not isinstance(given, bool):
            return operator.index(given)
    except TypeError:
        pass
    raise ConfigError(f"seed is {reprlib.repr(given)}: allowed are whole numbers")


def versions() -> dict[str, str]:
    """Of everything on which a digest depends."""
    return {
        "python": platform.python_version(),
        "labsched": labsched.__version__,
        "redis-py": redis.__version__,
        "fakeredis": fakeredis.__version__,
        "simpy": simpy.__version__,
    }


def handlers_of(tasks: str | Path | None, app: Scheduler | None, settings: Settings) -> dict[str, Registered]:
    """The tasks that instances bring, by name."""
    if app is None:
        app = Scheduler("fake", settings=settings)
        tasks = tasks or settings.tasks or None
        known: dict[str, Callable[..., Any]] = dict(HANDLERS)
    else:
        app, given = Scheduler("fake", settings=settings), app
        app.handlers.update(given.handlers)
        known = {**HANDLERS, **{name: job.function for name, job in given.handlers.items()}}
    if tasks is not None:
        app.load_tasks(tasks, known)
    return app.handlers


def server_names(servers: int) -> list[str]:
    """One is "server"; more are server1, server2 and so on. ConfigError below 1 and above 100."""
    if not 1 <= servers <= 100:
        raise ConfigError(f"servers is {servers!r}: allowed are 1 to 100")
    return ["server"] if servers == 1 else [f"server{n + 1}" for n in range(servers)]
