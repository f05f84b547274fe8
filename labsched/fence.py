"""The other half of fencing: a store that refuses a writer whom somebody newer has overtaken.

A lock alone cannot stop a holder that was paused past its lease and wakes up in the middle of a write. Its
token can: whoever took the lock since has a larger one, and the store remembers the largest it has seen.
"""

from __future__ import annotations

from typing import Any

import redis.asyncio as aioredis

from .clock import Host
from .codec import from_json, to_json
from .errors import ConfigError, StaleToken
from .store import Store, text

LARGEST = 2**53  # beyond it Lua's numbers are not exact


class FenceStore:
    """Named JSON values in Redis, each guarded by the largest token that has written it."""

    def __init__(
        self,
        redis: aioredis.Redis,
        namespace: str = "labsched",
        host: Host | None = None,
        *,
        patience: float | None = 10.0,
    ) -> None:
        self._store = Store(redis, namespace, host=host, patience=patience)

    async def write(self, resource: str, value: Any, token: int) -> None:
        """Writes `value` unless a newer token has written `resource`: then `StaleToken`, nothing changed.

        The same token may write again. Raises `PayloadError` for what is not JSON or over 1 MiB.
        """
        _check(resource)
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < LARGEST:
            raise ConfigError(f"token {token!r} is refused: it must be a whole number from 0, below 2**53")
        data, nonce = to_json(value, f"the value for {resource!r}"), self._store.host.new_id()
        reply = await self._store.call("fence_put", resource, token, data, nonce)
        if text(reply[0]) == "refused":
            raise StaleToken(f"{resource!r} was written with token {text(reply[3])}, newer than {token}")

    async def read(self, resource: str) -> tuple[Any, int] | None:
        """The value and the token that wrote it, or None when nobody has."""
        _check(resource)
        key = self._store.key("fenced", resource)
        value, token = await self._store.retrying(lambda: self._store.redis.hmget(key, ["value", "token"]))
        return None if value is None else (from_json(value), int(text(token)))


def _check(resource: str) -> None:
    if not isinstance(resource, str) or not resource.strip():
        raise ConfigError(f"resource {resource!r} is refused: it must be a non-empty text")
