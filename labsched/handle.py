"""`Handle`: the opening and closing of a namespace on a server, which `Client` and `Scheduler` build upon."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import TracebackType
from typing import Self

from .clock import Host
from .config import Settings
from .connect import Opened, open_url
from .errors import ConfigError, ServerUnsuitable
from .events import Events
from .mailbox import Waiting
from .preflight import preflight
from .registry import Registry
from .store import FORMAT, Store, text

log = logging.getLogger("labsched")


class Handle:
    """Opens on `async with`, as often as one likes. `patience`: seconds for which a call is repeated while the server
    does not answer, None for ever.
    """

    def __init__(
        self,
        url: str | Opened | None = None,
        *,
        namespace: str | None = None,
        settings: Settings | None = None,
        data_dir: str | Path | None = None,
        host: Host | None = None,
        patience: float | None = 10.0,
    ) -> None:
        self._opened: Opened | None = None
        self._data_dir = data_dir
        self._users = 0
        self._opening = asyncio.Lock()
        self._quiet_until = 0.0
        self.settings, self.host = settings or Settings(), host or Host()
        self.configure(
            url=url or self.settings.redis_url,
            namespace=namespace or self.settings.namespace,
            patience=patience,
        )

    def configure(
        self,
        *,
        url: str | Opened | None = None,
        namespace: str | None = None,
        settings: Settings | None = None,
        host: Host | None = None,
        patience: float | None = None,
    ) -> None:
        """Move a handle that is not open, for whoever runs another's code; None (patience: always) is set as given."""
        if self._opened is not None:
            raise ConfigError("the scheduler is open: configure it before")
        if namespace is not None:
            check_word("namespace", namespace)
            self.namespace = namespace
        self.settings, self.host = settings or self.settings, host or self.host
        self.target: str | Opened = url or self.target
        self.patience = patience

    # Opening.

    async def __aenter__(self) -> Self:
        return await self._enter(self.patience)

    async def _enter(self, patience: float | None) -> Self:
        async with self._opening:
            if self._users == 0:
                await self._open(patience)
            self._users += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._opening:
            self._users -= 1
            if self._users == 0:
                await self._waiting.close()
                assert self._opened is not None
                await self._opened.close()
                self._opened = None

    async def _open(self, patience: float | None) -> None:
        if isinstance(self.target, Opened):
            opened = self.target
        else:
            opened = open_url(
                self.target, data_dir=self._data_dir, request_timeout=self.settings.request_timeout
            )
        self._opened = opened
        self._client = self._store(patience)
        try:
            await self._client.retrying(lambda: preflight(opened.redis))
            await self._check_format()
            self.registry = Registry(self._client)
            await self.define()
        except BaseException:
            await opened.close()
            self._opened = None
            raise
        self._client.patience = self.patience
        self._events = Events(self._client, opened.blocking)
        self._waiting = Waiting(self._client, f"client-{self.host.new_id()}", blocking=opened.blocking)

    async def define(self) -> None:
        """What has to be in the registry before the first call."""

    def _store(self, patience: float | None) -> Store:
        assert self._opened is not None
        return Store(
            self._opened.redis,
            self.namespace,
            host=self.host,
            patience=patience,
            on_trouble=self._trouble,
            trusted=self._opened.trusted,
        )

    def _trouble(self, message: str) -> None:
        """Warn, but not more than once a second: every loop of an instance meets the same trouble."""
        now = self.host.clock.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + 1.0
            log.warning("%s", message)

    async def _check_format(self) -> None:
        key = self._client.key("meta")
        found = await self._client.retrying(lambda: self._client.redis.execute_command("HGET", key, "format"))
        if found is not None and int(found) > FORMAT:
            raise ServerUnsuitable(
                f"namespace {self.namespace!r} was written by a newer labsched (format {text(found)}, "
                f"this one knows {FORMAT}): upgrade, or use another namespace"
            )

    @property
    def url(self) -> str:
        """The server's URL as opened (it may carry a password)."""
        self._check_open()
        assert self._opened is not None
        return self._opened.url

    def _check_open(self) -> None:
        if self._opened is None:
            raise ConfigError("the scheduler is not open: use it inside `async with app:`")


def check_word(what: str, word: str) -> None:
    if (
        not isinstance(word, str)
        or not word
        or len(word) > 200
        or not word.isprintable()
        or set(word) & set(" {}*")
    ):
        raise ConfigError(
            f"{what} is {word!r}: 1 to 200 printable characters, no space, no '{{', '}}' or '*'"
        )
