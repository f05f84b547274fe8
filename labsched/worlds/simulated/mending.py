"""fakeredis on somebody else's clock, with what differs from Redis mended: all of it is in this file.

Each mending has its reason beside it and a test in `tests/test_fakeredis_mending.py` that fails once
upstream has mended it too. Nothing here changes what a plain fakeredis in the same process does: the mended
classes are subclasses, and the stand-ins for `time` and `random` pass on to the real modules unless a
command of a simulated server is being executed in this very context. (Scripts: see `scripting.py`.)
"""

from __future__ import annotations

import contextvars
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import fakeredis
import redis
from fakeredis import _msgs as msgs
from fakeredis._command_args_parsing import Timeout
from fakeredis._commands import Signature
from fakeredis._core import CommandItem, Database, FakeServer
from fakeredis._helpers import NoResponse, SimpleError, SimpleString, casematch
from fakeredis._socket._fakesocket import FakeSocket
from fakeredis._socket._resp import convert_to_resp2
from fakeredis.model import get_command_info

VERSION = (7, 2)  # of the Redis that is played

OOM = "OOM command not allowed when used memory > 'maxmemory'."
READ_ONLY = "READONLY You can't write against a read only replica."


def frozen(now: float) -> float:
    """The clock as a command sees it (Unix seconds)."""
    # Whole microseconds and a hair: fakeredis rounds for TIME and cuts for ids of streams (`int(1000 * now)`), so
    # that 40.5069998 s was 40.507 to a script and 40506 in the id of the event that it appended.
    return (round(now * 1_000_000) + 0.25) / 1_000_000


class Moment:
    """What a command sees of time and luck: a frozen clock (Unix seconds), and numbers of its own."""

    __slots__ = ("_rng", "now", "seed")

    def __init__(self, now: float, seed: str) -> None:
        self.now, self.seed = frozen(now), seed
        self._rng: random.Random | None = None

    @property
    def rng(self) -> random.Random:
        # Few commands draw, and seeding costs more than most commands.
        if self._rng is None:
            self._rng = random.Random(self.seed)
        return self._rng


_moment: contextvars.ContextVar[Moment | None] = contextvars.ContextVar("moment", default=None)


def now() -> float:
    """The clock of the server whose command is being executed (Unix seconds); outside of one, the real one."""
    moment = _moment.get()
    return time.time() if moment is None else moment.now


class _Time:
    """Stands where a module of fakeredis has imported `time`: it reads the wall clock in about ten of them."""

    def time(self) -> float:
        return now()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class _Random:
    """The same for `random`: SPOP, SRANDMEMBER, RANDOMKEY and their like draw from the process's generator."""

    def __getattr__(self, name: str) -> Any:
        moment = _moment.get()
        return getattr(random if moment is None else moment.rng, name)


def _stand_in() -> None:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == fakeredis.__name__:
            if getattr(module, "time", None) is time:
                module.time = _Time()  # type: ignore[attr-defined]
            if getattr(module, "random", None) is random:
                module.random = _Random()  # type: ignore[attr-defined]


_stand_in()


class MendedDatabase(Database):
    """Notes which keys change, so that the server can wake who waits for them, in the order of their coming.

    fakeredis wakes everybody on every change, in the order of a set of callbacks.
    """

    def __init__(self, changed: dict[bytes, None]) -> None:
        super().__init__(None)
        self._changed = changed

    def notify_watch(self, key: bytes) -> None:
        self._changed[key] = None
        if key in self._watches:
            for sock in self._watches[key]:
                sock.notify_watch()

    def wake_all(self) -> None:
        """Nothing: nobody waits here."""

    def get(self, key: bytes, default: Any = None) -> Any:
        item = self._dict.get(key)
        if item is None:
            return default
        if item.expireat is not None and item.expireat < self.time:
            del self._dict[key]
            return default
        return item


class _Subscribers(dict[Any, None]):
    """fakeredis keeps a WeakSet, whose order is that of addresses: PUBLISH told subscribers in any order."""

    def add(self, sock: Any) -> None:
        self[sock] = None

    def discard(self, sock: Any) -> None:
        self.pop(sock, None)

    def remove(self, sock: Any) -> None:
        del self[sock]


class MendedServer(FakeServer):
    """The data of one server and what it refuses just now. `execute` is the way in; it has no idea of a network."""

    def __init__(self, seed: str) -> None:
        super().__init__(version=VERSION)
        self.seed = seed
        self.changed: dict[bytes, None] = {}  # keys written to since the owner last emptied it
        self.dbs = defaultdict(partial(MendedDatabase, self.changed))
        self.subscribers: Any = defaultdict(_Subscribers)
        self.psubscribers: Any = defaultdict(_Subscribers)
        self.ssubscribers: Any = defaultdict(_Subscribers)
        self.full = False  # maxmemory is reached
        self.read_only = False

    def execute(self, session: MendedSocket, fields: list[bytes], now: float, serial: int) -> None:
        """Run one command at Unix second `now`; replies go to `session.deliver`.

        `serial` numbers the commands of a history: the same number draws the same luck when it is repeated.
        """
        found = session.glance(fields, now)
        if found is not None:
            session.deliver(found)
            return
        token = _moment.set(Moment(now, f"{self.seed}/{serial}"))
        try:
            session._process_command(fields)
        finally:
            _moment.reset(token)

    def at(self, now: float, serial: int, act: Callable[[], Any]) -> Any:
        """Do something else on this server's time, as `execute` does."""
        token = _moment.set(Moment(now, f"{self.seed}/{serial}"))
        try:
            for db in self.dbs.values():
                db.time = now
            return act()
        finally:
            _moment.reset(token)

    def refuse(self, command: str, begun: bool = False) -> None:
        """Raise what this server answers to `command` instead of running it; `begun`: its script has written."""
        info = get_command_info(command.encode()) or ((), (), ())
        if self.read_only and b"write" in info[2]:
            raise SimpleError(READ_ONLY)
        if self.full and b"denyoom" in info[2] and not begun:
            raise SimpleError(OOM)


class Parked:
    """A command that waits: how long at most (seconds, 0 for ever), and how to try and to answer it."""

    __slots__ = ("attempt", "shape", "timeout")

    def __init__(self, timeout: float, attempt: Callable[[bool], Any], shape: Callable[[Any], Any] | None):
        self.timeout, self.attempt, self.shape = timeout, attempt, shape


# fakeredis looks the source up before BLMOVE may block, and answers nil at once when it is empty.
_ARGUMENTS: Any = (bytes, bytes, SimpleString, SimpleString, Timeout)
_BLMOVE = Signature("blmove", "blmove", _ARGUMENTS, flags=msgs.FLAG_NO_SCRIPT)


class MendedSocket(FakeSocket):
    """One connection as the server sees it. It never blocks: what must wait is left in `parked`."""

    _server: MendedServer

    def __init__(self, server: MendedServer, deliver: Callable[[Any], None]) -> None:
        super().__init__(server, 0, client_class=redis.Redis)
        self.deliver = deliver
        self.parked: Parked | None = None
        self.never_waits = False  # a replica does again what is over

    def put_response(self, msg: Any) -> None:
        self.deliver(msg)

    def glance(self, fields: list[bytes], now: float) -> Any:
        """The reply to a command that only looks, by a shorter way; None to have it executed. A mapping stays one, as
        in RESP3."""
        return None

    def closed(self) -> None:
        """Forget this connection: it waits for nothing, watches nothing, is subscribed to nothing."""
        self.parked = None
        self._transaction = None
        self.kill()

    def _run_command(self, func: Any, sig: Signature, args: list[Any], from_script: bool) -> Any:
        if self._server.full or self._server.read_only:
            self._server.refuse(sig.name)
        return super()._run_command(func, sig, args, from_script)

    # --- blocking -------------------------------------------------------------------------------------

    def _blocking(
        self, timeout: float | None, func: Callable[[bool], Any], shape: Callable[[Any], Any] | None = None
    ) -> Any:
        found = func(True)
        if found is not None or self._in_transaction or self._script_resp is not None or self.never_waits:
            return found if shape is None else shape(found)
        self._blocked = True
        self.parked = Parked(timeout or 0.0, func, shape)
        return NoResponse()

    def waits(self) -> bool:
        return self.parked is not None

    def try_again(self) -> bool:
        """Whether the parked command could be answered now."""
        parked = self.parked
        assert parked is not None
        try:
            found = parked.attempt(False)
        except SimpleError as error:
            found = error
        if found is None:
            return False
        self._answer(found if isinstance(found, SimpleError) or parked.shape is None else parked.shape(found))
        return True

    def give_up(self) -> None:
        """The parked command's time is over."""
        assert self.parked is not None
        self._answer(None if self.parked.shape is None else self.parked.shape(None))

    def _answer(self, found: Any) -> None:
        self.parked, self._blocked = None, False
        self.put_response(self._decode_result(convert_to_resp2(found)))

    def _name_to_func(self, cmd_name: str) -> tuple[Any, Signature]:
        if cmd_name == "blmove":
            return self._blmove, _BLMOVE
        found: tuple[Any, Signature] = super()._name_to_func(cmd_name)
        return found

    def _blmove(self, source: bytes, target: bytes, out: bytes, into: bytes, timeout: float) -> Any:
        def attempt(first: bool) -> bytes | None:
            src = CommandItem(source, self._db, item=self._db.get(source), default=[])
            if not isinstance(src.value, list):
                if first:
                    raise SimpleError(msgs.WRONGTYPE_MSG)
                return None
            if not src.value:
                return None
            dst = src if source == target else CommandItem(target, self._db, self._db.get(target), default=[])
            if not isinstance(dst.value, list):
                raise SimpleError(msgs.WRONGTYPE_MSG)
            moved: bytes = src.value.pop(0 if casematch(out, b"left") else -1)
            dst.value.insert(0 if casematch(into, b"left") else len(dst.value), moved)
            for item in {id(i): i for i in (src, dst)}.values():
                item.updated()
                item.writeback()
            return moved

        for word in (out, into):
            if not casematch(word, b"left") and not casematch(word, b"right"):
                raise SimpleError(msgs.SYNTAX_ERROR_MSG)
        return self._blocking(timeout, attempt)

    def _xreadgroup(
        self, consumer: bytes, wanted: Any, count: Any, noack: Any, idle: Any, first: bool
    ) -> Any:
        # On its first pass fakeredis takes the entries and, without COUNT, drops them; with COUNT and BLOCK it
        # answers at once although there are none.
        return super()._xreadgroup(consumer, wanted, count, noack, idle, False) or None

    def psetex(self, key: CommandItem, ms: int, value: bytes) -> SimpleString:
        # fakeredis cuts the end to whole seconds: 750 ms were over at once.
        done: SimpleString = super().psetex(key, ms, value)
        key.expireat = self._db.time + ms / 1000
        return done

    # --- order ----------------------------------------------------------------------------------------

    def smembers(self, key: CommandItem) -> list[bytes]:
        # fakeredis lists a Python set, whose order changes with PYTHONHASHSEED.
        return list(key.value._member_list())

    def _sorted(self, found: Any) -> Any:
        return sorted(found) if isinstance(found, list) else found

    def sinter(self, *keys: CommandItem) -> Any:
        return self._sorted(super().sinter(*keys))

    def sunion(self, *keys: CommandItem) -> Any:
        return self._sorted(super().sunion(*keys))

    def sdiff(self, *keys: CommandItem) -> Any:
        return self._sorted(super().sdiff(*keys))
