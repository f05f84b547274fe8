"""The plain cases of the commands that scripts call most, on fakeredis's own data.

fakeredis prepares each command as if it could be any: two thirds of a simulated second went there. A shortcut
is called by Lua itself, with what the script gave. It answers only what it is sure of (as many words as there
must be, a key of the right type, no expiring fields) and leaves all the rest, errors too, to fakeredis.
"""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any

from fakeredis.model import ExpiringMembersSet, Hash, XStream, ZSet

from .look import EXACT, LEAVE, LEFT, MANY, NIL, Answer, Items, Look, all_bytes, whole, words_of, written
from .mending import MendedDatabase, now

NILS = repeat(NIL)


class Shortcuts(Look):
    """One method per command. None of them raises."""

    # --- hashes

    def hget(self, key: Any = None, field: Any = None, *more: Any) -> Answer:
        values = self._hash(key)
        if values is LEAVE or more or type(field) is not bytes:
            return LEAVE
        return NIL if values is None else values.get(field, NIL)

    def hexists(self, key: Any = None, field: Any = None, *more: Any) -> Answer:
        found = self.hget(key, field, *more)
        return found if found is LEAVE else int(found is not NIL)

    def hmget(self, key: Any = None, *fields: Any) -> Items:
        values = self._hash(key)
        if values is LEAVE or not len(fields) < MANY or not all_bytes(fields):
            return LEFT
        return (NIL,) * len(fields) if values is None else tuple(map(values.get, fields, NILS))

    def hset(self, key: Any = None, *pairs: Any) -> Answer:
        values = self._hash(key)
        if values is LEAVE or not pairs or len(pairs) % 2 or (words := words_of(pairs)) is None:
            return LEAVE
        if values is None:
            made = Hash()
            self._put(key, made)
            values = made._values
        before = len(values)
        values.update(zip(words[::2], words[1::2], strict=True))
        self.noted[key] = None
        return len(values) - before

    def hincrby(self, key: Any = None, field: Any = None, amount: Any = None, *more: Any) -> Answer:
        values, by = self._hash(key), whole(amount)
        if not values or values is LEAVE or by is None or more or type(field) is not bytes:
            return LEAVE
        old = whole(values.get(field, b"0"))
        if old is None:
            return LEAVE
        new = old + by
        if not -EXACT < new < EXACT:
            return LEAVE
        values[field] = b"%d" % new
        self.noted[key] = None
        return new

    # --- sorted sets

    def zscore(self, key: Any = None, member: Any = None, *more: Any) -> Answer:
        zset = self._value(key, ZSet)
        if zset is LEAVE or more or type(member) is not bytes:
            return LEAVE
        score = None if zset is None else zset._bylex.get(member)
        if score is None:
            return NIL
        return written(score)

    def zadd(self, key: Any = None, *words: Any) -> Answer:
        zset, only_new = self._value(key, ZSet), words[:1] == (b"NX",)
        pairs = words[1:] if only_new else words
        if zset is LEAVE or not pairs or len(pairs) % 2 or not all_bytes(pairs[1::2]):
            return LEAVE
        scores = list(map(whole, pairs[::2]))
        if None in scores:
            return LEAVE
        if zset is None:
            self._put(key, zset := ZSet())
        had = zset._bylex
        before = len(had)
        for score, member in zip(scores, pairs[1::2], strict=True):
            if not (only_new and member in had) and zset.add(member, float(score)):  # type: ignore[arg-type]
                self.noted[key] = None
        return len(had) - before

    def zrem(self, key: Any = None, member: Any = None, *more: Any) -> Answer:
        zset = self._value(key, ZSet)
        if zset is LEAVE or more or type(member) is not bytes:
            return LEAVE
        if zset is None or member not in zset._bylex:
            return 0
        zset.discard(member)
        self._shrunk(key, zset._bylex)
        return 1

    def zrange(self, key: Any = None, start: Any = None, stop: Any = None, *more: Any) -> Items:
        zset, first, last = self._value(key, ZSet), whole(start), whole(stop)
        if zset is LEAVE or first is None or last is None or first < 0 or last < 0:
            return LEFT
        scored = more == (b"WITHSCORES",)
        if more and not scored:
            return LEFT
        if zset is None:
            return ()
        if min(len(zset._bylex), last + 1 - first) * (1 + scored) >= MANY:
            return LEFT
        page = zset._byscore[first : last + 1]
        if scored:
            return tuple(chain.from_iterable([(member, written(score)) for score, member in page]))
        return tuple([member for _, member in page])

    # --- sets and lists

    def scard(self, key: Any = None, *more: Any) -> Answer:
        found = self._set(key)
        return LEAVE if found is LEAVE or more else 0 if found is None else len(found._values)

    def sadd(self, key: Any = None, *members: Any) -> Answer:
        found = self._set(key)
        if found is LEAVE or not members or not all_bytes(members):
            return LEAVE
        if found is None:
            self._put(key, found := ExpiringMembersSet())
        before = len(found._values)
        found.update(members)
        self.noted[key] = None
        return len(found._values) - before

    def srem(self, key: Any = None, *members: Any) -> Answer:
        found = self._set(key)
        if found is LEAVE or not members or not all_bytes(members):
            return LEAVE
        if found is None:
            return 0
        before = len(found._values)
        for member in members:
            found.discard(member)
        gone = before - len(found._values)
        if gone:
            self._shrunk(key, found._values)
        return gone

    def rpush(self, key: Any = None, *values: Any) -> Answer:
        found = self._value(key, list)
        if found is LEAVE or not values or not all_bytes(values):
            return LEAVE
        if found is None:
            self._put(key, found := [])
        found.extend(values)
        self.noted[key] = None
        return len(found)

    def ltrim(self, key: Any = None, start: Any = None, stop: Any = None, *more: Any) -> Answer:
        found, first, last = self._value(key, list), whole(start), whole(stop)
        if found is LEAVE or more or first is None or last is None:
            return LEAVE
        if found is not None:
            self.items[key].value = found = found[first : None if last == -1 else last + 1]
            self._shrunk(key, found)
        return NIL

    # --- any key

    def exists(self, key: Any = None, *more: Any) -> Answer:
        return LEAVE if more or type(key) is not bytes else int(self.db.get(key) is not None)

    def get(self, key: Any = None, *more: Any) -> Answer:
        value = self._value(key, bytes)
        return LEAVE if more else NIL if value is None else value

    def set(self, key: Any = None, value: Any = None, *more: Any) -> Answer:
        item = self.db.get(key)
        if item is None or type(item.value) is not bytes or more or type(value) is not bytes:
            return LEAVE
        if item.expireat is not None:
            return LEAVE
        item.value = value
        self.noted[key] = None
        return NIL

    def _expire(self, key: Any, at: float) -> Answer:
        item = self.db.get(key)
        if item is None:
            return 0 if type(key) is bytes else LEAVE
        item.expireat = at
        self.db.schedule_expiry(key, at)
        self.noted[key] = None
        return 1

    def expire(self, key: Any = None, seconds: Any = None, *more: Any) -> Answer:
        n = whole(seconds)
        return LEAVE if n is None or more else self._expire(key, self.db.time + n)

    def pexpire(self, key: Any = None, ms: Any = None, *more: Any) -> Answer:
        n = whole(ms)
        return LEAVE if n is None or more else self._expire(key, self.db.time + n / 1000.0)

    def pexpireat(self, key: Any = None, ms: Any = None, *more: Any) -> Answer:
        n = whole(ms)
        return LEAVE if n is None or more else self._expire(key, n / 1000.0)

    def persist(self, key: Any = None, *more: Any) -> Answer:
        item = self.db.get(key)
        if more or (item is None and type(key) is not bytes):
            return LEAVE
        if item is None or item.expireat is None:
            return 0
        item.expireat = None
        self.noted[key] = None
        return 1

    # --- streams and time

    def xadd(self, key: Any = None, id: Any = None, *fields: Any) -> Answer:
        stream = self._value(key, XStream)
        if stream is None or stream is LEAVE or id != b"*" or not fields or len(fields) % 2:
            return LEAVE
        words = words_of(fields)
        if words is None or (entry := stream.next_id(None)) is None:
            return LEAVE
        stream.add(words, entry)
        self.noted[key] = None
        encoded: bytes = entry.encode()
        return encoded

    def time(self, *more: Any) -> Items:
        seconds, us = divmod(round(now() * 1_000_000), 1_000_000)
        return LEFT if more else (b"%d" % seconds, b"%d" % us)


VALUES = ("hget", "hexists", "hset", "hincrby", "zscore", "zadd", "zrem", "scard", "sadd", "srem", "rpush", "exists",
          "get", "expire", "pexpire", "pexpireat", "persist", "xadd")  # fmt: skip
LISTS = ("hmget", "zrange", "time")
STATUSES = ("set", "ltrim")  # OK, when the shortcut answers NIL


def hgetall(db: MendedDatabase, key: bytes) -> dict[bytes, bytes] | None:
    """The fields for a client, in their order; None to leave it to fakeredis."""
    item = db.get(key)
    if item is None:
        return {}
    if type(item.value) is not Hash or item.value._expiry_heap:
        return None
    return dict(item.value._values)
