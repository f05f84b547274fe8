"""The URL "fake": a Redis inside this process (fakeredis), gone when the process ends.

All that open the same URL in one process share one server: "fake" is one, "fake:b" is another.
"""

from __future__ import annotations

from pathlib import Path

from labsched.connect import Opened, no_retry
from labsched.errors import ConfigError

try:
    from fakeredis import FakeAsyncRedis, FakeServer
except ImportError:
    raise ConfigError(
        'redis url "fake" needs fakeredis, which is not installed: pip install "labsched[lab]"'
    ) from None

_servers: dict[str, FakeServer] = {}


def open_fake(
    url: str, *, data_dir: str | Path | None = None, request_timeout: float, blocking_timeout: float
) -> Opened:
    """Two clients of this process's fake server of that URL. The server outlives `close()`."""
    if data_dir is not None:
        raise ConfigError('redis url "fake" keeps no data: data_dir cannot be set')
    server = _servers.setdefault(url, FakeServer())
    return Opened(_client(server), _client(server), url, trusted=True)


def forget(url: str = "fake") -> None:
    """Drop that server and its data; clients that are still open keep the old one."""
    _servers.pop(url, None)


def _client(server: FakeServer) -> FakeAsyncRedis:
    # Without time limits: nothing here can be late, and redis-py's way of keeping them loses cancellations
    # (see connect._Prompt).
    return FakeAsyncRedis(server=server, socket_timeout=None, retry=no_retry())
