"""EVAL and EVALSHA for the fake server, on an interpreter of ours (see `interpreter.py`).

fakeredis compiles a script anew for each call, collects all garbage after it, compares all global names
before each `redis.call`, and lets one stray global poison every later script.
"""

from __future__ import annotations

import hashlib
from typing import Any

from fakeredis import _msgs as msgs
from fakeredis._command_args_parsing import Int
from fakeredis._helpers import SimpleError

from .interpreter import interpreter
from .mending import MendedSocket, frozen, now
from .shortcuts import hgetall


class ScriptSocket(MendedSocket):
    """A connection whose scripts run on this thread's `Interpreter`."""

    def _process_command(self, fields: list[bytes]) -> None:
        if fields[0] != b"EVALSHA" or len(fields) < 3 or self._transaction is not None or self._pubsub:
            super()._process_command(fields)
            return
        # Nearly all that a scheduler sends: spared what fakeredis does to prepare any command.
        self._db.time = now()
        try:
            result = self.evalsha(fields[1], 1 if fields[2] == b"1" else Int.decode(fields[2]), *fields[3:])
        except SimpleError as error:
            result = error
        self.put_response(self._decode_result(result))

    def glance(self, fields: list[bytes], now: float) -> Any:
        if fields[0] != b"HGETALL" or len(fields) != 2 or self._transaction is not None or self._pubsub:
            return None
        self._db.time = frozen(now)
        return hgetall(self._db, fields[1])  # type: ignore[arg-type]

    def eval(self, script: bytes, numkeys: int, *words: bytes) -> Any:
        sha = hashlib.sha1(script).hexdigest().encode()
        return self._run_script(script, sha, numkeys, words)

    def evalsha(self, sha: bytes, numkeys: int, *words: bytes) -> Any:
        script = self._server.script_cache.get(sha.lower())
        if script is None:
            raise SimpleError(msgs.NO_MATCHING_SCRIPT_MSG)
        return self._run_script(script, sha.lower(), numkeys, words)

    def _run_script(self, script: bytes, sha: bytes, numkeys: int, words: tuple[bytes, ...]) -> Any:
        if numkeys > len(words):
            raise SimpleError(msgs.TOO_MANY_KEYS_MSG)
        if numkeys < 0:
            raise SimpleError(msgs.NEGATIVE_KEYS_MSG)
        host = interpreter()
        chunk = host.compiled(sha, script)
        self._server.script_cache[sha] = script
        self._script_resp = 2
        try:
            return self._reply_of(host.run(self, chunk, words[:numkeys], words[numkeys:]), sha)
        finally:
            self._script_resp = None

    def _reply_of(self, result: tuple[Any, ...], sha: bytes) -> Any:
        kind = result[0]
        if kind == b"list":
            return [int(item) if type(item) is float else item for item in result[1:]]
        if kind == b"error":
            where = f", on @user_script:{int(result[2])}" if len(result) > 2 and result[2] else ""
            text = result[1].decode("utf-8", "replace")
            raise SimpleError(f"{text} script: {sha.decode()}{where}.")
        return self._convert_lua_result(result[1] if len(result) > 1 else None, nested=False)
