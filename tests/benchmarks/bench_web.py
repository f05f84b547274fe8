"""What watching costs: a refresh of the dashboard on a large namespace, open dashboards, and throughput meanwhile.

    python tests/benchmarks/bench_web.py [--kept 100000] [--tasks 1000] [--dashboards 50]

Runs an embedded server of its own. Prints: milliseconds of a refresh (p50, p99) and the commands that looking costs the
server; the share of a core that open dashboards cost an idle instance; and the throughput with and without them, in
alternation.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import httpx

from labsched import Scheduler, Settings, manual
from labsched.web import serve_web

ROUNDS = 3


def scheduler(tasks: int) -> Scheduler:
    app = Scheduler(
        "embedded", namespace="bench", settings=Settings(web_port=0, pool_size=100, log_level="ERROR")
    )

    async def nothing(ctx):
        return None

    for n in range(tasks):
        app.add(f"task-{n:04d}", manual(), nothing)
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
    (await client.get("/api/state")).raise_for_status()
    took, before, began = [], await commands(app), time.perf_counter()
    for _ in range(200):
        at = time.perf_counter()
        (await client.get("/api/state")).raise_for_status()
        took.append((time.perf_counter() - at) * 1000)
        await asyncio.sleep(0.02)
    spent = await commands(app) - before
    looks = time.perf_counter() - began
    took.sort()
    print(f"refresh: p50 {took[100]:.1f} ms, p99 {took[197]:.1f} ms")
    print(
        f"server: {spent / looks:.0f} commands a second in all, instance and feed together, for any number of refreshes"
    )


async def main(kept: int, tasks: int, dashboards: int) -> None:
    app = scheduler(tasks)
    async with app.instance("i1"), serve_web(app, name="i1") as web:
        print(f"filled at {await drained(app, kept, tasks):,.0f} executions a second")
        idle = await commands(app)
        await asyncio.sleep(5)
        print(f"idle: {(await commands(app) - idle) / 5:.0f} commands a second without a dashboard")
        limits = httpx.Limits(max_connections=dashboards + 10)
        async with httpx.AsyncClient(base_url=web.url, limits=limits, timeout=30) as client:
            await refresh(app, client)
    print("throughput and share of a core: in a process of their own, see --watch", flush=True)
    await cost(tasks, dashboards)


async def cost(tasks: int, dashboards: int) -> None:
    """Dashboards are read by another process, so that only the instance's own work is counted."""
    app = scheduler(tasks)
    async with app.instance("i1"), serve_web(app, name="i1") as web:
        await drained(app, 2000, tasks)
        shares, rates = {False: [], True: []}, {False: [], True: []}
        for _ in range(ROUNDS):
            for watched in (False, True):
                reader = await _reader(web.url, dashboards) if watched else None
                await asyncio.sleep(2)
                cpu, began = time.process_time(), time.perf_counter()
                await asyncio.sleep(5)
                shares[watched].append((time.process_time() - cpu) / (time.perf_counter() - began))
                rates[watched].append(await drained(app, 20_000, tasks))
                if reader is not None:
                    reader.kill()
                    await reader.wait()
                    await asyncio.sleep(6)
        share = (sum(shares[True]) - sum(shares[False])) / ROUNDS
        print(f"{dashboards} dashboards: {share:.1%} of a core")
        ratios = sorted(a / b for a, b in zip(rates[True], rates[False], strict=True))
        print(
            f"throughput with them: {ratios[ROUNDS // 2]:.2f} of that without ({', '.join(f'{r:.2f}' for r in ratios)})"
        )


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
