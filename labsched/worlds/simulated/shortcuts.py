"""The plain cases of the commands that scripts call most, on fakeredis's own data.

fakeredis prepares each command as if it could be any: two thirds of a simulated second went there. A shortcut
answers only what it is sure of (the key is there, of the right type, without expiring fields) and leaves
all the rest, errors too, to fakeredis by answering `LEAVE`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fakeredis._command_args_parsing import Float
from fakeredis._helpers import OK
from fakeredis.model import Hash, XStream, ZSet

from .mending import MendedDatabase, now

LEAVE = object()


def _hash(db: MendedDatabase, key: bytes) -> Any:
    """The hash's own dict; None: no such key; LEAVE: not a plain hash."""
    item = db.get(key)
    if item is None:
        return None
    value = item.value
    return value._values if type(value) is Hash and not value._expiry_heap else LEAVE


def _zset(db: MendedDatabase, key: bytes) -> Any:
    item = db.get(key)
    return None if item is None else item.value if type(item.value) is ZSet else LEAVE


def hget(db: MendedDatabase, w: list[bytes]) -> Any:
    if len(w) != 2 or (values := _hash(db, w[0])) is LEAVE:
        return LEAVE
    return None if values is None else values.get(w[1])


def hmget(db: MendedDatabase, w: list[bytes]) -> Any:
    if len(w) < 2 or (values := _hash(db, w[0])) is LEAVE:
        return LEAVE
    return [None] * (len(w) - 1) if values is None else [values.get(field) for field in w[1:]]


def hset(db: MendedDatabase, w: list[bytes]) -> Any:
    if len(w) < 3 or not len(w) % 2 or not (values := _hash(db, w[0])) or values is LEAVE:
        return LEAVE
    before = len(values)
    values.update(zip(w[1::2], w[2::2], strict=True))
    db.notify_watch(w[0])
    return len(values) - before


def hincrby(db: MendedDatabase, w: list[bytes]) -> Any:
    if len(w) != 3 or not (values := _hash(db, w[0])) or values is LEAVE:
        return LEAVE
    old = values.get(w[1], b"0")
    if len(old) > 17 or len(w[2]) > 17 or not old.lstrip(b"-").isdigit() or not w[2].lstrip(b"-").isdigit():
        return LEAVE
    new = int(old) + int(w[2])
    values[w[1]] = b"%d" % new
    db.notify_watch(w[0])
    return new


def zscore(db: MendedDatabase, w: list[bytes]) -> Any:
    if len(w) != 2 or (zset := _zset(db, w[0])) is LEAVE:
        return LEAVE
    score = None if zset is None else zset.get(w[1])
    return None if score is None else Float.encode(score, humanfriendly=False)


def zadd(db: MendedDatabase, w: list[bytes]) -> Any:
    if len(w) != 3 or not w[1].isdigit() or not (zset := _zset(db, w[0])) or zset is LEAVE:
        return LEAVE
    before = len(zset)
    if zset.add(w[2], float(w[1])):
        db.notify_watch(w[0])
    return len(zset) - before


def zrem(db: MendedDatabase, w: list[bytes]) -> Any:
    if len(w) != 2 or (zset := _zset(db, w[0])) is LEAVE:
        return LEAVE
    if zset is None or w[1] not in zset:
        return 0
    if len(zset) == 1:
        return LEAVE  # an empty key must go
    zset.discard(w[1])
    db.notify_watch(w[0])
    return 1


def zrange(db: MendedDatabase, w: list[bytes]) -> Any:
    if len(w) != 3 or not w[1].isdigit() or not w[2].isdigit() or (zset := _zset(db, w[0])) is LEAVE:
        return LEAVE
    return [] if zset is None else [member for _, member in zset.islice_score(int(w[1]), int(w[2]) + 1)]


def exists(db: MendedDatabase, w: list[bytes]) -> Any:
    return int(db.get(w[0]) is not None) if len(w) == 1 else LEAVE


def get(db: MendedDatabase, w: list[bytes]) -> Any:
    if len(w) != 1:
        return LEAVE
    item = db.get(w[0])
    return None if item is None else item.value if type(item.value) is bytes else LEAVE


def put(db: MendedDatabase, w: list[bytes]) -> Any:
    if len(w) != 2:
        return LEAVE
    item = db.get(w[0])
    if item is None or type(item.value) is not bytes or item.expireat is not None:
        return LEAVE
    item.value = w[1]
    db.notify_watch(w[0])
    return OK


def persist(db: MendedDatabase, w: list[bytes]) -> Any:
    if len(w) != 1:
        return LEAVE
    item = db.get(w[0])
    return 0 if item is None or item.expireat is None else LEAVE


def xadd(db: MendedDatabase, w: list[bytes]) -> Any:
    if len(w) < 4 or len(w) % 2 or w[1] != b"*":
        return LEAVE
    item = db.get(w[0])
    if item is None or type(item.value) is not XStream or (entry := item.value.next_id(None)) is None:
        return LEAVE
    item.value.add(w[2:], entry)
    db.notify_watch(w[0])
    return entry.encode()


def clock(db: MendedDatabase, w: list[bytes]) -> Any:
    if w:
        return LEAVE
    seconds, us = divmod(round(now() * 1_000_000), 1_000_000)
    return [b"%d" % seconds, b"%d" % us]


SHORTCUTS: dict[Any, Callable[[MendedDatabase, list[bytes]], Any]] = {
    b"HGET": hget, b"HMGET": hmget, b"ZSCORE": zscore, b"ZRANGE": zrange, b"EXISTS": exists, b"GET": get,
    b"TIME": clock, b"HSET": hset, b"HINCRBY": hincrby, b"ZADD": zadd, b"ZREM": zrem,
    b"SET": put, b"PERSIST": persist, b"XADD": xadd,
}  # fmt: skip
