"""What the shortcuts of `shortcuts.py` stand on: a look at fakeredis's data, and words as scripts give them."""

from __future__ import annotations

from typing import Any, TypeAlias

from fakeredis._core import Item
from fakeredis.model import ExpiringMembersSet, Hash

from .mending import MendedDatabase
from .plans import word

LEAVE = True  # no Redis answer is Lua's `true`
NIL = False
MANY = 200  # so many values cross over to Lua at once at most; its stack is small
EXACT = 10**15  # integers up to here are written the same way by everybody

Answer: TypeAlias = Any  # bytes, a number, NIL or LEAVE
Items: TypeAlias = tuple[Any, ...]  # of a list; (LEAVE,)

LEFT: Items = (LEAVE,)


def whole(value: Any) -> int | None:
    """A whole number from a script, as Lua or as text; None when that is not plain."""
    if type(value) is int:
        return value if -EXACT < value < EXACT else None
    if type(value) is not bytes or len(value) > 15 or not value[-1:].isdigit():
        return None
    try:
        number = int(value)
    except ValueError:
        return None
    return number if b"%d" % number == value else None


def words_of(values: tuple[Any, ...]) -> list[bytes] | None:
    words = [v if type(v) is bytes else word(v) if type(v) is int else None for v in values]
    return None if None in words else words  # type: ignore[return-value]


def all_bytes(values: tuple[Any, ...]) -> bool:
    return set(map(type, values)) == {bytes}


class Look:
    """At the database `db`."""

    db: MendedDatabase

    # --- what is there: None when the key is missing, LEAVE when that has to be looked at more closely

    def _value(self, key: Any, kind: type) -> Any:
        item = self.db.get(key)
        if item is None:
            return None if type(key) is bytes else LEAVE
        return item.value if type(item.value) is kind else LEAVE

    def _hash(self, key: Any) -> Any:
        value = self._value(key, Hash)
        if value is None or value is LEAVE:
            return value
        return LEAVE if value._expiry_heap else value._values

    def _set(self, key: Any) -> Any:
        value = self._value(key, ExpiringMembersSet)
        return value if value is None or value is LEAVE or not value._may_expire else LEAVE

    def _put(self, key: bytes, value: Any) -> None:
        self.db._dict[key] = Item(value)

    def _changed(self, key: bytes, value: Any = True) -> None:
        self.db.notify_watch(key)
        if not value:
            del self.db._dict[key]  # Redis keeps no empty ones
