"""The keys of one namespace as they lie in Redis, cut to what a person looks at. Nothing outside of it is read."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import msgspec
from redis import exceptions as rex

from .errors import ConfigError
from .store import Store, glob, pairs, text

STEP = 1000  # keys that one step of the cursor looks at
STEPS = 20  # at most, until a page has enough keys
ENOUGH = 200
SHOWN = 100  # elements of a key
LONGEST = 2000  # characters of an element


class KeyName(msgspec.Struct, frozen=True):
    """A key without its prefix, and what Redis calls its type."""

    name: str
    type: str


class KeyPage(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the keys, without their prefix; `cursor` continues, "0" ends. Redis gives no order."""

    prefix: str
    keys: tuple[KeyName, ...]
    cursor: str


class KeyValue(msgspec.Struct, frozen=True, kw_only=True):
    """One key: `size` elements (characters of a string), the first hundred of them as rows of cells, `left` seconds to
    live (None: for ever). Cells are cut at 2,000 characters."""

    name: str
    type: str
    size: int
    left: float | None
    rows: tuple[tuple[str, ...], ...]


async def keys(store: Store, cursor: str = "0", part: str = "") -> KeyPage:
    """Keys whose name contains `part`. Raises ConfigError for a cursor that is none."""
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 20):
        raise ConfigError(f"cursor is {cursor[:40]!r}, allowed is what the page before gave")
    wanted = glob(store.prefix) + (f"*{glob(part)}*" if part else "*")
    seen: set[bytes | str] = set()
    for _ in range(STEPS):
        command = ("SCAN", cursor, "MATCH", wanted, "COUNT", STEP)
        try:
            after, found = await store.retrying(functools.partial(store.redis.execute_command, *command))
        except rex.ResponseError:
            raise ConfigError(f"cursor is {cursor!r}, allowed is what the page before gave") from None
        cursor = text(after)
        seen.update(found)
        if cursor == "0" or len(seen) >= ENOUGH:
            break
    names = sorted(name for raw in seen if (name := _readable(raw)) is not None)
    kinds = await store.reads([("TYPE", name) for name in names])
    shown = tuple(
        KeyName(name[len(store.prefix) :], text(kind)) for name, kind in zip(names, kinds, strict=True)
    )
    return KeyPage(prefix=store.prefix, keys=shown, cursor=cursor)


def _readable(raw: bytes | str) -> str | None:
    """None for a key that somebody else put there under bytes that are no text."""
    try:
        return text(raw)
    except UnicodeDecodeError:
        return None


async def key(store: Store, name: str) -> KeyValue:
    """What lies under `name` (without the prefix). Raises ConfigError when there is nothing."""
    full = store.prefix + name
    kind, ttl = await store.reads([("TYPE", full), ("PTTL", full)])
    kind = text(kind)
    if kind not in _READS:
        raise ConfigError(
            f"there is no key {name[:80]!r}" if kind == "none" else f"{name[:80]!r} is a {kind}"
        )
    size, read = _READS[kind]
    count, value = await store.reads([(size, full), tuple(full if word == "KEY" else word for word in read)])
    left = int(ttl) / 1000 if int(ttl) >= 0 else None
    return KeyValue(name=name, type=kind, size=int(count), left=left, rows=tuple(_rows(kind, value)))


# By type: what counts its elements, and what reads the first of them. Values of hashes are read with HSCAN, whose
# COUNT is a hint: a small hash comes whole, and `_rows` cuts.
_READS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "string": ("STRLEN", ("GETRANGE", "KEY", 0, LONGEST)),
    "hash": ("HLEN", ("HSCAN", "KEY", 0, "COUNT", SHOWN)),
    "list": ("LLEN", ("LRANGE", "KEY", 0, SHOWN - 1)),
    "set": ("SCARD", ("SSCAN", "KEY", 0, "COUNT", SHOWN)),
    "zset": ("ZCARD", ("ZRANGE", "KEY", 0, SHOWN - 1, "WITHSCORES")),
    "stream": ("XLEN", ("XREVRANGE", "KEY", "+", "-", "COUNT", SHOWN)),
}


def _rows(kind: str, value: Any) -> Sequence[tuple[str, ...]]:
    if kind == "string":
        return [(_cut(value),)]
    if kind == "stream":
        return [(_cut(id), *(f"{k}={_cut(v)}" for k, v in pairs(fields).items())) for id, fields in value]
    if kind in ("hash", "set"):
        value = value[1]
    if kind == "hash" or (kind == "zset" and not (value and isinstance(value[0], tuple | list))):
        flat = [item for pair in value.items() for item in pair] if isinstance(value, dict) else value
        return [(_cut(a), _cut(b)) for a, b in zip(flat[::2], flat[1::2], strict=True)][:SHOWN]
    if kind == "zset":
        return [(_cut(member), _cut(score)) for member, score in value]
    return [(_cut(item),) for item in value][:SHOWN]


def _cut(value: Any) -> str:
    said = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
