"""From a URL to two Redis clients: one for commands, one for blocking reads.

`redis://`, `rediss://` and `unix://` are opened here. Any other word ("embedded", "fake") is looked up
among the entry points of the group `labsched.urls`, so that ring 1 names no outer ring. Such an entry
point is a function with the signature of `Opener`.

Neither client retries: labsched resends what is safe to resend, and counts what it sends (`Store`).
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, parse_qs, urlsplit

import redis.asyncio as aioredis
from redis import exceptions as rex
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .errors import ConfigError
from .yamlfile import mask

GROUP = "labsched.urls"
SCHEMES = ("redis", "rediss", "unix")

# What a URL may ask for. Time limits, retries and decoding are labsched's own business: redis-py lets
# the query win over what the program says, so that `?retry_on_timeout=1` would resend behind our back.
_QUERY = {"db", "username", "password", "client_name"}

# The pool raises instead of waiting when it is full; a connection is only made when one is needed.
_MOST_CONNECTIONS = 10_000


@dataclass(frozen=True)
class Opened:
    """Two clients of one server. `close()` ends both, and the server too when this opener started it."""

    redis: aioredis.Redis
    blocking: aioredis.Redis
    url: str = field(repr=False)  # carries the password, for handing on to child processes
    on_close: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)
    trusted: bool = False  # nobody but labsched can write to it, as to a fake inside this process

    async def close(self) -> None:
        try:
            for client in (self.redis, self.blocking):
                try:
                    await client.aclose()
                except (rex.RedisError, OSError):
                    continue  # the server may be gone: the sockets are closed all the same
        finally:
            if self.on_close is not None:
                await self.on_close()


class Opener(Protocol):
    """What an entry point of the group `labsched.urls` must be."""

    def __call__(
        self, url: str, *, data_dir: str | Path | None = None, request_timeout: float, blocking_timeout: float
    ) -> Opened: ...


def open_url(
    url: str,
    *,
    data_dir: str | Path | None = None,
    request_timeout: float = 2.0,
    blocking_timeout: float = 10.0,
) -> Opened:
    """Make the clients for `url`; nothing is sent yet (but "embedded" starts its server here).

    A reply may take `request_timeout` seconds, a blocking read `blocking_timeout`; connecting takes at
    most `request_timeout` on both. Raises ConfigError, with one line that never shows the password.
    """
    for name, value in (("request_timeout", request_timeout), ("blocking_timeout", blocking_timeout)):
        if not value > 0:
            raise ConfigError(f"{name} is {value!r}: a number of seconds above 0 is needed")
    if not isinstance(url, str) or not url.strip():
        raise ConfigError(f"redis url {url!r} is empty: write redis://HOST:PORT/DB, or embedded")
    url = url.strip()
    scheme = url.partition(":")[0].lower()
    if scheme not in SCHEMES:
        opener = _special(scheme, url)
        return opener(
            url, data_dir=data_dir, request_timeout=request_timeout, blocking_timeout=blocking_timeout
        )
    if data_dir is not None:
        raise ConfigError(f"data_dir belongs to the embedded server, {hide_password(url)} keeps its own data")
    check_url(url)
    return Opened(
        _client(url, socket_timeout=request_timeout, socket_connect_timeout=request_timeout),
        _client(url, socket_timeout=blocking_timeout, socket_connect_timeout=request_timeout),
        url,
    )


def no_retry() -> Retry:
    """A redis-py retry policy that never sends anything twice."""
    return Retry(NoBackoff(), 0)


class _Prompt(AbstractConnection):
    """Sends without `asyncio.wait_for`, as redis-py does when a time limit is set.

    On Python 3.11 `wait_for` forgets a cancellation that arrives in the very round in which the sending is
    done: half of all cancellations of a busy client were lost, and whoever cancels waits for ever. It
    also makes a task per command.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        if isinstance(command, str | bytes):
            command = [command.encode() if isinstance(command, str) else command]
        writer = self._writer
        assert writer is not None
        try:
            # Not writelines(): up to Python 3.13.1 that fills memory without ever telling `drain` to wait.
            writer.write(b"".join(command))
            if writer.transport.get_write_buffer_size():
                async with asyncio.timeout(self.socket_timeout):
                    await writer.drain()
        except TimeoutError:
            await self.disconnect(nowait=True)
            raise rex.TimeoutError("Timeout writing to socket") from None
        except OSError as error:
            await self.disconnect(nowait=True)
            raise rex.ConnectionError(f"Error while writing to socket: {error}") from error
        except BaseException:
            # Half a command may have been sent: what comes back on this connection means nothing.
            await self.disconnect(nowait=True)
            raise


class _Tcp(_Prompt, Connection):
    """redis://"""


class _Tls(_Prompt, SSLConnection):
    """rediss://"""


class _Unix(_Prompt, UnixDomainSocketConnection):
    """unix://"""


_CONNECTIONS: dict[str, type[AbstractConnection]] = {"redis": _Tcp, "rediss": _Tls, "unix": _Unix}


def _client(url: str, *, socket_timeout: float, socket_connect_timeout: float) -> aioredis.Redis:
    # RESP2 and no driver info: a new connection then costs no round trip besides AUTH and SELECT, and
    # redis-py does not ask the server for maintenance notifications.
    client = aioredis.Redis.from_url(
        url,
        socket_timeout=socket_timeout,
        socket_connect_timeout=socket_connect_timeout,
        retry=no_retry(),
        retry_on_error=[],
        health_check_interval=0,
        protocol=2,
        driver_info=None,
        max_connections=_MOST_CONNECTIONS,
    )
    client.connection_pool.connection_class = _CONNECTIONS[urlsplit(url).scheme]
    return client


def _special(scheme: str, url: str) -> Opener:
    known = {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}
    point = known.get(scheme)
    if point is None:
        words = ", ".join([*(f"{s}://" for s in SCHEMES), *sorted(known)])
        hint = "" if known else "; embedded and fake need labsched to be installed (pip install labsched)"
        raise ConfigError(f"redis url {hide_password(url)!r}: unknown kind, known are {words}{hint}")
    try:
        opener: Opener = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"redis url {scheme!r} needs a part that is not installed: {error}") from None
    return opener


def check_url(url: str) -> SplitResult:
    """Take a plain URL apart, or raise ConfigError with what is wrong and what is allowed."""
    shown = hide_password(url)

    def refuse(what: str) -> ConfigError:
        return ConfigError(f"redis url {shown!r}: {what}")

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise refuse("host or port cannot be read, write redis://HOST:PORT/DB") from None
    if parts.scheme == "unix":
        if parts.path in ("", "/"):
            raise refuse("the path of the socket is missing, write unix:///path/to/socket")
    elif not url.lower().startswith(f"{parts.scheme}://") or not host:
        raise refuse(f"the host is missing, write {parts.scheme}://HOST:PORT/DB")
    elif port == 0:
        raise refuse("port 0 is none, allowed are 1 to 65535")
    elif not re.fullmatch(r"/?\d*", parts.path):
        raise refuse(f"the database {parts.path[1:]!r} is not a number")
    if parts.fragment:
        raise refuse("a # in user name or password must be written %23")
    _check_query(parts, refuse)
    return parts


def _check_query(parts: SplitResult, refuse: Callable[[str], ConfigError]) -> None:
    query = parse_qs(parts.query, keep_blank_values=True)
    for name in query:
        if name not in _QUERY and not (parts.scheme == "rediss" and name.startswith("ssl_")):
            raise refuse(f"{name!r} cannot be set here, allowed are {', '.join(sorted(_QUERY))} and ssl_*")
    if not query.get("db", ["0"])[0].isdecimal():
        raise refuse(f"the database {query['db'][0]!r} is not a number")


def hide_password(url: str) -> str:
    """The URL as it may be shown, also one that cannot be parsed."""
    if "://" not in url and "@" in url:
        return "***" + url[url.rindex("@") :]  # somebody forgot the scheme, not the password
    return mask(url)
