"""Makes the recording of a real cluster: its history between two snapshots, and what its world noted beside it."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Sequence
from typing import Any

import redis

import labsched
from labsched.app import Scheduler
from labsched.connect import open_url
from labsched.errors import LabschedError
from labsched.model import Event
from labsched.preflight import preflight

from .checks.nouns import id_key
from .recording import Recording


async def collect(
    app: Scheduler,
    first: dict[str, Any],
    *,
    options: dict[str, Any],
    journals: list[dict[str, Any]],
    faults: Sequence[dict[str, Any]],
) -> Recording:
    """Everything since the snapshot `first`, as one value. `app` is an open client of that cluster."""
    final = await app.snapshot()
    return Recording(
        world="real",
        namespace=app.namespace,
        started=first["at"] / 1000,
        ended=final["at"] / 1000,
        options=options,
        versions=await _versions(app.url),
        snapshot=first,
        final=final,
        history=await _history(app, first["last_event"] or "0-0", final["last_event"] or "0-0"),
        journals=journals,
        fault_log=[dict(fault) for fault in faults],
    )


async def _history(app: Scheduler, since: str, until: str) -> list[Event]:
    """The events between the two snapshots; all there are if the server forgot the first one's."""
    if id_key(until) < id_key(since):
        return await app.history("-", until)
    # From its millisecond on: the event itself may be gone, and what came after a reset belongs to the run too.
    found = await app.history(since.partition("-")[0], until)
    return [event for event in found if id_key(event.id) > id_key(since)]


async def _versions(url: str) -> dict[str, str]:
    found = {
        "python": platform.python_version(),
        "labsched": labsched.__version__,
        "redis-py": redis.__version__,
    }
    with contextlib.suppress(LabschedError, redis.RedisError, OSError):
        opened = open_url(url)
        try:
            server = await preflight(opened.redis)
            found[server.server] = server.version
        finally:
            await opened.close()
    return found
