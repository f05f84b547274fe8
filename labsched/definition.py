"""From the options of `@app.task` to a checked definition. Pure."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec

from .durations import rate, seconds, size
from .errors import ConfigError, ScheduleError
from .model import Backoff, Overlap, Priority, Rate, RunnerName, Task, TaskStatus
from .plan import exponential
from .schedule import At, Cron, Every, Manual, Misfire, Schedule

_CHOICES: dict[str, tuple[str, ...]] = {
    "status": get_args(TaskStatus),
    "priority": get_args(Priority),
    "runner": get_args(RunnerName),
    "overlap": get_args(Overlap),
}
_DURATIONS = ("timeout", "lock_at_most_for", "lock_at_least_for")
_COUNTS = {"version": 1, "retries": 0, "max_concurrency": 1, "max_backlog": 1, "max_losses": 1}
MOST = 1_000_000_000  # of any count: the scripts calculate with doubles
_OPTIONS = frozenset(Task.__struct_fields__) - {"name", "schedule"}


def define(name: str, schedule: Schedule | None, **options: Any) -> Task:
    """A checked `Task`. Durations take every form that `durations.seconds` reads.

    Raises `ConfigError` or `ScheduleError` naming the option, its value and what is allowed.
    """
    what = f"task {name!r}"
    if (
        not isinstance(name, str)
        or not 1 <= len(name) <= 200
        or set(name) & set("@~# ")
        or not name.isprintable()
    ):
        raise ConfigError(
            f"{what}: a name has 1 to 200 printable characters and none of '@', '~', '#' or a space"
        )
    if not isinstance(schedule, Every | Cron | At | Manual):
        raise ScheduleError(
            f"{what}: schedule must come from every(), cron(), at() or manual(), not {schedule!r}"
        )
    for key in options:
        if key not in _OPTIONS:
            near = difflib.get_close_matches(key, _OPTIONS, 1)
            hint = f", did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(_OPTIONS))}"
            raise ConfigError(f"{what}: unknown option {key!r}{hint}")
    checked = {key: _check(what, key, value) for key, value in options.items() if value is not None}
    task = Task(name=name, schedule=schedule, **{"handler": name, **checked})
    _check_relations(what, task)
    return task


def check_handler(what: str, function: Any) -> None:
    """ConfigError for what cannot be called with `ctx`. What tells no signature (some builtins) is believed."""
    if not callable(function):
        raise ConfigError(f"{what}: its handler is {function!r}, allowed is a function that takes ctx")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind_partial(None)
    except TypeError:
        raise ConfigError(
            f"{what}: its handler takes {signature}, but it is called with ctx, and the payload as keywords"
        ) from None


def _check(what: str, key: str, value: Any) -> Any:
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise ConfigError(f"{what}: {key} is {value!r}, allowed are {', '.join(_CHOICES[key])}")
        return value
    if key in _DURATIONS:
        return seconds(value, f"{what}: {key}")
    if key in _COUNTS:
        if isinstance(value, bool) or not isinstance(value, int) or not _COUNTS[key] <= value <= MOST:
            raise ConfigError(
                f"{what}: {key} is {value!r}, allowed is a whole number from {_COUNTS[key]} to {MOST}"
            )
        return value
    return _SPECIAL[key](what, value) if key in _SPECIAL else _text(what, key, value)


def _text(what: str, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{what}: {key} is {value!r}, allowed is text")
    return value


def _rate(what: str, value: Any) -> Rate:
    if isinstance(value, Rate):
        return value
    count, per = rate(value, f"{what}: rate_limit")
    return Rate(count, per)


def _misfire(what: str, value: Any) -> Misfire:
    if isinstance(value, Misfire):
        return value
    fields = (
        {"policy": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else None
    )
    if fields is None or set(fields) - {"policy", "grace"}:
        raise ConfigError(f"{what}: misfire is {value!r}, allowed is a policy or policy and grace")
    return misfire(fields.get("policy", "FIRE_ONCE"), grace=fields.get("grace", 60))


def misfire(policy: str = "FIRE_ONCE", *, grace: Any = 60) -> Misfire:
    """What becomes of slots later than `grace` (at least 0.1 s): FIRE_ONCE (the latest), FIRE_ALL or SKIP."""
    if policy not in ("FIRE_ONCE", "FIRE_ALL", "SKIP"):
        raise ConfigError(f"misfire policy is {policy!r}, allowed are FIRE_ONCE, FIRE_ALL, SKIP")
    return Misfire(policy=policy, grace=seconds(grace, "misfire grace", minimum=0.1))  # type: ignore[arg-type]


def _backoff(what: str, value: Any) -> Backoff:
    if isinstance(value, Backoff):
        return value
    if isinstance(value, Mapping) and not set(value) - {"base", "cap", "jitter"}:
        return exponential(**value)
    raise ConfigError(f"{what}: backoff is {value!r}, allowed is exponential(base, cap, jitter)")


def _tags(what: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(tag, str) for tag in value):
        raise ConfigError(f"{what}: tags is {value!r}, allowed is a list of texts")
    return tuple(value)


def _payload(what: str, value: Any) -> dict[str, Any]:
    from .codec import to_json  # codec needs model, model needs nothing of ours here

    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{what}: payload is {value!r}, allowed is a mapping with text keys")
    to_json(dict(value), f"{what}: payload")
    return dict(value)


_SPECIAL: dict[str, Callable[[str, Any], Any]] = {
    "rate_limit": _rate,
    "misfire": _misfire,
    "backoff": _backoff,
    "tags": _tags,
    "payload": _payload,
    "memory_limit": lambda what, value: size(value, f"{what}: memory_limit"),
}


def _check_relations(what: str, task: Task) -> None:
    if task.lock_at_most_for <= 0:
        raise ConfigError(f"{what}: lock_at_most_for is {task.lock_at_most_for:g} s, allowed is more than 0")
    if task.lock_at_least_for > task.lock_at_most_for:
        raise ConfigError(
            f"{what}: lock_at_least_for ({task.lock_at_least_for:g} s) must not exceed "
            f"lock_at_most_for ({task.lock_at_most_for:g} s)"
        )
    if task.timeout is not None and not 0 < task.timeout < task.lock_at_most_for:
        raise ConfigError(
            f"{what}: timeout ({task.timeout:g} s) must be above 0 and below "
            f"lock_at_most_for ({task.lock_at_most_for:g} s)"
        )
    if task.memory_limit is not None and task.runner != "process":
        raise ConfigError(f"{what}: memory_limit needs runner 'process', not {task.runner!r}")


def script_fields(task: Task) -> list[str]:
    """What the scripts read of a definition, as field, value, … for `define.lua`. Durations in ms."""
    limit = task.rate_limit
    fields: dict[str, object] = {
        "schedule": msgspec.json.encode(task.schedule).decode(),
        "prio": task.priority,
        "overlap": task.overlap,
        "max_concurrency": "" if task.max_concurrency is None else task.max_concurrency,
        "rate_count": "" if limit is None else limit.count,
        "rate_ms": "" if limit is None else round(limit.per * 1000),
        "max_backlog": task.max_backlog,
        "max_losses": task.max_losses,
        "lock_most": round(task.lock_at_most_for * 1000),
        "lock_least": round(task.lock_at_least_for * 1000),
    }
    return [str(item) for pair in fields.items() for item in pair]
