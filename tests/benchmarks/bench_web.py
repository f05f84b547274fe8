"""What watching costs: a refresh of the dashboard on a large namespace, open dashboards, and throughput meanwhile.

    python tests/benchmarks/bench_web.py [--kept 100000] [--tasks 1000] [--dashboards 50] [--pairs 3] [--only-cost]

Runs an embedded server of its own. Prints: milliseconds of a refresh (p50, p99); the commands that a look costs the
server, by its own count (INFO commandstats, which counts the commands inside scripts too), with one instance and with
ten; the memory of an instance's process without web, with it, and with an open dashboard; the share of a core that open
dashboards cost an idle instance; and throughput and CPU time of an execution, the instance's and the server's, with and
without them, in pairs: each ratio is of two rounds that follow one another, told as the median of the pairs and the
interval that 95 of 100 draws of pairs give (bootstrap).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import httpx

from labsched import Scheduler, Settings, every
from labsched.overview import overview
from labsched.web import feed, serve_web

RUNS = 40_000


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


class Watcher(asyncio.Protocol):
    """A dashboard that only takes what comes: people's browsers do their work on machines of their own."""

    def __init__(self, host: str, started: asyncio.Semaphore) -> None:
        self.request = f"GET /api/stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self.started: asyncio.Semaphore | None = started

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self.started is not None and b"data:" in data:
            self.started.release()
            self.started = None


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


async def main(kept: int, tasks: int, dashboards: int, pairs: int) -> None:
    app = scheduler(tasks)
    async with app.instance("i1"):
        print(f"filled at {await drained(app, kept, tasks):,.0f} executions a second", flush=True)
        async with serve_web(app, name="i1") as web:
            limits = httpx.Limits(max_connections=dashboards + 10)
            async with httpx.AsyncClient(base_url=web.url, limits=limits, timeout=30) as client:
                await refresh(app, client)
        for others in (0, 9):
            await look(app, others)
        await memory(app)
    await cost(tasks, dashboards, pairs)


async def look(app: Scheduler, others: int) -> None:
    """What the server does more for a dashboard."""
    async with contextlib.AsyncExitStack() as stack:
        for n in range(others):
            await stack.enter_async_context(app.instance(f"more{n}"))
        web = await stack.enter_async_context(serve_web(app, name="i1"))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=web.url, timeout=30))
        await asyncio.sleep(10)  # who joined has defined its tasks
        idle = await rate(app, 10)
        (await client.get("/api/state")).raise_for_status()
        await asyncio.sleep(35)  # the judge's first snapshot, and its rest, are over
        watched = await rate(app, 10)
    print(f"{others + 1} instances: {watched - idle:.0f} commands a look (one a second)", flush=True)


async def memory(app: Scheduler) -> None:
    """Megabytes of a process of its own that joins this namespace."""
    url = app._client.redis.connection_pool.connection_kwargs
    where = f"redis://:{url.get('password') or ''}@{url['host']}:{url['port']}/{url.get('db') or 0}"
    for said, arguments, opened in (
        ("without web", ("--no-web",), False), ("with it", (), False), ("with an open dashboard", (), True)
    ):  # fmt: skip
        made = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "labsched", "instance", "--name", "measured", "--namespace", "bench", *arguments,
            env={**os.environ, "LABSCHED_REDIS_URL": where, "LABSCHED_WEB_PORT": "0"}, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert made.stderr is not None
        log = b""
        while b"joined" not in log or not (arguments or b"dashboard at" in log):
            log += await made.stderr.readline()
        async with httpx.AsyncClient(timeout=None) as client, contextlib.AsyncExitStack() as stack:
            if opened:
                address = re.search(rb"dashboard at (http://[^/]+)", log)
                assert address is not None
                stream = client.stream("GET", f"{address[1].decode()}/api/stream")
                await stack.enter_async_context(stream)
            await asyncio.sleep(15)
            resident = _resident(made.pid)
        made.terminate()
        await made.wait()
        print(f"memory of an instance {said}: {resident:.0f} MiB", flush=True)


def _resident(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def cost(tasks: int, dashboards: int, pairs: int) -> None:
    """Dashboards are read by another process, so that only the instance's own work is counted. Shares are of CPU time,
    which other processes disturb little; what they do to throughput, the pairs even out."""
    feed.LINGER = 1.0  # in the rounds without dashboards nothing goes on from those before
    app = scheduler(tasks)
    async with app.instance("i1"), serve_web(app, name="i1") as web:
        await drained(app, 2000, tasks)
        await share(app, tasks)
        shares, rates, each, servers = ({False: [], True: []} for _ in range(4))
        for number in range(pairs * 2):
            watched = number % 4 in (1, 2)  # without, with, with, without: what drifts hits both
            reader = await _reader(web.url, dashboards) if watched else None
            await asyncio.sleep(15 if watched else 5)  # the first look, which reads everything, is over
            cpu, began = time.process_time(), time.perf_counter()
            await asyncio.sleep(6)
            shares[watched].append((time.process_time() - cpu) / (time.perf_counter() - began))
            cpu, server = time.process_time(), await server_cpu(app)
            rates[watched].append(await drained(app, RUNS, tasks))
            each[watched].append((time.process_time() - cpu) / RUNS * 1000)
            servers[watched].append((await server_cpu(app) - server) / RUNS * 1000)
            if reader is not None:
                reader.kill()
                await reader.wait()
    middle = {watched: statistics.median(shares[watched]) for watched in (True, False)}
    print(f"{dashboards} dashboards: {middle[True] - middle[False]:.1%} of a core "
          f"(with {middle[True]:.1%}, without {middle[False]:.1%})")  # fmt: skip
    tell("executions a second", rates, ",.0f")
    tell("ms of the instance's CPU an execution", each, ".3f")
    tell("ms of the server's CPU an execution", servers, ".3f")


async def share(app: Scheduler, tasks: int) -> None:
    """What the server, which limits throughput, does for a look of a busy second, and for an execution."""
    server, counted = await server_cpu(app), await commands(app)
    await drained(app, RUNS, tasks)
    spent, sent = (await server_cpu(app) - server) / RUNS, (await commands(app) - counted) / RUNS
    registry, looks = app.registry_open(), 300
    await asyncio.sleep(2)
    server, counted = await server_cpu(app), await commands(app)
    for n in range(looks):
        await app.newest(feed.MOST_EVENTS)
        await overview(registry, None, set())
        await registry.counted([f"task-{(n + k) % tasks:04d}" for k in range(feed.MOST_TASKS)])
    look, asked = (await server_cpu(app) - server) / looks, (await commands(app) - counted) / looks
    print(
        f"the server: {spent * 1000:.3f} ms and {sent:.1f} commands an execution, {look * 1000:.1f} ms and {asked:.0f} "
        f"commands a look, one a second: {look:.2%} of its time"
    )


async def server_cpu(app: Scheduler) -> float:
    """Seconds that the server has spent."""
    spent = await app._client.redis.info("cpu")
    return float(spent["used_cpu_user"] + spent["used_cpu_sys"])


def tell(what: str, measured: dict[bool, list[float]], how: str) -> None:
    ratios = [watched / alone - 1 for watched, alone in zip(measured[True], measured[False], strict=True)]
    luck = random.Random(0)
    drawn = sorted(statistics.median(luck.choices(ratios, k=len(ratios))) for _ in range(2000))
    print(
        f"{statistics.median(measured[True]):{how}} {what}, {statistics.median(measured[False]):{how}} without them: "
        f"{statistics.median(ratios):+.1%}, {len(ratios)} pairs, interval {drawn[50]:+.1%} to {drawn[-51]:+.1%}"
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
    host, port = url.removeprefix("http://").rsplit(":", 1)
    loop = asyncio.get_running_loop()
    for _ in range(dashboards):
        await loop.create_connection(lambda: Watcher(f"{host}:{port}", started), host, int(port))
    for _ in range(dashboards):
        await started.acquire()
    print("watching", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kept", type=int, default=100_000)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--dashboards", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=3, help="of rounds, without dashboards and with them")
    parser.add_argument("--only-cost", action="store_true", help="only what open dashboards cost")
    parser.add_argument("--watch", metavar="URL", help="only watch that server")
    given = parser.parse_args()
    if given.watch:
        asyncio.run(reading(given.watch, given.dashboards))
    elif given.only_cost:
        asyncio.run(cost(given.tasks, given.dashboards, given.pairs))
    else:
        asyncio.run(main(given.kept, given.tasks, given.dashboards, given.pairs))
