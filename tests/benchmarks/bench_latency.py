"""Start latency, lateness of slots, idle traffic, memory and import time, each on processes of their own.

    python tests/benchmarks/bench_latency.py [--server-core 0] [--worker-core 1] [--runs 1000]

Processes: one redis-server, one instance (leader and worker in one) or three for the idle count, and this
client. Times of different processes are compared on the machine's monotonic clock, slots on its wall clock.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import redis.asyncio as aioredis
from bench_throughput import start_server

from labsched import Scheduler, Settings, at, manual

SLOTS, SPAN = 500, 5.0  # slots due within so many seconds


def quantiles(values: list[float], unit: str = "ms") -> str:
    ordered = sorted(values)
    p99 = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    p50, worst = statistics.median(ordered), ordered[-1]
    return f"p50 {p50:.3f} {unit}, p99 {p99:.3f} {unit}, worst {worst:.3f} {unit}, n {len(ordered)}"


def instance(port: int, name: str, core: int | None, out: Any, first_slot: float | None) -> None:
    """One instance in a process; bodies send the moment at which they began."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    app = Scheduler(f"redis://127.0.0.1:{port}/0", namespace="bench", settings=Settings(web_enabled=False))

    async def stamp(ctx: Any) -> None:
        out.send(time.monotonic())

    async def late(ctx: Any) -> None:
        out.send(time.time() * 1000 - ctx.slot_ms)

    app.add("stamp", manual(), stamp)
    if first_slot is not None:
        for i in range(SLOTS):
            when = datetime.fromtimestamp(first_slot, UTC) + timedelta(seconds=SPAN * i / SLOTS)
            app.add(f"slot-{i}", at(when), late)
    app.run(name)


async def start_latency(port: int, runs: int, inbox: Any) -> list[float]:
    """From just before `trigger` is called to the body's first line, one at a time on an idle system."""
    app = Scheduler(f"redis://127.0.0.1:{port}/0", namespace="bench")
    loop, found = asyncio.get_running_loop(), []
    async with app:
        async for event in app.events("-"):
            if event.kind == "INSTANCE_JOINED":
                break
        for _ in range(runs + 50):
            began = time.monotonic()
            await app.trigger("stamp")
            found.append((await loop.run_in_executor(None, inbox.recv) - began) * 1000)
            await asyncio.sleep(0.005)
    return found[50:]


async def idle_requests(port: int, seconds: float) -> float:
    """Client requests per second that the server sees; commands inside scripts are not requests."""
    r = aioredis.Redis(port=port, socket_timeout=None)
    count, until = 0, time.monotonic() + seconds
    async with r.monitor() as monitor:
        while (left := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    seen = await monitor.next_command()
            except TimeoutError:
                break
            count += seen["client_type"] != "lua"
    await r.aclose()
    return count / seconds


def rss(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def import_seconds(what: str) -> float:
    code = f"import time; t = time.perf_counter(); import {what}; print(time.perf_counter() - t)"
    return statistics.median(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(7)
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server-core", type=int)
    parser.add_argument("--worker-core", type=int)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--idle", type=float, default=20)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    server, port = start_server(options.server_core)
    processes = []

    def start(name: str, first_slot: float | None = None) -> Any:
        inbox, outbox = spawn.Pipe(duplex=False)
        process = spawn.Process(target=instance, args=(port, name, options.worker_core, outbox, first_slot))
        process.start()
        processes.append(process)
        return inbox

    try:
        inbox = start("i1")
        found = asyncio.run(start_latency(port, options.runs, inbox))
        print("start latency on an idle system:", quantiles(found))
        processes.pop().terminate()
        inbox = start("i1", time.time() + 4)
        print("lateness of scheduled runs:", quantiles([inbox.recv() for _ in range(SLOTS)]))
        for name in ("i2", "i3"):
            start(name)
        time.sleep(3)
        print(
            f"idle cluster of three: {asyncio.run(idle_requests(port, options.idle)):.1f} client requests/s"
        )
        out = subprocess.Popen(
            [sys.executable, "-m", "labsched", "--url", f"redis://127.0.0.1:{port}/0", "--namespace", "rss", "instance",
             "--name", "m", "--no-web"], stderr=subprocess.DEVNULL
        )  # fmt: skip
        time.sleep(4)
        print(f"resident memory of `labsched instance`: {rss(out.pid):.1f} MiB")
        out.terminate()
        out.wait()
    finally:
        for process in processes:
            process.terminate()
            process.join()
        server.kill()
        server.wait()
    plain, ours = import_seconds("redis.asyncio"), import_seconds("redis.asyncio, labsched")
    print(
        f"import redis.asyncio {plain:.3f} s, with labsched {ours:.3f} s, so labsched adds {ours - plain:.3f} s"
    )


if __name__ == "__main__":
    main()
