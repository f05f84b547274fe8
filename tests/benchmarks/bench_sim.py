"""How fast the simulated world is, on one core: by hand, `python tests/benchmarks/bench_sim.py [--seeds 30]`.

CPU time counts, as other work on the machine only makes a run slower.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
from time import process_time

from labsched import Settings
from labsched.worlds.simulated.simulation import Simulation

TASKS = "data/tasks.yml"
NAMES = ("i1", "i2", "i3")


def hour() -> None:
    """3 instances, default settings, the sample tasks."""
    sim = Simulation(3, seed=7, tasks=TASKS, messages=False)
    start = process_time()
    rec = sim.run(until=3600)
    took = process_time() - start
    print(
        f"an hour: {took:.2f} s ({3600 / took:.0f} x real time, {len(rec.history)} events), digest {rec.digest[:12]}"
    )
    sim.close()


def chaos(seed: int) -> Simulation:
    """60 s with 2 to 6 faults that end before 40 s, all healed at 42 s: time enough to come back."""
    rng = random.Random(f"bench {seed}")
    sim = Simulation(3, seed=seed, tasks=TASKS, messages=False)
    for _ in range(rng.randint(2, 6)):
        start, name = rng.uniform(3, 35), rng.choice(NAMES)
        end = start + min(rng.expovariate(1 / 4), 5)
        match rng.choice(("kill", "pause", "partition", "lossy", "slow", "hog", "skew", "server", "drain")):
            case "kill":
                sim.at(start).kill(name).at(end).restart(name)
            case "pause":
                sim.at(start).pause(name).at(end).resume(name)
            case "partition":
                sim.at(start).partition(name, rng.choice(("both", "requests", "replies"))).at(end).heal(name)
            case "lossy":
                sim.at(start).lossy(name, rng.uniform(0, 0.5)).at(end).heal(name)
            case "slow":
                sim.at(start).slow(name, rng.uniform(0, 1)).at(end).heal(name)
            case "hog":
                sim.at(start).hog(name, rng.uniform(0, 6))
            case "skew":
                sim.at(start).skew(name, rng.uniform(-1000, 1000))
            case "server":
                sim.at(start).restart_server(down=rng.uniform(0, 2))
            case "drain":
                sim.at(start).terminate(name).at(end + 1).restart(name)
    sim.at(42).heal()
    for name in NAMES:
        sim.at(42).resume(name).at(42.1).restart(name)
    return sim


def seeds(count: int) -> None:
    built = ran = checked = 0.0
    bad = 0
    for seed in range(count):
        t0 = process_time()
        sim = chaos(seed)
        t1 = process_time()
        rec = sim.run(until=60)
        t2 = process_time()
        report = rec.check()
        t3 = process_time()
        sim.close()
        built, ran, checked = built + t1 - t0, ran + t2 - t1, checked + t3 - t2
        bad += not report.ok
    run, all_in = count / (built + ran), count / (built + ran + checked)
    print(f"chaos, 60 s each: {run:.1f} seeds/s, with check() {all_in:.1f} ({count} seeds, {bad} violated)")
    each = ", ".join(
        f"{what} {spent / count * 1e3:.0f} ms"
        for what, spent in (("set-up", built), ("run", ran), ("check", checked))
    )
    print(f"  of a seed: {each}")


def crowd(instances: int = 500, span: float = 60.0) -> None:
    """Members that only heartbeat (every second) and wait for work."""
    Simulation(1, seed=1).close()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    names = [f"n{i}" for i in range(instances)]
    sim = Simulation(names=names, seed=1, settings=Settings(heartbeat_every=1.0), messages=False)
    sim.run(until=10)
    start = process_time()
    sim.run(until=10 + span)
    took = process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{instances} instances: {span / took:.1f} x real time, {grown / instances:.2f} MiB each")
    sim.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--only", choices=("hour", "seeds", "crowd"))
    given = parser.parse_args()
    print(f"Python {sys.version.split()[0]}")
    if given.only in (None, "crowd"):
        crowd()
    if given.only in (None, "hour"):
        hour()
    if given.only in (None, "seeds"):
        seeds(given.seeds)
