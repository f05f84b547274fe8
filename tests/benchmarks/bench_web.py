"""What watching costs: a refresh of the dashboard on a large namespace, open dashboards, and throughput meanwhile.

    python tests/benchmarks/bench_web.py [--kept 100000] [--tasks 1000] [--dashboards 50]

Runs an embedded server of its own. Prints: milliseconds of a refresh (p50, p99) and the commands that a look costs the
server; the share of a core that open dashboards cost an idle instance; and throughput and CPU time of an execution with
and without them, in alternation.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import httpx

from labsched import Scheduler, Settings, every
from labsched.web import serve_web

ROUNDS = 3
RUNS = 10_000


def scheduler(tasks: int) -> Scheduler:
    app = Scheduler(
        "embedded", namespace="bench", settings=Settings(web_port=0, pool_size=100, log_level="ERROR")
    )

    async def nothing(ctx):
        return None

    for n in range(tasks):
        app.add(f"task-{n:04d}", every("1h"), nothing)
    return app


async def commands(app: Scheduler) -> int:
    """How many the server has processed, scripts' own calls included."""
    stats = await app._client.redis.info("commandstats")
    return sum(entry["calls"] for entry in stats.values())


async def drained(app: Scheduler, count: int, tasks: int) -> float:
    """Executions per second, from the first trigger to the end of the last."""
    before = (await app.registry.counts()).get("SUCCEEDED", 0)
    began = time.perf_counter()
    each = count // 10
    for n in range(10):
        await app.trigger_many(f"task-{n % tasks:04d}", [{}] * each)
    while (await app.registry.counts()).get("SUCCEEDED", 0) < before + count:  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # as a script would look
    return count / (time.perf_counter() - began)


async def watch(client: httpx.AsyncClient, started: asyncio.Semaphore) -> None:
    async with client.stream("GET", "/api/stream", timeout=None) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data"):
                started.release()


async def refresh(app: Scheduler, client: httpx.AsyncClient) -> None:
    began = time.perf_counter()
    (await client.get("/api/state")).raise_for_status()
    print(f"first look: {time.perf_counter() - began:.2f} s, it reads everything once")
    took, spent = [], []
    for _ in range(400):
        at, cpu = time.perf_counter(), time.process_time()
        (await client.get("/api/state")).raise_for_status()
        took.append((time.perf_counter() - at) * 1000)
        spent.append((time.process_time() - cpu) * 1000)
        await asyncio.sleep(0.02)
    took.sort()
    print(
        f"refresh: p50 {took[200]:.1f} ms, p99 {took[395]:.1f} ms; "
        f"{statistics.median(spent):.1f} ms of CPU, the client's included"
    )


async def rate(app: Scheduler, seconds: float) -> float:
    """Commands a second that the server processes, those of scripts included."""
    before, began = await commands(app), time.perf_counter()
    await asyncio.sleep(seconds)
    return (await commands(app) - before) / (time.perf_counter() - began)


async def main(kept: int, tasks: int, dashboards: int) -> None:
    app = scheduler(tasks)
    async with app.instance("i1"), serve_web(app, name="i1") as web:
        print(f"filled at {await drained(app, kept, tasks):,.0f} executions a second", flush=True)
        idle = await rate(app, 10)
        limits = httpx.Limits(max_connections=dashboards + 10)
        async with httpx.AsyncClient(base_url=web.url, limits=limits, timeout=30) as client:
            await refresh(app, client)
            watched = await rate(app, 10)
        print(
            f"server: {watched - idle:.0f} commands a look (one a second), for any number of dashboards",
            flush=True,
        )
    await cost(tasks, dashboards)


async def cost(tasks: int, dashboards: int) -> None:
    """Dashboards are read by another process, so that only the instance's own work is counted. Shares are of CPU time,
    which other processes disturb little; what they do to throughput, alternating rounds even out."""
    app = scheduler(tasks)
    async with app.instance("i1"), serve_web(app, name="i1") as web:
        await drained(app, 2000, tasks)
        shares, rates, each = {False: [], True: []}, {False: [], True: []}, {False: [], True: []}
        for number in range(ROUNDS * 2):
            watched = number % 4 in (1, 2)  # without, with, with, without: what drifts hits both
            reader = await _reader(web.url, dashboards) if watched else None
            await asyncio.sleep(3)
            cpu, began = time.process_time(), time.perf_counter()
            await asyncio.sleep(6)
            shares[watched].append((time.process_time() - cpu) / (time.perf_counter() - began))
            cpu = time.process_time()
            rates[watched].append(await drained(app, RUNS, tasks))
            each[watched].append((time.process_time() - cpu) / RUNS * 1000)
            if reader is not None:
                reader.kill()
                await reader.wait()
    middle = {name: {w: statistics.median(v) for w, v in kind.items()} for name, kind in
              (("share", shares), ("rate", rates), ("each", each))}  # fmt: skip
    print(f"{dashboards} dashboards: {middle['share'][True] - middle['share'][False]:.1%} of a core "
          f"(with {middle['share'][True]:.1%}, without {middle['share'][False]:.1%})")  # fmt: skip
    print(f"throughput: {middle['rate'][True]:,.0f} executions a second, {middle['rate'][False]:,.0f} without them: "
          f"{middle['rate'][True] / middle['rate'][False] - 1:+.1%}")  # fmt: skip
    print(f"CPU of an execution: {middle['each'][True]:.3f} ms with them, {middle['each'][False]:.3f} without: "
          f"{middle['each'][True] / middle['each'][False] - 1:+.1%}")  # fmt: skip


async def _reader(url: str, dashboards: int) -> asyncio.subprocess.Process:
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        "--watch",
        url,
        "--dashboards",
        str(dashboards),
        stdout=asyncio.subprocess.PIPE,
    )
    assert made.stdout is not None
    await made.stdout.readline()
    return made


async def reading(url: str, dashboards: int) -> None:
    started = asyncio.Semaphore(0)
    async with httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=dashboards + 5)) as client:
        watching = [asyncio.create_task(watch(client, started)) for _ in range(dashboards)]
        for _ in range(dashboards):
            await started.acquire()
        print("watching", flush=True)
        await asyncio.gather(*watching)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kept", type=int, default=100_000)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--dashboards", type=int, default=50)
    parser.add_argument("--watch", metavar="URL", help="only watch that server")
    given = parser.parse_args()
    if given.watch:
        asyncio.run(reading(given.watch, given.dashboards))
    else:
        asyncio.run(main(given.kept, given.tasks, given.dashboards))
