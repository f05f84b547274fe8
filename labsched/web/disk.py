"""Whether the server can go on writing its append-only file: an embedded server shares this machine's disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from redis import exceptions as rex

from labsched.errors import ServerUnsuitable
from labsched.metrics import Component
from labsched.store import pairs, text

if TYPE_CHECKING:
    from labsched.app import Scheduler

LEAST = 100 << 20  # bytes; what a rewrite of the file needs on top is not known beforehand


async def disk(app: Scheduler) -> Component | None:
    """None for a server that writes no such file or does not tell. Free space is only known of a folder that this
    process sees, which is so for the embedded server."""
    store = app._client
    try:
        said = await store.retrying(lambda: store.redis.info("persistence"))
        if not int(said.get("aof_enabled", 0)):
            return None
        if said.get("aof_last_write_status", "ok") != "ok":
            return Component(up=False, detail="the last write to the append-only file failed")
        asked = await store.retrying(lambda: store.redis.execute_command("CONFIG", "GET", "dir"))
    except (rex.ResponseError, ServerUnsuitable):  # a managed server keeps that to itself
        return None
    return _space(Path(text(pairs(asked).get("dir", ""))))


def _space(folder: Path) -> Component:
    if not (folder / "appendonlydir").is_dir():
        return Component(up=True, detail="the append-only file is written")
    free = shutil.disk_usage(folder).free
    return Component(up=free >= LEAST, detail=f"{free / (1 << 30):.1f} GiB are free for the append-only file")
