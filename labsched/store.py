"""The only file that names a key, and the way from Python to the atomic steps in `lua/`.

Every key of a namespace begins with `{labsched:NAMESPACE}:`, one hash tag, so that all scripts run on
Redis Cluster too. A script is a file in `lua/`; a line `-- include: time event` in its header puts the
named pieces of `lua/lib/` before it, and the loader adds the key builders (`k_NAME`) and the table of
legal transitions, made from the catalogue below and from `model.TRANSITIONS`.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any, TypeVar

import redis.asyncio as aioredis
from redis import exceptions as rex

from .clock import Host
from .errors import OutcomeUnknown, ServerUnsuitable, Unreachable
from .model import TRANSITIONS

T = TypeVar("T")

FORMAT = 1  # of the namespace's layout; a namespace written by a newer format is refused

# name -> (pattern, redis type). One {} per argument; k_NAME(a, b) builds it in Lua, Store.key here.
CATALOGUE: dict[str, tuple[str, str]] = {
    "meta": ("meta", "hash"),  # format, last trimmed event id, retention settings
    "token": ("token", "string"),  # last token or epoch handed out
    "events": ("events", "stream"),
    "counts": ("counts", "hash"),  # totals of the namespace by kind
    "tasks": ("tasks", "set"),  # names
    "task": ("task:{}", "hash"),  # definition, policies for the scripts, counters
    "stats": ("stats:{}", "hash"),  # histograms of duration and lateness, per task
    "due": ("due:{}", "zset"),  # scope -> task: ms of its next slot's due time
    "x": ("x:{}", "hash"),  # one execution
    "log": ("log:{}", "list"),  # its log lines
    "fence": ("fence:{}", "hash"),  # its fenced effects
    "fenced": ("fenced:{}", "hash"),  # a resource of the fence store: token, value
    "all": ("all", "zset"),  # execution: ms created
    "bytask": ("bytask:{}", "zset"),  # task -> execution: ms created
    "state": ("state:{}", "zset"),  # state -> execution: ms entered; RUNNING: ms of the hard end
    "timers": ("timers", "zset"),  # execution that waits for its time: ms
    "ready": ("ready:{}:{}", "zset"),  # priority, task -> execution: sequence
    "turn": ("turn:{}", "zset"),  # priority -> task with ready work: sequence of its last turn
    "names": ("names", "hash"),  # instance name -> incarnation
    "leases": ("leases", "zset"),  # incarnation: ms at which its lease ends
    "inst": ("inst:{}", "hash"),  # one incarnation
    "handlers": ("handlers:{}", "hash"),  # incarnation -> task: version
    "held": ("held:{}", "set"),  # incarnation -> executions that it runs
    "idle": ("idle", "zset"),  # incarnation with free slots: sequence since when
    "box": ("box:{}", "list"),  # mailbox of an incarnation or client
    "scopes": ("scopes", "set"),  # instances that dispatch for themselves (no election, no lock)
    "leader": ("leader", "hash"),
    "lock": ("lock:{}", "hash"),
    "locks": ("locks", "zset"),  # lock: ms until which it cannot be taken
    "lockq": ("lockq:{}", "zset"),  # lock -> waiting nonce: sequence
    "waiter": ("waiter:{}", "hash"),  # nonce -> what it waits for
}


def _key_builders(text: str) -> str:
    """Lua locals for the keys that `text` uses; P is the namespace's prefix, KEYS[1]."""
    lines = []
    for name, (pattern, _) in CATALOGUE.items():
        if not re.search(rf"\bk_{name}\b", text):
            continue
        parts = pattern.split("{}")
        if len(parts) == 1:
            lines.append(f"local k_{name} = P .. '{pattern}'")
        else:
            args = ["a", "b"][: len(parts) - 1]
            body = " .. ".join(f"'{p}' .. {a}" for p, a in zip(parts, args, strict=False))
            lines.append(f"local function k_{name}({', '.join(args)}) return P .. {body} end")
    return "\n".join(lines)


def _legal_tables(text: str) -> str:
    """`LEGAL['FROM>TO']` and `LEGAL_FROM['FROM']` (it leads somewhere), for the scripts that use them."""
    pairs = [f"['{was}>{to}']=true" for was, tos in TRANSITIONS.items() for to in sorted(tos)]
    sources = [f"['{was}']=true" for was, tos in TRANSITIONS.items() if tos]
    lines = []
    if "LEGAL[" in text:
        lines.append(f"local LEGAL = {{{', '.join(pairs)}}}")
    if "LEGAL_FROM[" in text:
        lines.append(f"local LEGAL_FROM = {{{', '.join(sources)}}}")
    return "\n".join(lines)


@functools.cache
def script(name: str) -> tuple[str, str]:
    """The whole text of a script and its SHA-1, as EVALSHA wants it."""
    folder = resources.files("labsched") / "lua"
    body = (folder / f"{name}.lua").read_text()
    wanted: list[str] = []
    _collect(folder, body, wanted)
    pieces = [(folder / "lib" / f"{piece}.lua").read_text() for piece in wanted]
    text = "\n".join([*pieces, body])
    head = ["local P = KEYS[1]", _key_builders(text)]
    head.append(_legal_tables(text))
    source = "\n".join([*head, text])
    return source, hashlib.sha1(source.encode()).hexdigest()


def _collect(folder: Any, text: str, wanted: list[str]) -> None:
    found = re.search(r"^-- include: (.+)$", text, re.MULTILINE)
    for piece in found.group(1).split() if found else ():
        if piece not in wanted:
            _collect(folder, (folder / "lib" / f"{piece}.lua").read_text(), wanted)
            wanted.append(piece)


def text(value: Any) -> str:
    """A reply's string, whether the client decodes or not."""
    return value.decode() if isinstance(value, bytes) else str(value)


def texts(values: Sequence[Any]) -> list[str]:
    return [text(v) for v in values]


def pairs(flat: Any) -> dict[str, str]:
    """HGETALL's reply, flat or as the client's dict, as a dict of strings."""
    if isinstance(flat, dict):
        return {text(k): text(v) for k, v in flat.items()}
    return {text(flat[i]): text(flat[i + 1]) for i in range(0, len(flat), 2)}


# What a server says when it cannot serve just now, and what the user should be told.
_UNSUITABLE = (
    ("OOM", "the server is out of memory (maxmemory reached): nothing was changed"),
    ("READONLY", "the server is a read-only replica: nothing was changed"),
    ("MISCONF", "the server cannot persist and refuses writes (MISCONF): nothing was changed"),
    ("NOAUTH", "the server wants a password"),
    ("WRONGPASS", "the server refused the user name or password"),
    ("NOPERM", "the server's user may not run what labsched needs"),
)


class Store:
    """Runs the atomic steps of one namespace on one Redis client.

    Every script is safe to resend, so a lost link is answered by resending with backoff for `patience`
    seconds (None: for ever). Then `Unreachable` when nothing was ever sent, else `OutcomeUnknown`.
    """

    def __init__(
        self,
        redis: aioredis.Redis,
        namespace: str,
        *,
        host: Host | None = None,
        patience: float | None = 10.0,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        self.redis = redis
        self.namespace = namespace
        self.prefix = f"{{labsched:{namespace}}}:"
        self.host = host or Host()
        self.patience = patience
        self.on_trouble = on_trouble or (lambda message: None)

    def key(self, name: str, *parts: str) -> str:
        return self.prefix + CATALOGUE[name][0].format(*parts)

    async def call(self, name: str, *args: str | bytes | float) -> Any:
        """Run one script. Raises `Unreachable`, `OutcomeUnknown`, `ServerUnsuitable`."""
        return await self.retrying(functools.partial(self._evalsha, name, args))

    async def calls(self, *steps: tuple[str, Sequence[str | bytes | float]]) -> list[Any]:
        """Several scripts in one round trip, each atomic by itself, in order."""
        return await self.retrying(functools.partial(self._pipelined, steps))

    async def _evalsha(self, name: str, args: Sequence[Any]) -> Any:
        source, sha = script(name)
        try:
            return await self.redis.execute_command("EVALSHA", sha, 1, self.prefix, *args)
        except rex.NoScriptError:
            # Flushed from the server's cache, or a server that never saw it.
            return await self.redis.execute_command("EVAL", source, 1, self.prefix, *args)

    async def _pipelined(self, steps: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        pipe = self.redis.pipeline(transaction=False)
        for name, args in steps:
            pipe.execute_command("EVALSHA", script(name)[1], 1, self.prefix, *args)
        replies: list[Any] = list(await pipe.execute(raise_on_error=False))
        for i, reply in enumerate(replies):
            if isinstance(reply, rex.NoScriptError):
                replies[i] = await self._evalsha(*steps[i])
            elif isinstance(reply, Exception):
                raise reply
        return replies

    async def retrying(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send, and send again while the link fails. `send` must be safe to repeat."""
        clock, began, tries, sent = self.host.clock, self.host.clock.monotonic(), 0, False
        while True:
            try:
                return await send()
            except (rex.ConnectionError, rex.TimeoutError, OSError) as error:
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
            except rex.ResponseError as error:
                raise await self._translate(error) from None

    async def _translate(self, error: rex.ResponseError) -> Exception:
        said = str(error)
        for mark, meaning in _UNSUITABLE:
            if mark in said or (mark == "READONLY" and isinstance(error, rex.ReadOnlyError)):
                return ServerUnsuitable(meaning)
        if "WRONGTYPE" in said:
            return ServerUnsuitable(f"a key is of the wrong type, nothing was changed: {await self.wrong_keys()}")
        return error

    async def wrong_keys(self) -> str:
        """Which of the namespace's own keys hold another type than the catalogue says (bounded search)."""
        kinds = {re.compile(p.replace("{}", ".*") + "$"): t for p, t in CATALOGUE.values()}
        found = []
        cursor: int = 0
        for _ in range(200):
            cursor, keys = await self.redis.scan(cursor, match=_glob(self.prefix) + "*", count=500)
            for key in texts(keys):
                expected = next((t for p, t in kinds.items() if p.match(key[len(self.prefix) :])), None)
                actual = text(await self.redis.type(key)) if expected else None
                if expected != actual and actual != "none":
                    found.append(f"{key} is a {actual}, expected {expected}")
            if not cursor:
                break
        return "; ".join(found[:3]) or "not found again, it may be gone"


def _glob(literal: str) -> str:
    return re.sub(r"([*?\\[\]])", r"\\\1", literal)
