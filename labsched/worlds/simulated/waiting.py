"""Who waits at a server for which keys, in the order of their coming."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answering import Peer

_ANY: list[bytes | None] = [None]
_ALL_BUT_LAST = {b"BLPOP", b"BRPOP", b"BZPOPMIN", b"BZPOPMAX"}


def keys_of(fields: list[bytes]) -> list[bytes] | None:
    """The keys whose change may answer a blocking command; None: any key's."""
    name = fields[0].upper()
    if name in _ALL_BUT_LAST:
        return fields[1:-1]
    if name in (b"XREAD", b"XREADGROUP"):
        at = next(i for i, word in enumerate(fields) if i and word.upper() == b"STREAMS")
        return fields[at + 1 : at + 1 + (len(fields) - at - 1) // 2]
    return None


class Waiting:
    """Redis serves who waits for a key first come, first served; fakeredis wakes all of a set, in no order."""

    def __init__(self) -> None:
        self._all: dict[Peer, tuple[int, list[bytes] | None, list[bytes], Any]] = {}
        self._by_key: dict[bytes | None, dict[Peer, None]] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._all)

    def add(self, peer: Peer, keys: list[bytes] | None, fields: list[bytes], timer: Any) -> None:
        """`fields`: the command. `timer` is cancelled when the peer is removed."""
        self._serial += 1
        self._all[peer] = (self._serial, keys, fields, timer)
        for key in keys or _ANY:
            self._by_key.setdefault(key, {})[peer] = None

    def remove(self, peer: Peer) -> None:
        """Nothing when it does not wait."""
        entry = self._all.pop(peer, None)
        if entry is None:
            return
        _, keys, _, timer = entry
        for key in keys or _ANY:
            waiting = self._by_key.get(key)
            if waiting is not None:
                waiting.pop(peer, None)
                if not waiting:
                    del self._by_key[key]
        if timer is not None:
            timer.cancel()

    def interested(self, keys: Iterable[bytes]) -> list[tuple[Peer, list[bytes]]]:
        """Who waits for one of the keys, with the command, the longest waiting first."""
        found: dict[Peer, None] = {}
        for key in (*keys, None):
            if key in self._by_key:
                found.update(self._by_key[key])
        return [(peer, self._all[peer][2]) for peer in sorted(found, key=lambda peer: self._all[peer][0])]
