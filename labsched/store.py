"""The way from Python to the atomic steps in `lua/`: one namespace on one Redis client."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import redis.asyncio as aioredis
from redis import exceptions as rex

from .clock import Host
from .errors import OutcomeUnknown, ServerUnsuitable, Unreachable
from .scripts import CATALOGUE, FORMAT, script
from .wire import Wire

__all__ = ["CATALOGUE", "FORMAT", "Store", "pairs", "script", "text", "texts"]

T = TypeVar("T")


def text(value: Any) -> str:
    """A reply's string, whether the client decodes or not."""
    return value.decode() if isinstance(value, bytes) else str(value)


def texts(values: Sequence[Any]) -> list[str]:
    return [text(v) for v in values]


def pairs(flat: Any) -> dict[str, str]:
    """HGETALL's reply, flat or as the client's dict, as a dict of strings."""
    # Listings spend most of their time here: no call for each string.
    found = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
    return {
        k.decode() if type(k) is bytes else text(k): v.decode() if type(v) is bytes else text(v)
        for k, v in found
    }


# What a server says when it cannot serve just now, and what the user should be told.
_UNSUITABLE = (
    ("OOM", "the server is out of memory (maxmemory reached): nothing was changed"),
    ("READONLY", "the server is a read-only replica: nothing was changed"),
    ("NOREPLICAS", "the server has fewer replicas than min-replicas-to-write asks for: nothing was changed"),
    ("MISCONF", "the server cannot persist and refuses writes (MISCONF): nothing was changed"),
    ("NOAUTH", "the server wants a password"),
    ("WRONGPASS", "the server refused the user name or password"),
    ("NOPERM", "the server's user may not run what labsched needs"),
    ("DB index is out of range", "the server has no database of that number: name another one in the URL"),
)


# Refusals that pass by themselves and changed nothing: somebody's long script, a failover under way.
_PASSING = ("BUSY ", "UNBLOCKED", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN")


def passes(error: rex.ResponseError) -> bool:
    said, code = str(error), str(getattr(error, "status_code", None) or "")
    return any(mark.strip() == code or said.startswith(mark) for mark in _PASSING)


class Store:
    """Runs the atomic steps of one namespace on one Redis client.

    Every script is safe to resend, so a lost link is answered by resending with backoff for `patience`
    seconds (None: for ever). Then `Unreachable` when nothing was ever sent, else `OutcomeUnknown`. `trusted`:
    nobody but labsched writes to this server (see `scripts.script`).
    """

    def __init__(
        self,
        redis: aioredis.Redis,
        namespace: str,
        *,
        host: Host | None = None,
        patience: float | None = 10.0,
        on_trouble: Callable[[str], None] | None = None,
        trusted: bool = False,
    ) -> None:
        self.redis = redis
        self.namespace = namespace
        self.prefix = f"{{labsched:{namespace}}}:"
        self.host = host or Host()
        self.patience = patience
        self.on_trouble = on_trouble or (lambda message: None)
        self._wire = Wire(redis, self.prefix, trusted=trusted)

    def key(self, name: str, *parts: str) -> str:
        return self.prefix + CATALOGUE[name][0].format(*parts)

    async def call(self, name: str, *args: str | bytes | float) -> Any:
        """Run one script. Raises `Unreachable`, `OutcomeUnknown`, `ServerUnsuitable`."""
        return await self.retrying(functools.partial(self._evalsha, name, args))

    async def timed(
        self, name: str, *args: str | bytes | float, first_try: float | None = None
    ) -> tuple[Any, float, int]:
        """`call`, and when the answered copy was sent (monotonic seconds), and how often it was sent.

        `first_try`: seconds until the first copy without a reply is given up and sent again; each further copy
        gets twice as long as the one before, since the link may be slow and not silent.
        """
        sent, tries = 0.0, 0

        async def send() -> Any:
            nonlocal sent, tries
            sent, tries = self.host.clock.monotonic(), tries + 1
            if first_try is None:
                return await self._evalsha(name, args)
            limit = first_try * 2 ** min(tries - 1, 10)
            try:
                async with asyncio.timeout(limit):
                    return await self._evalsha(name, args)
            except TimeoutError:
                raise rex.TimeoutError(f"no reply within {limit:.2f} s") from None

        return await self.retrying(send), sent, tries

    async def calls(self, *steps: tuple[str, Sequence[str | bytes | float]]) -> list[Any]:
        """Several scripts in one round trip, each atomic by itself, in order."""
        return await self.retrying(functools.partial(self._several, steps))

    async def reads(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The replies to raw commands that change nothing, sent in one pipeline."""

        async def send() -> list[Any]:
            pipe = self.redis.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            return list(await pipe.execute())

        return await self.retrying(send) if commands else []

    async def _evalsha(self, name: str, args: Sequence[Any]) -> Any:
        return await self._wire.evalsha(name, args)

    async def _several(self, steps: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return await self._wire.evalshas(steps)

    async def retrying(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send, and send again while the link fails. `send` must be safe to repeat."""
        clock, began, tries, sent = self.host.clock, self.host.clock.monotonic(), 0, False
        task = asyncio.current_task()
        asked = task.cancelling() if task else 0
        while True:
            try:
                reply = await send()
                if task and task.cancelling() > asked:
                    # On Python 3.11 the `wait_for` inside redis-py may swallow a cancellation.
                    raise asyncio.CancelledError
                return reply
            except (rex.ConnectionError, rex.TimeoutError, OSError, rex.ResponseError) as error:
                if isinstance(error, rex.ResponseError) and not passes(error):
                    raise await self.translate(error) from None
                if isinstance(error, rex.AuthenticationError):
                    raise ServerUnsuitable(f"the server refused to let us in: {error}") from None
                sent = sent or "connecting" not in str(error)
                tries += 1
                pause = min(0.02 * 2**tries, 1.0) * (0.5 + self.host.rng.random() / 2)
                spent = clock.monotonic() - began
                if self.patience is not None and spent + pause > self.patience:
                    kind = OutcomeUnknown if sent else Unreachable
                    raise kind(f"no answer from the server in {spent:.1f} s: {error}") from None
                self.on_trouble(f"server unreachable for {spent:.1f} s, trying again: {error}")
                await clock.sleep(pause)

    async def translate(self, error: rex.ResponseError) -> Exception:
        said = str(error)
        code = getattr(
            error, "status_code", None
        )  # redis-py cuts it off the text where it has a class for it
        for mark, meaning in _UNSUITABLE:
            if mark == code or mark in said:
                return ServerUnsuitable(meaning)
        if "WRONGTYPE" in said:
            return ServerUnsuitable(
                f"a key is of the wrong type, nothing was changed: {await self.wrong_keys()}"
            )
        return error

    async def wrong_keys(self) -> str:
        """Which of the namespace's own keys hold another type than the catalogue says (bounded search)."""
        kinds = {re.compile(p.replace("{}", ".*") + "$"): t for p, t in CATALOGUE.values()}
        found = []
        cursor: int = 0
        for _ in range(200):
            cursor, keys = await self.redis.scan(cursor, match=glob(self.prefix) + "*", count=500)
            for key in texts(keys):
                expected = next((t for p, t in kinds.items() if p.match(key[len(self.prefix) :])), None)
                actual = text(await self.redis.type(key)) if expected else None
                if expected != actual and actual != "none":
                    found.append(f"{key} is a {actual}, expected {expected}")
            if not cursor:
                break
        return "; ".join(found[:3]) or "not found again, it may be gone"


def glob(literal: str) -> str:
    return re.sub(r"([*?\\[\]])", r"\\\1", literal)
