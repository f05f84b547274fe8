"""Where settings are written: one table of places in the YAML file, and the variables that follow from it.

`scheduler.leader-election.lease` is the field `leader_lease` and the environment variable
`LABSCHED_SCHEDULER_LEADER_ELECTION_LEASE`. Values are found here and judged in labsched/config.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import ConfigError
from .yamlfile import nearest, read_mapping, shown

PATHS: Mapping[str, str] = {
    "scheduler.enabled": "enabled",
    "scheduler.namespace": "namespace",
    "scheduler.pool-size": "pool_size",
    "scheduler.leader-election.enabled": "leader_election",
    "scheduler.leader-election.lease": "leader_lease",
    "scheduler.leader-election.renew-deadline": "leader_renew_deadline",
    "scheduler.leader-election.retry": "leader_retry",
    "scheduler.distributed-lock.enabled": "distributed_lock",
    "scheduler.distributed-lock.default-lock-time": "lock_at_most_for",
    "scheduler.instance.heartbeat": "heartbeat_every",
    "scheduler.instance.lease": "instance_lease",
    "scheduler.instance.lease-margin": "lease_margin",
    "scheduler.instance.cancel-grace": "cancel_grace",
    "scheduler.instance.sweep-every": "sweep_every",
    "scheduler.instance.wake-fallback": "wake_fallback",
    "scheduler.instance.drain-timeout": "drain_timeout",
    "scheduler.history.max-events": "max_events",
    "scheduler.history.keep-executions": "keep_executions",
    "redis.url": "redis_url",
    "redis.timeout": "request_timeout",
    "web.enabled": "web_enabled",
    "web.host": "web_host",
    "web.port": "web_port",
    "tasks": "tasks",
    "log-level": "log_level",
}

# Variables of the LABSCHED_ family that are no settings; any other unknown one is a mistake.
OTHER_VARIABLES = frozenset({"LABSCHED_CONFIG", "LABSCHED_PROGRESS", "LABSCHED_WEB_TOKEN"})

YAML_PATHS: Mapping[str, str] = {field: path for path, field in PATHS.items()}

# By field: the place that named it (a path in the file, or a variable), and what stands there.
Given = dict[str, tuple[str, Any]]


def variable(path: str) -> str:
    """The environment variable for a place in the YAML file."""
    return "LABSCHED_" + re.sub(r"[.-]", "_", path).upper()


_VARIABLES: Mapping[str, str] = {variable(path): field for path, field in PATHS.items()}


def from_file(path: str | os.PathLike[str]) -> Given:
    """What the YAML file `path` says. ConfigError for what cannot be read and for unknown keys."""
    tree = read_mapping(path, "settings file")
    try:
        return {PATHS[place]: (place, value) for place, value in _leaves(tree, "")}
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def from_environment(env: Mapping[str, str]) -> Given:
    """What LABSCHED_* variables say, as text. ConfigError for unknown ones; empty ones count as not set."""
    given: Given = {}
    for name in sorted(env):
        if not name.startswith("LABSCHED_") or name in OTHER_VARIABLES or not env[name]:
            continue
        if name not in _VARIABLES:
            hint = nearest(name, _VARIABLES.keys() | OTHER_VARIABLES)
            raise ConfigError(f"unknown variable {name}={shown(name, env[name])}; {hint}")
        given[_VARIABLES[name]] = (name, env[name].strip())
    return given


def _leaves(tree: dict[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if path in PATHS:
            yield path, value
            continue
        below = _children(f"{path}.")
        if not below:
            raise ConfigError(
                f"unknown setting {path}: {shown(path, value)}; {_meant(path, prefix, str(key))}"
            )
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}.")
        elif value is not None:  # a section whose lines are all commented out
            raise ConfigError(
                f"{path} {shown(path, value)} is refused: it is a section with {', '.join(below)}"
            )


def _children(prefix: str) -> list[str]:
    return sorted({path[len(prefix) :].split(".")[0] for path in PATHS if path.startswith(prefix)})


def _meant(path: str, prefix: str, key: str) -> str:
    """Suggestions for an unknown key: the same key elsewhere in the tree is likelier than a similar path."""
    elsewhere = sorted(known for known in PATHS if known.split(".")[-1] == key.replace("_", "-"))
    return f"did you mean {' or '.join(elsewhere)}?" if elsewhere else nearest(path, PATHS, _children(prefix))
