"""Lock and unlock, ours against redis-py's asyncio Lock: pairs per second, and the worst wait.

    python tests/benchmarks/bench_locks.py [--seconds 1] [--rounds 8] [--contenders 8] [--url redis://...]

All candidates take turns on one server, so that a noisy machine hurts them alike; `against redis-py` is the
median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import redis.asyncio as aioredis

sys.path[:0] = [str(Path(__file__).parents[2])]

from labsched.locks import LockManager
from tests.servers import start_redis, start_valkey

Pair = Callable[[], Awaitable[float]]  # takes and frees the lock once; seconds waited


def ours_alone(manager: LockManager) -> Pair:
    async def pair() -> float:
        began = time.perf_counter()
        lock = await manager.acquire("bench", at_most_for=30)
        waited = time.perf_counter() - began
        assert lock is not None
        await lock.release()
        return waited

    return pair


def ours_waiting(manager: LockManager) -> Pair:
    async def pair() -> float:
        began = time.perf_counter()
        lock = await manager.wait("bench", at_most_for=30)
        waited = time.perf_counter() - began
        assert lock is not None
        await lock.release()
        return waited

    return pair


def theirs(redis: aioredis.Redis, sleep: float) -> Pair:
    lock = redis.lock("bench", timeout=30, sleep=sleep, thread_local=False)

    async def pair() -> float:
        began = time.perf_counter()
        await lock.acquire()
        waited = time.perf_counter() - began
        await lock.release()
        return waited

    return pair


async def measure(pairs: list[Pair], seconds: float) -> tuple[float, float]:
    """Pairs per second of all contenders together, and the longest anyone waited."""
    end = time.perf_counter() + seconds
    done, worst = 0, 0.0

    async def contend(pair: Pair) -> None:
        nonlocal done, worst
        while time.perf_counter() < end:
            worst = max(worst, await pair())
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(contend(pair) for pair in pairs))
    return done / (time.perf_counter() - began), worst


@contextlib.asynccontextmanager
async def candidates(url: str, contenders: int) -> AsyncIterator[dict[str, list[Pair]]]:
    redis = aioredis.Redis.from_url(url)
    managers = [LockManager(redis, "bench", owner=f"c{i}") for i in range(contenders)]
    many = range(contenders)
    yield {
        "alone: labsched": [ours_alone(managers[0])],
        "alone: redis-py": [theirs(redis, 0.1)],
        f"{contenders}: labsched, one manager": [ours_waiting(managers[0]) for _ in many],
        f"{contenders}: labsched, a manager each": [ours_waiting(m) for m in managers],
        f"{contenders}: redis-py": [theirs(redis, 0.1) for _ in many],
        f"{contenders}: redis-py, sleep 1 ms": [theirs(redis, 0.001) for _ in many],
    }
    for manager in managers:
        await manager.close()
    await redis.aclose()


async def run(url: str, seconds: float, rounds: int, contenders: int) -> None:
    results: dict[str, list[tuple[float, float]]] = {}
    async with candidates(url, contenders) as all_candidates:
        for pairs in all_candidates.values():
            await measure(pairs, 0.1)  # connections, scripts
        for alone, parts in ((True, 10), (False, 1)):
            # Alone, many short turns compare best; contenders need time for their longest waits.
            group = {n: p for n, p in all_candidates.items() if (len(p) == 1) == alone}
            for _ in range(rounds * parts):
                for name, pairs in group.items():
                    results.setdefault(name, []).append(await measure(pairs, seconds / parts))
    print(f"{'pairs/s':36}{'median':>8}{'best quarter':>14}{'against redis-py':>18}{'worst wait':>12}")
    for name, rows in results.items():
        rates, peer = ([rate for rate, _ in results[n]] for n in (name, name.split(":")[0] + ": redis-py"))
        middle, best = statistics.median(rates), statistics.quantiles(rates, n=4)[2]
        ratio = statistics.median(ours / other for ours, other in zip(rates, peer, strict=True))
        worst = max(wait for _, wait in rows) * 1e3
        print(f"{name:36}{middle:8,.0f}{best:14,.0f}{ratio:17.2f}x{worst:9.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--contenders", type=int, default=8)
    parser.add_argument("--url", help="a server to use; by default one is started")
    args = parser.parse_args()
    server = None if args.url else (start_redis() or start_valkey())
    try:
        asyncio.run(run(args.url or server.url, args.seconds, args.rounds, args.contenders))
    finally:
        if server:
            server.stop()


if __name__ == "__main__":
    main()
