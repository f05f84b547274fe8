"""How long a real cluster with default settings is without its leader, or with a dead worker's execution idle.

    python tests/benchmarks/bench_failover.py [--runs 10]

Processes: one embedded server, three instances, this one. A task with a slot every 100 ms makes the gap in
dispatching visible. Times are the server's, but for the moment of the fault, which is this machine's clock.

- leader killed: from SIGKILL to the first slot dispatched by another
- worker killed: from SIGKILL to the same execution RUNNING elsewhere
- hand-over: from SIGTERM to the first slot dispatched by another
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from pathlib import Path

from labsched.model import Event, Kind
from labsched.worlds import ProcessCluster

APP = f"{Path(__file__).with_name('failover_app.py')}:app"


async def next_event(cluster: ProcessCluster, since: str, wanted: object) -> Event:
    async with asyncio.timeout(30):
        async for event in cluster.app.events(since):
            if wanted(event):  # type: ignore[operator]
                return event
    raise AssertionError("the stream ended")


async def leader_gone(cluster: ProcessCluster, how: str) -> float:
    since = (await cluster.app.snapshot())["last_event"]
    leader = next(i.name for i in await cluster.app.instances() if i.leader)
    stop = asyncio.create_task(cluster.kill("leader") if how == "kill" else cluster.terminate("leader"))
    event = await next_event(
        cluster,
        since,
        lambda e: e.kind is Kind.READY and e.task == "tick" and e.instance not in (None, leader),
    )
    await stop
    gap = event.at - cluster.faults[-1]["at"]
    await cluster.restart(leader)
    await cluster.ready()
    return gap


async def worker_gone(cluster: ProcessCluster) -> float:
    since = (await cluster.app.snapshot())["last_event"]
    xid = await cluster.app.trigger("long")
    first = await next_event(cluster, since, lambda e: e.kind is Kind.RUNNING and e.execution == xid)
    await cluster.kill(first.instance or "")
    again = await next_event(cluster, first.id, lambda e: e.kind is Kind.RUNNING and e.execution == xid)
    await cluster.app.cancel(xid, force=True)
    gap = again.at - cluster.faults[-1]["at"]
    await cluster.restart(first.instance or "")
    await cluster.ready()
    return gap


async def measure(runs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"leader killed": [], "worker killed": [], "hand-over": []}
    async with ProcessCluster(3, app=APP, namespace="failover") as cluster:
        for _ in range(runs):
            await asyncio.sleep(1.5)  # let leases have ages of every kind
            found["leader killed"].append(await leader_gone(cluster, "kill"))
            found["worker killed"].append(await worker_gone(cluster))
            found["hand-over"].append(await leader_gone(cluster, "terminate"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10)
    for what, gaps in asyncio.run(measure(parser.parse_args().runs)).items():
        p50, best, worst = statistics.median(gaps), min(gaps), max(gaps)
        print(f"{what:14} p50 {p50:.3f} s, worst {worst:.3f} s, best {best:.3f} s, n {len(gaps)}")


if __name__ == "__main__":
    main()
