"""Is this server fit to keep the promises? Asked once, before an instance or client uses it.

Only facts that the server states itself (INFO, and CONFIG GET where it is allowed) are used. What would
break a guarantee is a `ServerUnsuitable` that says what to do; what weakens one is a note.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import redis.asyncio as aioredis
from redis import exceptions as rex

from .errors import ServerUnsuitable
from .store import pairs, text

OLDEST = (7, 0)  # Redis; every Valkey is younger


@dataclass(frozen=True)
class Preflight:
    """What was found. None: not known, because the server does not tell; then a note says so.

    `appendfsync` is "always", "everysec" or "no", and "" when there is no append-only file.
    Sizes in bytes; `maxmemory` 0 means no limit.
    """

    checked: bool
    server: str = "unknown"
    version: str = ""
    role: str = ""
    maxmemory_policy: str | None = None
    maxmemory: int | None = None
    used_memory: int | None = None
    appendonly: bool | None = None
    appendfsync: str | None = None
    snapshots: bool | None = None
    last_write_ok: bool | None = None
    min_replicas_to_write: int | None = None
    replicas: int | None = None
    notes: tuple[str, ...] = ()


async def preflight(redis: aioredis.Redis) -> Preflight:
    """Look at the server. Raises `ServerUnsuitable`.

    Errors of the link pass through as redis-py raised them, so that `Store.retrying` can ask again.
    """
    try:
        info = _flat(await _ask(redis, "INFO"))
    except (rex.NoPermissionError, rex.ResponseError) as error:
        note = f"the server was not checked, it answers no INFO ({error})"
        return Preflight(checked=False, notes=(note,))
    server, version = _identity(info)
    _refuse_old(server, version)
    _refuse_replica(info)
    _refuse_eviction(info)
    notes: list[str] = []
    config = await _config(redis, notes)
    found = Preflight(
        checked=True,
        server=server,
        version=version,
        role=info.get("role", ""),
        maxmemory_policy=info.get("maxmemory_policy"),
        maxmemory=_number(info.get("maxmemory")),
        used_memory=_number(info.get("used_memory")),
        appendonly=_flag(info.get("aof_enabled")),
        appendfsync=_fsync(info, config),
        snapshots=bool(config["save"]) if "save" in config else None,
        last_write_ok=_last_write(info),
        min_replicas_to_write=_number(config.get("min-replicas-to-write")),
        replicas=_number(info.get("connected_slaves")),
    )
    notes += _weaknesses(found)
    return Preflight(**{**vars(found), "notes": tuple(notes)})


async def _ask(redis: aioredis.Redis, *command: str) -> Any:
    send: Callable[..., Awaitable[Any]] = redis.execute_command
    return await send(*command)


def _flat(reply: Any) -> dict[str, str]:
    """INFO as strings, whether redis-py has taken it apart or handed it on as one text."""
    if isinstance(reply, Mapping):
        return {text(name): text(value) for name, value in reply.items()}
    lines = (line.partition(":") for line in text(reply).splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, colon, value in lines if colon}


def _identity(info: Mapping[str, str]) -> tuple[str, str]:
    if "valkey_version" in info:
        return "valkey", info["valkey_version"]
    return info.get("server_name", "redis"), info.get("redis_version", "")


def _refuse_old(server: str, version: str) -> None:
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    if server != "valkey" and numbers and numbers < OLDEST:
        raise ServerUnsuitable(f"{server} {version} is too old: Redis 7.0 or newer, or Valkey, is needed")


def _refuse_replica(info: Mapping[str, str]) -> None:
    if info.get("role") in ("slave", "replica"):
        master = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
        raise ServerUnsuitable(f"the server is a replica and takes no writes: use its primary, {master}")


def _refuse_eviction(info: Mapping[str, str]) -> None:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ServerUnsuitable(
            f"the server may evict keys (maxmemory-policy is {policy}), locks and history with them: "
            "run CONFIG SET maxmemory-policy noeviction, and set it in its configuration file"
        )


async def _config(redis: aioredis.Redis, notes: list[str]) -> dict[str, str]:
    wanted = ("appendfsync", "save", "min-replicas-to-write")
    try:
        return pairs(await _ask(redis, "CONFIG GET", *wanted))
    except rex.ResponseError as error:
        notes.append(f"CONFIG GET is refused ({error}): appendfsync and min-replicas-to-write are not known")
        return {}


def _fsync(info: Mapping[str, str], config: Mapping[str, str]) -> str | None:
    return "" if _flag(info.get("aof_enabled")) is False else config.get("appendfsync")


def _last_write(info: Mapping[str, str]) -> bool | None:
    said = [info[f] for f in ("aof_last_write_status", "rdb_last_bgsave_status") if f in info]
    return all(word == "ok" for word in said) if said else None


def _weaknesses(found: Preflight) -> list[str]:
    notes = []
    if found.appendonly is False:
        kept = "only what the last snapshot holds" if found.snapshots else "nothing"
        notes.append(f"no append-only file: after a crash of the server {kept} is left")
    elif found.appendfsync in ("everysec", "no"):
        notes.append(f"appendfsync is {found.appendfsync}: a crash may lose acknowledged writes")
    if found.last_write_ok is False:
        notes.append("the server's last write to its disk failed")
    if found.replicas and not found.min_replicas_to_write:
        notes.append("replicas without min-replicas-to-write: a cut-off primary goes on accepting writes")
    if found.maxmemory and found.used_memory and found.used_memory > 0.9 * found.maxmemory:
        notes.append(f"{found.used_memory} of {found.maxmemory} bytes of memory are in use")
    return notes


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdecimal() else None


def _flag(value: str | None) -> bool | None:
    return None if value is None else value == "1"
