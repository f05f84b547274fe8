"""What a server has done, so that a replica can do exactly the same."""

from __future__ import annotations

from typing import NamedTuple

from .mending import MendedServer
from .scripting import ScriptSocket


class Effect(NamedTuple):
    """A command that may have changed something, with the clock and the luck that it had."""

    at: float  # of the loop
    now: float  # by the server's clock
    serial: int
    session: int
    fields: list[bytes]


class History:
    """The effects of one unbroken history, oldest first, and the scripts that they need."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []
        self._scripts: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._effects)

    def append(self, at: float, now: float, serial: int, session: int, fields: list[bytes]) -> None:
        self._effects.append(Effect(at, now, serial, session, fields))

    def learn(self, scripts: dict[bytes, bytes]) -> None:
        """These scripts were known, by their SHA-1."""
        self._scripts.update(scripts)

    def clear(self) -> None:
        self._effects.clear()

    def cut(self, until: float) -> int:
        """Forget what happened after `until` (of the loop); how many commands that were."""
        before = len(self._effects)
        self._effects = [effect for effect in self._effects if effect.at <= until]
        return before - len(self._effects)

    def repeat(self, copy: MendedServer) -> None:
        """Do all of it on `copy`, which is empty. Scripts read the clock of then: running them is no different
        from copying what they did."""
        sessions: dict[int, ScriptSocket] = {}
        copy.script_cache.update(self._scripts)
        for effect in self._effects:
            socket = sessions.get(effect.session)
            if socket is None:
                socket = sessions[effect.session] = ScriptSocket(copy, lambda reply: None)
                socket.never_waits = True
            copy.execute(socket, effect.fields, effect.now, effect.serial)
        for socket in sessions.values():
            socket.closed()
        copy.script_cache.clear()
        copy.changed.clear()
