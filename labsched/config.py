"""Settings: one frozen value, checked when it is built, from code or from YAML and the environment.

Where each field is written in a file and in the environment is the table of labsched/sources.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

import msgspec

from . import durations, sources
from .errors import ConfigError
from .sources import PATHS, YAML_PATHS
from .yamlfile import kind, mask, nearest, shown

__all__ = ["Settings", "mask"]

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

_WHOLE: Mapping[str, tuple[int, int]] = {
    "pool_size": (1, 10_000),
    "max_events": (1, 1_000_000_000),
    "web_port": (0, 65_535),
}
# Everything else is at least a millisecond: the server counts in those.
_MAY_BE_ZERO = frozenset({"cancel_grace", "drain_timeout", "keep_executions"})


class _Refusing(msgspec.StructMeta):
    """A misspelt setting is refused by name, where msgspec alone would raise a bare TypeError."""

    def __call__(cls, *args: Any, **values: Any) -> Any:
        _refuse_unknown(values)
        return super().__call__(*args, **values)


def _refuse_unknown(values: Mapping[str, Any]) -> None:
    for name in values.keys() - set(PATHS.values()):
        raise ConfigError(
            f"unknown setting {name}={shown(name, values[name])}; {nearest(name, PATHS.values())}"
        )


class Settings(msgspec.Struct, frozen=True, kw_only=True, metaclass=_Refusing):
    """How an instance behaves. Durations are seconds, and are accepted in every form (`"5s"`, `"PT5S"`,
    timedelta); ConfigError names the key, its value and what is allowed.

    enabled                whether this process runs executions and coordinates at all
    namespace              which cluster of those on one server; letters, digits and `._-`
    pool_size              attempts that one instance runs at once
    leader_election        only an elected leader dispatches; off: every instance does
    leader_lease           seconds that leadership lasts without a renewal
    leader_renew_deadline  seconds without a proved renewal after which a leader stops acting
    leader_retry           seconds between a leader's renewals, and between a follower's tries at worst
    distributed_lock       a slot runs once in the cluster; off: once on every instance that dispatches it
    lock_at_most_for       seconds after which an attempt is over whatever happens, unless its task says otherwise
    heartbeat_every        seconds between renewals of the instance lease
    instance_lease         seconds that an instance's attempts live without a renewal, by the server's clock
    lease_margin           seconds before the lease's end at which an instance gives its attempts up
    cancel_grace           seconds that a cancelled body has to end
    sweep_every            seconds between looks for instances and attempts that ended without saying so
    wake_fallback          seconds that a lost wake-up hint costs at most
    drain_timeout          seconds that running bodies get after SIGTERM
    max_events             events kept (up to a hundred more), and all since the oldest attempt that runs began
    keep_executions        seconds that an execution is kept after its end
    redis_url              `embedded`, `fake`, or a `redis://`, `rediss://` or `unix://` URL
    request_timeout        seconds until a request without a reply counts as failed
    web_enabled, web_host, web_port   the dashboard's address; port 0 picks a free one
    tasks                  path of a YAML file of tasks; empty for none
    log_level              DEBUG, INFO, WARNING, ERROR or CRITICAL
    """

    enabled: bool = True
    namespace: str = "labsched"
    pool_size: int = 10
    leader_election: bool = True
    leader_lease: float = 5.0
    leader_renew_deadline: float = 3.0
    leader_retry: float = 1.0
    distributed_lock: bool = True
    lock_at_most_for: float = 1800.0
    heartbeat_every: float = 1.0
    instance_lease: float = 4.0
    lease_margin: float = 1.0
    cancel_grace: float = 0.5
    sweep_every: float = 1.0
    wake_fallback: float = 1.0
    drain_timeout: float = 30.0
    max_events: int = 1_000_000
    keep_executions: float = 7 * 86400.0
    redis_url: str = "embedded"
    request_timeout: float = 2.0
    web_enabled: bool = True
    web_host: str = "127.0.0.1"
    web_port: int = 8080
    tasks: str = ""
    log_level: LogLevel = "INFO"

    if TYPE_CHECKING:
        # Fields are typed by what they hold; what may be passed is wider (durations in every form).
        def __init__(self, **values: Any) -> None: ...

    def __post_init__(self) -> None:
        for field in PATHS.values():
            msgspec.structs.force_setattr(self, field, _checked(field, getattr(self, field), field))
        _check_relations(msgspec.structs.asdict(self), lambda field: field)

    @property
    def first_heartbeat_try(self) -> float:
        """Seconds after which a heartbeat without a reply is sent again; the second copy may take twice as long."""
        return _first_try(self.instance_lease - self.lease_margin, self.heartbeat_every)

    @property
    def first_leader_try(self) -> float:
        """The same for the renewal of leadership."""
        return _first_try(self.leader_renew_deadline, self.leader_retry)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, env: Mapping[str, str] = os.environ
    ) -> Settings:
        """Settings from the YAML file `path` (or LABSCHED_CONFIG), overridden by LABSCHED_* variables.

        REDIS_URL is used when neither names a server. A variable that is set to nothing counts as not set.
        ConfigError for anything unknown, wrong, or wrong together; the message says where it was written.
        """
        path = path if path is not None else env.get("LABSCHED_CONFIG") or None
        given = {} if path is None else sources.from_file(path)
        try:
            values = {field: _checked(field, value, place) for field, (place, value) in given.items()}
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        variables = sources.from_environment(env)
        if "redis_url" not in given and env.get("REDIS_URL"):
            variables.setdefault("redis_url", ("REDIS_URL", env["REDIS_URL"]))
        for field, (place, text) in variables.items():
            values[field] = _checked(field, _from_text(field, text), place)
        places = {field: place for field, (place, _) in (given | variables).items()}
        _check_relations({**_DEFAULTS, **values}, lambda field: places.get(field) or YAML_PATHS[field])
        return cls(**values)

    def replace(self, **changes: Any) -> Settings:
        """The same settings but for `changes`, checked again."""
        _refuse_unknown(changes)
        return msgspec.structs.replace(self, **changes)

    def to_yaml(self, *, masked: bool = False) -> str:
        """A YAML file that `load` reads back into equal settings; `masked` hides the URL's password."""
        import yaml

        tree: dict[str, Any] = {}
        for path, field in PATHS.items():
            value = getattr(self, field)
            if isinstance(value, float):
                value = durations.show(value)
            elif field == "redis_url" and masked:
                value = mask(value)
            *sections, key = path.split(".")
            branch = tree
            for section in sections:
                branch = branch.setdefault(section, {})
            branch[key] = value
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)

    def __repr__(self) -> str:
        changed = {
            field: value for field, value in msgspec.structs.asdict(self).items() if value != _DEFAULTS[field]
        }
        if "redis_url" in changed:
            changed["redis_url"] = mask(changed["redis_url"])
        return f"Settings({', '.join(f'{field}={value!r}' for field, value in changed.items())})"


def _first_try(deadline: float, every: float) -> float:
    """A quarter of what is left when a renewal is sent, `every` after the last one that was proved.

    Two tries, of one and two quarters, then end before the deadline: one silent request costs nothing. The rest
    is for the pause between them.
    """
    return (deadline - every) / 4


_DEFAULTS: Mapping[str, Any] = {field.name: field.default for field in msgspec.structs.fields(Settings)}


def _from_text(field: str, text: str) -> Any:
    """A variable's text as the type of `field`; text that does not fit stays and is refused with the rest."""
    if isinstance(_DEFAULTS[field], bool):
        return _SWITCHES.get(text.lower(), text)
    if isinstance(_DEFAULTS[field], int) and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    return text


_SWITCHES = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def _checked(field: str, value: Any, place: str) -> Any:
    """`value` as the type of `field` and inside its range, or ConfigError naming `place`."""
    default = _DEFAULTS[field]
    if isinstance(default, float):
        return durations.seconds(value, place, minimum=0.0 if field in _MAY_BE_ZERO else 0.001)
    if isinstance(default, bool):
        _require(isinstance(value, bool), place, field, value, "allowed are true and false")
    elif isinstance(default, int):
        low, high = _WHOLE[field]
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        _require(fits, place, field, value, f"allowed are whole numbers from {low} to {high}")
    else:
        _require(isinstance(value, str), place, field, value, f"it must be text, not {kind(value)}")
        return _checked_text(field, value, place)
    return value


def _checked_text(field: str, value: str, place: str) -> str:
    if field == "log_level":
        levels = get_args(LogLevel)
        _require(value.upper() in levels, place, field, value, f"allowed are {', '.join(levels)}")
        return value.upper()
    if field == "namespace":
        # It stands between braces in every key: a brace of its own would break the hash tag.
        fits = re.fullmatch(r"[A-Za-z0-9._-]{1,100}", value)
        _require(bool(fits), place, field, value, "allowed are 1 to 100 letters, digits and . _ -")
    elif field == "redis_url":
        _check_url(value, place)
    elif field == "web_host":
        _require(
            bool(re.fullmatch(r"[^\s/]+", value)), place, field, value, "it must be a host name or address"
        )
    return value


def _check_url(url: str, place: str) -> None:
    allowed = "allowed are embedded, fake, or a redis://, rediss:// or unix:// URL"
    if "://" not in url:
        # Other plain words may be registered as entry points, so only their form is judged here.
        _require(bool(re.fullmatch(r"[a-z][a-z0-9_-]*", url)), place, "redis_url", url, allowed)
        return
    _require(url.startswith(("redis://", "rediss://", "unix://")), place, "redis_url", url, allowed)
    readable = True
    try:
        urlsplit(url).port  # noqa: B018 - parsed, and refused, when it is looked at
    except ValueError:
        # Its own message would show the password: it takes a "/" in it for the end of the host.
        readable = False
    _require(readable, place, "redis_url", url, "it cannot be understood; a password must be percent-encoded")


def _require(fits: bool, place: str, field: str, value: object, rule: str) -> None:
    if not fits:
        raise ConfigError(f"{place} {shown(field, value)} is refused: {rule}")


def _check_relations(values: Mapping[str, Any], place: Callable[[str], str]) -> None:
    """The timings that only make sense together (docs/settings.md); `place` says where a field was written."""

    def below(small: str, large: str, of_small: float = 1.0, of_large: float = 1.0) -> None:
        if values[small] * of_small >= values[large] * of_large:
            left = f"{place(small)} ({durations.show(values[small])})" + (" twice" if of_small == 2 else "")
            right = (
                "half of " if of_large == 0.5 else ""
            ) + f"{place(large)} ({durations.show(values[large])})"
            raise ConfigError(f"{left} must be less than {right}")

    below("leader_retry", "leader_renew_deadline")
    below("leader_renew_deadline", "leader_lease")
    below("heartbeat_every", "instance_lease", of_small=2)
    below("lease_margin", "instance_lease", of_large=0.5)
    below("cancel_grace", "lease_margin")
