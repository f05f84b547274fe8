"""Tasks from a YAML file: the options of `@app.task`, for handlers that the code has registered by name.

    tasks:
      - name: daily-report
        handler: daily-report            # the name, unless it differs
        schedule: {every: 5s, jitter: 1s}
        timeout: 30s
        retries: 2

A schedule is one of `{every: PERIOD, …}`, `{cron: "EXPRESSION", …}`, `{at: TIME}` and `manual`. All other
keys are the options of `@app.task` with dashes. A name in the file never imports anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .definition import define
from .errors import ConfigError, LabschedError, ScheduleError
from .model import Task
from .schedule import Schedule, at, cron, every, manual
from .yamlfile import kind, nearest, read_mapping, shown

# By the key that says which kind it is: how to make it, and the other keys that it may have.
_SCHEDULES: Mapping[str, tuple[Callable[..., Schedule], frozenset[str]]] = {
    "every": (every, frozenset({"jitter", "start", "end"})),
    "cron": (cron, frozenset({"tz", "jitter", "gap", "fold", "start", "end"})),
    "at": (at, frozenset()),
}
_OPTIONS = frozenset(field.replace("_", "-") for field in Task.__struct_fields__)


def load_tasks(
    path: str | os.PathLike[str], handlers: Collection[str], make: Callable[..., Task] = define
) -> list[Task]:
    """The tasks of the file `path`, in its order. `handlers` holds the registered names.

    `make` gets name, schedule and options of each: `define`, or what knows better defaults.
    ConfigError, ScheduleError or PayloadError of one line that names the file, the task, and what is wrong.
    """
    tree = read_mapping(path, "tasks file")
    tasks: dict[str, Task] = {}
    try:
        for number, entry in enumerate(_entries(tree), 1):
            task = _task(entry, number, handlers, make)
            if task.name in tasks:
                raise ConfigError(f"task {task.name!r} is there twice")
            tasks[task.name] = task
    except LabschedError as error:
        raise type(error)(f"{path}: {error}") from None
    return list(tasks.values())


def _entries(tree: dict[str, Any]) -> list[Any]:
    for key in tree:
        if key != "tasks":
            raise ConfigError(f"unknown key {key!r}: the file holds one list named tasks")
    entries = tree.get("tasks") or []
    if not isinstance(entries, list):
        raise ConfigError(f"tasks must be a list, not {kind(entries)}")
    return entries


def _task(entry: Any, number: int, handlers: Collection[str], make: Callable[..., Task]) -> Task:
    if not isinstance(entry, dict):
        raise ConfigError(f"task {number} must be a mapping, not {kind(entry)}")
    if "name" not in entry:
        raise ConfigError(f"task {number} has no name")
    what = f"task {entry['name']!r}"
    for key in entry:
        if key not in _OPTIONS:
            hint = nearest(str(key), _OPTIONS)
            raise ConfigError(f"{what}: unknown option {key!r} ({shown(str(key), entry[key])}); {hint}")
    handler = entry.get("handler", entry["name"])
    if handler not in list(handlers):
        raise ConfigError(f"{what}: no handler {handler!r} is registered; {nearest(str(handler), handlers)}")
    options = {
        key.replace("-", "_"): value for key, value in entry.items() if key not in ("name", "schedule")
    }
    return make(entry["name"], _schedule(what, entry.get("schedule")), **options)


def _schedule(what: str, value: Any) -> Schedule:
    if value == "manual":
        return manual()
    which = [key for key in _SCHEDULES if key in value] if isinstance(value, dict) else []
    if len(which) != 1:
        allowed = '{every: 5s}, {cron: "*/5 * * * *"}, {at: 2026-11-23T12:00:00Z} or manual'
        raise ScheduleError(f"{what}: schedule {value!r} is refused: it must be one of {allowed}")
    make, keys = _SCHEDULES[which[0]]
    options = {key: option for key, option in value.items() if key != which[0]}
    for key in options:
        if key not in keys:
            raise ScheduleError(f"{what}: schedule has an unknown key {key!r}; {nearest(str(key), keys)}")
    try:
        return make(value[which[0]], **options)
    except LabschedError as error:
        raise type(error)(f"{what}: {error}") from None
