"""What `doctor` finds about the server and the layout of a namespace. Nothing here raises for what it finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Literal

import msgspec

from ..preflight import Preflight
from ..store import FORMAT, Store, text
from .output import span

Verdict = Literal["OK", "WARN", "FAIL"]

OFF_BY = 1.0  # seconds of clock offset that are worth a word
LAGGING = 1000  # events beyond the limit that are no sign of trouble


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. `todo` says what to do about it."""

    what: str
    verdict: Verdict
    text: str
    todo: str = ""


# --- the server -------------------------------------------------------------------------------------


def server(found: Preflight) -> Iterator[Finding]:
    if not found.checked:
        yield Finding("server", "WARN", found.notes[0], "let this user run INFO, so that it can be checked")
        return
    yield Finding("server", "OK", f"{found.server} {found.version}, {found.role or 'role unknown'}")
    yield Finding("eviction", "OK", f"maxmemory-policy is {found.maxmemory_policy or 'unknown'}")
    yield _persistence(found)
    yield _replicas(found)
    yield _memory(found)


def _persistence(p: Preflight) -> Finding:
    if p.last_write_ok is False:
        return Finding(
            "persistence", "FAIL", "the server's last write to its disk failed", "look at its disk and log"
        )
    if p.appendonly is False:
        kept = "what the last snapshot holds" if p.snapshots else "nothing"
        todo = "CONFIG SET appendonly yes, if the history must outlive the server"
        return Finding(
            "persistence", "WARN", f"no append-only file: a crash of the server leaves {kept}", todo
        )
    if p.appendonly is None:
        return Finding("persistence", "WARN", "the server does not tell whether it persists", "")
    may_lose = {
        "everysec": ": a crash may lose about the last second",
        "no": ": a crash may lose many seconds",
    }
    verdict: Verdict = "WARN" if p.appendfsync == "no" else "OK"
    todo = "CONFIG SET appendfsync everysec, or always" if verdict == "WARN" else ""
    said = (
        f"append-only file, appendfsync {p.appendfsync or 'unknown'}{may_lose.get(p.appendfsync or '', '')}"
    )
    return Finding("persistence", verdict, said, todo)


def _replicas(p: Preflight) -> Finding:
    if p.replicas and not p.min_replicas_to_write:
        todo = "CONFIG SET min-replicas-to-write 1, or two primaries may both accept writes after a partition"
        return Finding("replicas", "WARN", f"{p.replicas} replicas, min-replicas-to-write is 0", todo)
    least = "unknown" if p.min_replicas_to_write is None else str(p.min_replicas_to_write)
    return Finding("replicas", "OK", f"{p.replicas or 0} replicas, min-replicas-to-write {least}")


def _memory(p: Preflight) -> Finding:
    used = "unknown" if p.used_memory is None else f"{p.used_memory / 2**20:.1f} MiB"
    if not p.maxmemory:
        return Finding("memory", "OK", f"{used} used, no limit")
    share = (p.used_memory or 0) / p.maxmemory
    verdict: Verdict = "FAIL" if share > 0.98 else "WARN" if share > 0.9 else "OK"
    todo = "raise maxmemory, or keep less history (scheduler.history)" if verdict != "OK" else ""
    return Finding("memory", verdict, f"{used} of {p.maxmemory / 2**20:.1f} MiB used ({share:.0%})", todo)


def clock(offset: float, trip: float) -> Finding:
    said = f"this machine is {span(abs(offset))} {'ahead of' if offset > 0 else 'behind'} the server"
    if abs(offset) < OFF_BY + trip:
        return Finding("clock", "OK", said)
    return Finding(
        "clock", "WARN", said, "leases do not mind, but logs and --at will look wrong: run NTP on both"
    )


# --- the namespace ----------------------------------------------------------------------------------


async def layout(store: Store) -> AsyncIterator[Finding]:
    found = await store.retrying(lambda: store.redis.execute_command("HGET", store.key("meta"), "format"))
    if found is None:
        yield Finding(
            "namespace", "WARN", f"{store.namespace!r} is empty: nobody has used it on this server",
            "check --namespace and --url, or start `labsched instance`",
        )  # fmt: skip
        return
    if int(found) > FORMAT:
        yield Finding(
            "namespace", "FAIL", f"{store.namespace!r} has format {text(found)}, this labsched knows {FORMAT}",
            "upgrade labsched here, or use another namespace",
        )  # fmt: skip
        return
    yield Finding("namespace", "OK", f"{store.namespace!r}, format {text(found)}")
    wrong = await store.wrong_keys()
    if " is a " in wrong:
        yield Finding(
            "keys",
            "FAIL",
            wrong,
            "some other program wrote there: remove those keys, or use another namespace",
        )
    else:
        yield Finding("keys", "OK", "every key has its type")


async def history(store: Store, keep: int) -> Finding:
    length, trimmed = await store.retrying(lambda: _history(store))
    gone = f", those up to {text(trimmed)} were trimmed" if trimmed is not None else ", none was trimmed"
    said = f"{length} kept of at most {keep}{gone}"
    # Retention looks once a minute while little happens, and takes whole nodes of the stream.
    if length <= 1.1 * keep + LAGGING:
        return Finding("events", "OK", said)
    todo = "a leader trims within a minute, but nothing since its oldest RUNNING run began: see executions"
    return Finding("events", "WARN", said, todo)


async def _history(store: Store) -> tuple[int, bytes | None]:
    pipe = store.redis.pipeline(transaction=False)
    pipe.execute_command("XLEN", store.key("events"))
    pipe.execute_command("HGET", store.key("meta"), "trimmed")
    length, trimmed = await pipe.execute()
    return length, trimmed
