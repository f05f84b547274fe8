"""JSON as lua-cjson, the library of Redis, reads and writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE

NULL = object()  # cjson.null

_ESCAPES = {ord(c): f"\\{to}" for c, to in zip('"\\/\b\f\n\r\t', '"\\/bfnrt', strict=True)}
_ESCAPES |= {c: f"\\u{c:04x}" for c in (*range(32), 127) if c not in _ESCAPES}


def encode(value: Any) -> bytes:
    """As lua-cjson writes it: an empty table is {}, numbers have 14 digits, a slash is escaped, UTF-8 is not."""
    if value is NULL or value is None:
        return b"null"
    if isinstance(value, bytes):
        return ('"' + value.decode("utf-8", "surrogateescape").translate(_ESCAPES) + '"').encode(
            "utf-8", "surrogateescape"
        )
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int | float):
        return f"{value:.14g}".encode()
    if LUA_MODULE.lua_type(value) != "table":
        raise ValueError("Cannot serialise this type")
    items = dict(value.items())
    if items and all(isinstance(key, int) and key > 0 for key in items):
        return b"[" + b",".join(encode(items.get(i)) for i in range(1, max(items) + 1)) + b"]"
    return b"{" + b",".join(encode(key if isinstance(key, bytes) else f"{key:.14g}".encode()) + b":" + encode(v)
                            for key, v in items.items()) + b"}"  # fmt: skip


def decode(text: bytes, table: Callable[[Any], Any]) -> Any:
    """`table` makes a Lua table of a list or dict. Raises ValueError."""
    return _to_lua(json.loads(text), table)


def _to_lua(value: Any, table: Callable[[Any], Any]) -> Any:
    if value is None:
        return NULL
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return table([_to_lua(item, table) for item in value])
    if isinstance(value, dict):
        return table({key.encode(): _to_lua(item, table) for key, item in value.items()})
    return value
