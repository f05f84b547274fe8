"""Chaos drawn from a seed: how many instances, their settings, which tasks they run, and what is done to them.

Each seed leaves some kinds of faults and some tasks out: two that hide each other's effects are then apart in some
runs (Groce, Zhang, Eide, Chen, Regehr: Swarm Testing, ISSTA 2012). All faults end before a healthy spell, in which
the cluster has to recover by itself, as in TigerBeetle's VOPR: what stays stuck is found too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence

from labsched.config import Settings
from labsched.errors import ConfigError

from .recording import Recording
from .simulated.plan import Plan
from .simulated.simulation import Simulation
from .swarm_tasks import REGULARS, swarm_app

CALM = 2.0  # seconds before the first fault, in which somebody comes to lead
Deed = Callable[[Plan, Plan, str, random.Random], object]


def swarm(
    seed: int,
    *,
    until: float = 60.0,
    healthy: float = 18.0,
    instances: int | None = None,
    faults: Collection[str] | None = None,
    tasks: Collection[str] | None = None,
    messages: bool = False,
) -> Recording:
    """The run of that seed. `until` and `healthy` (how much of it is free of faults, at its end) are virtual seconds.

    `instances`, `faults` (of FAULTS) and `tasks` (of `swarm_app`) take the place of what the seed would draw.
    Raises what `Simulation.run` raises: a defect, and no recording of it.
    """
    with swarm_world(
        seed, until - healthy, instances=instances, faults=faults, tasks=tasks, messages=messages
    ) as sim:
        sim.run(until=until - healthy)
        cure(sim)
        return sim.run(until=until)


def swarm_world(
    seed: int,
    trouble: float,
    *,
    instances: int | None = None,
    faults: Collection[str] | None = None,
    tasks: Collection[str] | None = None,
    messages: bool = False,
) -> Simulation:
    """The world of that seed at time 0, with faults planned for its first `trouble` seconds."""
    if trouble < CALM + 1:
        raise ConfigError(
            f"there are {trouble:g} s for faults: until - healthy must be {CALM + 1:g} s or more"
        )
    luck = [random.Random(f"swarm {seed} {purpose}") for purpose in ("size", "settings", "tasks", "faults")]
    count = luck[0].choice((2, 3, 3, 4, 5)) if instances is None else instances
    app = swarm_app(draw_settings(luck[1]), _some(luck[2], REGULARS, 0.5) if tasks is None else tasks)
    sim = Simulation(count, seed=seed, app=app, messages=messages)
    try:
        plan_faults(sim, luck[3], trouble, _some(luck[3], FAULTS, 0.5) if faults is None else faults)
    except BaseException:
        sim.close()
        raise
    return sim


def cure(sim: Simulation) -> None:
    """Every fault is over now. Only what is dead is restarted: what lives must find its way back by itself."""
    sim.heal()
    for name in sim.names:
        if name not in sim.alive:
            sim.restart(name)
        else:
            sim.resume(name)


def draw_settings(rng: random.Random) -> Settings:
    """Short leases, so that a minute holds many of them, and pools that are often full."""
    lease, leader = rng.choice((1.5, 2.0, 3.0, 4.0)), rng.choice((1.5, 2.5, 4.0))
    return Settings(
        pool_size=rng.choice((1, 2, 3, 5, 8)), instance_lease=lease, heartbeat_every=lease / rng.choice((3, 4)),
        lease_margin=lease / rng.choice((4, 5)), cancel_grace=rng.choice((0.1, 0.2)),
        leader_lease=leader, leader_renew_deadline=leader * 0.6, leader_retry=leader / 5,
        sweep_every=rng.choice((0.5, 1.0)), drain_timeout=rng.choice((0.5, 2.0, 5.0)),
        request_timeout=rng.choice((0.3, 0.5, 1.0)), keep_executions=rng.choice((4, 3600)),
    )  # fmt: skip


def _some(rng: random.Random, features: Sequence[str] | Collection[str], share: float) -> list[str]:
    """Each feature with that probability, and at least one."""
    names = list(features)
    return [name for name in names if rng.random() < share] or [rng.choice(names)]


# --- faults: each begins at one time, and what undoes it is planned for another


def _kill(begin: Plan, end: Plan, name: str, rng: random.Random) -> None:
    if rng.random() < 0.4:
        begin.kill("leader")  # who that is, nobody knows yet: `cure` restarts it
    else:
        begin.kill(name)
        end.restart(name)


def _drain(begin: Plan, end: Plan, name: str, rng: random.Random) -> None:
    begin.terminate(name)
    end.restart(name)


def _skew(begin: Plan, end: Plan, name: str, rng: random.Random) -> None:
    begin.skew(name, rng.choice((1, 30, 5000)) * rng.uniform(-1, 1), drift=rng.uniform(-0.02, 0.02))


FAULTS: dict[str, Deed] = {
    "kill": _kill,
    "drain": _drain,
    "pause": lambda begin, end, name, rng: (begin.pause(name), end.resume(name)),
    "hog": lambda begin, end, name, rng: begin.hog(name, rng.uniform(0.2, 6)),
    "partition": lambda begin, end, name, rng: (
        begin.partition(name, rng.choice(("both", "requests", "replies"))), end.heal(name)
    ),
    "slow": lambda begin, end, name, rng: (
        begin.slow(name, rng.choice((0.3, 1.5)) * rng.random()), end.heal(name)
    ),
    "lossy": lambda begin, end, name, rng: (begin.lossy(name, rng.uniform(0.05, 0.6)), end.heal(name)),
    "lose": lambda begin, end, name, rng: begin.lose(
        rng.choice((name, "leader")), rng.choice(("requests", "replies")), rng.randint(1, 4)
    ),
    "skew": _skew,
    "restart_server": lambda begin, end, name, rng: begin.restart_server(down=rng.choice((0, 0.3, 2.5))),
    "failover": lambda begin, end, name, rng: begin.failover(down=rng.choice((0, 0.5, 2))),
    "pause_server": lambda begin, end, name, rng: (begin.pause("server"), end.resume("server")),
    "slow_server": lambda begin, end, name, rng: (begin.slow("server", rng.uniform(0, 0.02)), end.heal("server")),
    "skew_server": lambda begin, end, name, rng: begin.skew("server", rng.uniform(-0.2, 0.2)),
    "full": lambda begin, end, name, rng: (begin.fill(), end.heal("server")),
    "read_only": lambda begin, end, name, rng: (begin.make_read_only(), end.heal("server")),
    # A replica that lags: acknowledged writes are lost, and most guarantees with them. What must not happen even
    # then is a crash, a hang or a token that goes back.
    "lagging_failover": lambda begin, end, name, rng: begin.failover(rng.uniform(0.01, 0.5), down=rng.choice((0, 1))),
}  # fmt: skip
# Drawn more or less often than others: drains must come to their end undisturbed to be judged, and what ends the
# service or the history for all leaves little to judge.
WEIGHTS = {
    "drain": 2.0, "lagging_failover": 0.03, "full": 0.3, "read_only": 0.3, "pause_server": 0.4, "restart_server": 0.5,
}  # fmt: skip
# Now and then these hit whoever leads, who is then deposed in the middle of an act; and a network is bad for all.
LEADERS = frozenset({"pause", "hog", "partition", "slow", "lossy"})
EVERYBODYS = frozenset({"slow", "lossy", "lose"})


def plan_faults(sim: Simulation, rng: random.Random, trouble: float, kinds: Collection[str]) -> None:
    """Plan faults of those kinds, one after the other on average, all undone before `trouble`."""
    unknown = [kind for kind in kinds if kind not in FAULTS]
    if unknown:
        raise ConfigError(f"there is no fault {unknown[0]!r}, there are {', '.join(FAULTS)}")
    weights = [WEIGHTS.get(kind, 1.0) for kind in kinds]
    t, every = CALM, rng.choice((1.5, 3.0, 6.0))
    while (t := t + rng.expovariate(1 / every)) < trouble - 0.5:
        end = min(t + 0.1 + rng.expovariate(1 / rng.choice((0.5, 3.0, 6.0))), trouble - 0.1)
        kind = rng.choices(list(kinds), weights)[0]
        if rng.random() < 0.5:  # slots are due then, and much is on its way: plans, claims, triggers, writes
            t = min(round(t * 2) / 2 + rng.uniform(0, 0.005), end)
        for name in _whom(sim.names, kind, rng):
            FAULTS[kind](sim.at(round(t, 4)), sim.at(round(end, 3)), name, rng)
            if name == "leader":  # who that will have been nobody knows yet
                _undo_for_all(sim.at(round(end, 3)), sim.names)


def _whom(names: Sequence[str], kind: str, rng: random.Random) -> Sequence[str]:
    one, wide = rng.choice(names), rng.random()
    if kind in LEADERS and wide < 0.25:
        return ("leader",)
    return names if kind in EVERYBODYS and wide > 0.75 else (one,)


def _undo_for_all(end: Plan, names: Sequence[str]) -> None:
    end.heal()
    for name in names:
        end.resume(name)
