"""How a script's commands are run: prepared as fakeredis prepares them, but once for each kind of call."""

from __future__ import annotations

from typing import Any

from fakeredis import _msgs as msgs
from fakeredis._commands import SUPPORTED_COMMANDS, Key
from fakeredis._core import CommandItem
from fakeredis._helpers import SimpleError
from fakeredis.model import is_write_command

from .mending import VERSION, MendedSocket


class Plan:
    """How to run one command with one number of arguments from a script, worked out once."""

    __slots__ = ("keeps_empty", "keys", "method", "name", "words", "writes")

    def __init__(self, name: str, count: int) -> None:
        sig = SUPPORTED_COMMANDS[name]
        try:
            sig.check_arity([b""] * count, VERSION)
        except SimpleError:
            raise SimpleError(msgs.WRONG_ARGS_MSG7) from None
        if msgs.FLAG_NO_SCRIPT in sig.flags:
            raise SimpleError("ERR This Redis command is not allowed from script")
        kinds: list[Any] = [
            *sig.fixed,
            *(sig.repeat[i % len(sig.repeat)] for i in range(count - len(sig.fixed))),
        ]
        self.name, self.method = name, getattr(MendedSocket, sig.func_name)
        self.writes = is_write_command(name.encode())
        self.keeps_empty = msgs.FLAG_LEAVE_EMPTY_VAL in sig.flags
        create = msgs.FLAG_DO_NOT_CREATE not in sig.flags
        # First what must be decoded (decode) or answers at once when it is missing (None, answer), in order.
        self.words: list[tuple[int, Any, Any]] = []
        self.keys: list[tuple[int, Any, Any]] = []
        for i, kind in enumerate(kinds):
            if isinstance(kind, Key):
                if kind.missing_return is not Key.UNSPECIFIED:
                    self.words.append((i, None, kind.missing_return))
                made = kind.type_ if create and kind.type_ not in (None, bytes) else None
                self.keys.append((i, kind.type_, made))
            elif kind is not bytes:
                self.words.append((i, kind.decode, None))

    def take_keys(self, words: list[Any], db: Any) -> list[CommandItem]:
        """Put the keys' values where the command expects them."""
        items = []
        for i, kind, make in self.keys:
            key = words[i]
            item = db.get(key)
            if kind is not None and item is not None and type(item.value) is not kind:
                raise SimpleError(msgs.WRONGTYPE_MSG)
            words[i] = handle = CommandItem(key, db, item, default=make() if make and item is None else None)
            items.append(handle)
        return items


_plans: dict[tuple[str, int], Plan] = {}


def plan_for(name: str, count: int) -> Plan:
    """Raises SimpleError when a script may not do that."""
    plan = _plans.get((name, count))
    if plan is None:
        if name not in SUPPORTED_COMMANDS:
            raise SimpleError("ERR Unknown Redis command called from script")
        plan = _plans[name, count] = Plan(name, count)
    return plan


def word(value: Any) -> bytes:
    """A Lua value as an argument of a command."""
    if type(value) is bytes:
        return value
    if type(value) in (int, float):
        return f"{value:.17g}".encode()
    raise SimpleError(msgs.LUA_COMMAND_ARG_MSG)
