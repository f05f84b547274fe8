"""What the shortcuts of `shortcuts.py` stand on: a look at fakeredis's data, and words as scripts give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from fakeredis._core import Item
from fakeredis.model import ExpiringMembersSet, Hash

from .mending import MendedDatabase
from .plans import word

LEAVE = True  # no Redis answer is Lua's `true`
NIL = False
MANY = 200  # so many values cross over to Lua at once at most; its stack is small
EXACT = 2**53  # integers below are themselves as Lua's numbers, and written the same way by everybody

Answer: TypeAlias = Any  # bytes, a number, NIL or LEAVE
Items: TypeAlias = tuple[Any, ...]  # of a list; (LEAVE,)

LEFT: Items = (LEAVE,)
BYTES = {bytes}
ZERO = ord("0")


def whole(value: Any) -> int | None:
    """A whole number from a script, as Lua or as text; None when that is not plain."""
    if type(value) is int:
        return value if -EXACT < value < EXACT else None
    if type(value) is not bytes or len(value) > 17:
        return None
    if value.isdigit():
        number = int(value)
        return number if number < EXACT and (value[0] != ZERO or len(value) == 1) else None
    if value[:1] != b"-" or not value[1:].isdigit() or value[1] == ZERO:
        return None
    return number if (number := int(value)) > -EXACT else None


def words_of(values: tuple[Any, ...]) -> Sequence[bytes] | None:
    if all_bytes(values):
        return values
    words = [v if type(v) is bytes else word(v) if type(v) is int else None for v in values]
    return None if None in words else words  # type: ignore[return-value]


def all_bytes(values: tuple[Any, ...]) -> bool:
    return set(map(type, values)) == BYTES


def written(score: float) -> bytes:
    """As Redis writes a score."""
    return b"%d" % score if -EXACT < score < EXACT and score == int(score) else b"%.17g" % score


class Look:
    """At one database. What is done most is spelled out instead of called: a call costs more than what it does."""

    db: MendedDatabase
    items: dict[bytes, Any]  # the database's own
    noted: dict[bytes, None]  # which keys have changed

    def at(self, db: MendedDatabase) -> bool:
        """Look at that one from now on. False when somebody watches its keys, of which shortcuts know nothing."""
        self.db, self.items, self.noted = db, db._dict, db._changed
        return not db._watches

    # --- what is there: None when the key is missing, LEAVE when that has to be looked at more closely

    def _value(self, key: Any, kind: type) -> Any:
        item = self.items.get(key)
        if item is not None and item.expireat is not None:
            item = self.db.get(key)
        if item is None:
            return None if type(key) is bytes else LEAVE
        return item.value if type(item.value) is kind else LEAVE

    def _hash(self, key: Any) -> Any:
        item = self.items.get(key)
        if item is not None and item.expireat is not None:
            item = self.db.get(key)
        if item is None:
            return None if type(key) is bytes else LEAVE
        value = item.value
        return value._values if type(value) is Hash and not value._expiry_heap else LEAVE

    def _set(self, key: Any) -> Any:
        value = self._value(key, ExpiringMembersSet)
        return value if value is None or value is LEAVE or not value._may_expire else LEAVE

    def _put(self, key: bytes, value: Any) -> None:
        self.items[key] = Item(value)

    def _shrunk(self, key: bytes, left: Any) -> None:
        self.noted[key] = None
        if not left:
            del self.items[key]  # Redis keeps no empty ones
