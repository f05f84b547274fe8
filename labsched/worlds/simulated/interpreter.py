"""The Lua in which a server's scripts run: each compiled once per thread, in a world that it cannot change."""

from __future__ import annotations

import hashlib
import random
import threading
from importlib import resources
from typing import Any

from fakeredis._commands import COMMANDS_WITH_SUB
from fakeredis._helpers import SimpleError, SimpleString
from fakeredis._socket._resp import convert_to_resp2
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE

from . import luajson
from .look import MANY
from .mending import MendedSocket
from .plans import plan_for, word
from .shortcuts import LISTS, STATUSES, VALUES, Shortcuts

ONE, LIST, STATUS, FAILED = 1, 2, 3, 4  # kinds of answers; sandbox.lua has the same


class Interpreter:
    """One Lua with the scripts it has compiled. Not shared between threads."""

    def __init__(self) -> None:
        self._lua = LUA_MODULE.LuaRuntime(encoding=None, unpack_returned_tuples=True, register_eval=False)
        self._table = self._lua.table_from
        self._chunks: dict[bytes, Any] = {}
        self._socket: Any = None
        self._wrote = False  # the script has
        self._shortcuts = Shortcuts()
        self._bug: BaseException | None = None
        self._rng: random.Random | None = None
        source = (resources.files("labsched.worlds.simulated") / "sandbox.lua").read_bytes()
        py = {
            b"values": self._shorts(VALUES), b"lists": self._shorts(LISTS), b"statuses": self._shorts(STATUSES),
            b"call": self._call, b"fault": self._fault, b"log": lambda *words: None, b"clock": lambda: 0.0,
            b"null": luajson.NULL,
            b"sha1hex": lambda text: hashlib.sha1(word(text)).hexdigest().encode(),
            b"random": self._random, b"randomseed": self._reseed, b"encode": self._encode, b"decode": self._decode,
        }  # fmt: skip
        self._compile, self._run = self._lua.execute(source, self._table(py))

    def _shorts(self, names: tuple[str, ...]) -> Any:
        return self._table({name.upper().encode(): getattr(self._shortcuts, name) for name in names})

    def compiled(self, sha: bytes, script: bytes) -> Any:
        """The script as a Lua function. A script that cannot be compiled is an error reply."""
        chunk = self._chunks.get(sha)
        if chunk is None:
            # Redis reads a first line "#!lua ..." itself; it must stay a line for the line numbers in errors.
            text = b"--" + script if script.startswith(b"#!") else script
            chunk, failed = self._compile(text)
            if failed is not None:
                raise SimpleError(f"ERR Error compiling script (new function): {failed.decode()}")
            self._chunks[sha] = chunk
        return chunk

    def run(self, socket: MendedSocket, chunk: Any, keys: Any, argv: Any) -> tuple[Any, ...]:
        """What the sandbox's `run` returns."""
        self._socket, self._rng, self._bug = socket, None, None
        self._wrote = False
        server, watched = socket._server, not self._shortcuts.at(socket._db)  # type: ignore[arg-type]
        # Nothing is refused, and nobody watches or is subscribed to changes.
        short = not (watched or server.full or server.read_only or server.subscribers or server.psubscribers)
        try:
            if len(keys) == 1 and len(argv) < MANY:
                result: tuple[Any, ...] = self._run(short, chunk, keys[0], None, *argv)
            else:
                result = self._run(short, chunk, self._table(keys), self._table(argv))
        finally:
            self._socket = None
        if self._bug is not None:
            raise self._bug
        return result if isinstance(result, tuple) else (result,)

    def _call(self, op: Any = None, *given: Any) -> tuple[Any, ...]:
        """The answer to `redis.call`: what it is, and it (see sandbox.lua)."""
        try:
            words = [item if type(item) is bytes else word(item) for item in given]
            return self._answer(self._command(op, words))
        except SimpleError as error:
            return FAILED, error.value.encode()
        except BaseException as bug:
            # A script may catch it in a pcall, which must not hide a fault of ours.
            self._bug = bug
            raise

    def _fault(self, bug: BaseException) -> None:
        """A shortcut has raised."""
        self._bug = bug

    def _command(self, op: Any, words: list[Any]) -> Any:
        """Any command, prepared and executed as fakeredis does it for its clients."""
        if op is None:
            raise SimpleError("ERR Please specify at least one argument for this redis lib call")
        socket = self._socket
        name = op.decode("utf-8", "replace").lower() if isinstance(op, bytes) else str(op)
        if words and name in COMMANDS_WITH_SUB:
            func, sig = socket._name_to_func(f"{name} {words[0].decode('utf-8', 'replace').lower()}")
            return socket._run_command(func, sig, words[1:], True)
        plan = plan_for(name, len(words))
        server, db = socket._server, socket._db
        if server.full or server.read_only:
            server.refuse(plan.name, self._wrote)
        # As Redis counts it: a command of the writing kind, whether or not it changes anything.
        self._wrote = self._wrote or plan.writes
        for i, decode, answer in plan.words:
            if decode is not None:
                words[i] = decode(words[i])
            elif words[i] not in db:
                return answer
        items = plan.take_keys(words, db)
        try:
            return plan.method(socket, *words)
        finally:
            for handle in items:
                if handle.is_modified:
                    handle.writeback(remove_empty_val=not plan.keeps_empty)
            if server.subscribers or server.psubscribers:
                socket._keyspace_notifications(items, plan.name.encode())

    def _answer(self, result: Any) -> tuple[Any, ...]:
        kind = type(result)
        if kind is bytes or kind is int:
            return ONE, result
        if result is None:
            return ONE, False
        if isinstance(result, SimpleString):
            return STATUS, result.value
        if kind is not list:
            result = convert_to_resp2(result)
        if type(result) is not list:
            return ONE, self._value(result)
        if len(result) < MANY:
            return (LIST, *[v if type(v) is bytes or type(v) is int else self._value(v) for v in result])
        return ONE, self._value(result)

    def _value(self, value: Any) -> Any:
        if value is None:
            return False
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, SimpleError):
            raise value
        if isinstance(value, SimpleString):
            return self._table({b"ok": value.value})
        value = convert_to_resp2(value)
        return self._table([self._value(item) for item in value]) if isinstance(value, list) else value

    def _random(self, low: float | None = None, high: float | None = None) -> Any:
        if self._rng is None:
            self._rng = random.Random(0)
        if low is None:
            return self._rng.random()
        first, last = (1, int(low)) if high is None else (int(low), int(high))
        return self._rng.randint(first, last) if first <= last else (False, b"interval is empty")

    def _reseed(self, seed: float) -> None:
        self._rng = random.Random(int(seed))

    def _encode(self, value: Any) -> Any:
        try:
            return luajson.encode(value)
        except ValueError as error:
            return False, str(error).encode()

    def _decode(self, text: Any) -> Any:
        try:
            return luajson.decode(word(text), self._table)
        except (ValueError, SimpleError) as error:
            return False, f"Expected value but found invalid token: {error}".encode()


_own = threading.local()


def interpreter() -> Interpreter:
    """This thread's."""
    found = getattr(_own, "interpreter", None)
    if found is None:
        found = _own.interpreter = Interpreter()
    return found
