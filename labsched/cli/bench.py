"""`labsched bench`: what one instance and this server can do, measured here and now."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from ..config import Settings
from ..schedule import manual
from . import logs
from .call import PATIENCE, Call, advised, command, run
from .output import as_json, facts
from .progress import spinner

if TYPE_CHECKING:
    from ..app import Scheduler
    from ..connect import Opened

LOOKS = 500  # round trips, single runs and lock pairs that are timed one by one


@command(short_help="How much this server and one instance can do.")
@click.option(
    "-n", "--runs", type=click.IntRange(100, 100_000), default=10_000, show_default=True,
    help="Runs to enqueue and drain.",
)  # fmt: skip
@click.option("--json", "json", is_flag=True, help="One JSON document.")
def bench(call: Call, runs: int, json: bool) -> int:
    """Enqueue and drain RUNS that do nothing, start single ones, take locks, and say how fast it was.

    On the server of --url or the settings, in a namespace of its own that is removed at the end; without one, on an
    embedded server of its own. Figures of one process on this machine at this moment: measure more than once.
    """
    logs.set_up("DEBUG" if call.verbose else "ERROR")
    with spinner("measuring, some seconds"):
        found = run(_measured(call.settings, runs))
    if json:
        as_json(found)
    else:
        facts((name.replace("_", " "), _said(name, value)) for name, value in found.items())
    return 0


def _said(name: str, value: float) -> str:
    return f"{value:,.0f} /s" if name.endswith("per_second") else f"{value:.2f} ms"


async def _measured(settings: Settings, runs: int) -> dict[str, float]:
    from ..app import Scheduler
    from ..connect import open_url

    opened = open_url(settings.redis_url, request_timeout=settings.request_timeout)
    mine = settings.replace(namespace=f"bench-{secrets.token_hex(6)}", pool_size=100)
    app = Scheduler(opened, settings=mine, patience=PATIENCE)
    async with contextlib.AsyncExitStack() as leaving:
        with advised(settings.redis_url):
            await leaving.enter_async_context(app)
        leaving.push_async_callback(_removed, opened, mine.namespace)
        return await _figures(app, opened, runs)


async def _figures(app: Scheduler, opened: Opened, runs: int) -> dict[str, float]:
    from ..locks import LockManager

    begun: asyncio.Queue[float] = asyncio.Queue()
    left, over = runs, asyncio.Event()

    async def nothing(ctx: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            over.set()

    async def first(ctx: Any) -> None:
        begun.put_nowait(time.perf_counter())

    app.add("nothing", manual(), nothing)
    app.add("first", manual(), first)
    await app.define()
    began = time.perf_counter()
    await app.trigger_many("nothing", [{}] * runs)
    enqueued = time.perf_counter()
    async with app.instance("bench"):
        await over.wait()
        while (await app.metrics()).succeeded < runs:  # noqa: ASYNC110 - a body is over before its end is written
            await asyncio.sleep(0)
        drained = time.perf_counter()

        async def started() -> None:
            asked = time.perf_counter()
            await app.trigger("first")
            starts.append(await begun.get() - asked)

        starts: list[float] = []
        for _ in range(LOOKS):
            await started()
    locks = LockManager(opened.redis, namespace=app.namespace, owner="bench")

    async def pair() -> None:
        lock = await locks.acquire("bench", at_most_for=30)
        if lock is not None:
            await lock.release()

    trips, pairs = await _timed(opened.redis.ping), await _timed(pair)
    return {
        "round_trip_p50": _at(trips, 0.5) * 1000,
        "round_trip_p99": _at(trips, 0.99) * 1000,
        "start_latency_p50": _at(starts, 0.5) * 1000,
        "start_latency_p99": _at(starts, 0.99) * 1000,
        "enqueued_per_second": runs / (enqueued - began),
        "drained_per_second": runs / (drained - enqueued),
        "lock_pairs_per_second": LOOKS / sum(pairs),
    }


async def _timed(act: Callable[[], Awaitable[object]]) -> list[float]:
    took = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        await act()
        took.append(time.perf_counter() - began)
    return took


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def _removed(opened: Opened, namespace: str) -> None:
    async for key in opened.redis.scan_iter(match=f"{{labsched:{namespace}}}*", count=1000):
        await opened.redis.unlink(key)
