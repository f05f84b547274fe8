"""A lock, two machines that want it, and a store that one of them writes to last: what notebook 14 breaks.

server1 to server5 keep the lock (designs on one node use server1); server6 is the store, a database say, which nobody
hurts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from redis import exceptions as rex

from labsched.model import Event
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.guest import Machine
from labsched.worlds.simulated.network import Uniform
from labsched.worlds.simulated.simulation import Simulation

from ..zoo.stage import Chronicle, recording_of
from .n14_designs import DESIGNS, FENCED, LOCK, TTL, Design, free

STORE = 5  # its place among the servers
WORK = 4.0  # seconds
EARLIER = 41  # grants before this story begins
LINK = Uniform(0.004, 0.012)  # slow enough for its arrows to be seen beside seconds

# --- what is done to them, around the grant to a at 1 s


def _pause(sim: Simulation) -> None:
    sim.at(2).pause("a").at(14).resume("a")


def _failover(sim: Simulation) -> None:
    sim.at(1.3).failover("500ms")


def _restart(sim: Simulation) -> None:
    sim.at(1.3).restart_server("server1", keep=False)


def _behind(sim: Simulation) -> None:
    sim.at(1.3).failover("500ms", offset=-60)


def _jump(sim: Simulation) -> None:
    sim.at(1.3).skew("server1", 60)


def _jump_of_one_in_three(sim: Simulation) -> None:
    for name in ("server4", "server5"):
        sim.at(0.9).kill(name).at(1.2).restart_server(name)
    sim.at(1.3).skew("server1", 60)


def _rack(sim: Simulation) -> None:
    for name in ("server1", "server2", "server3"):
        sim.at(1.3).restart_server(name, keep=False)


FAULTS: dict[str, Callable[[Simulation], None]] = {
    "the holder pauses": _pause,
    "failover, replica lags": _failover,
    "restart, data gone": _restart,
    "failover, clock behind": _behind,
    "a server's clock jumps": _jump,
    "jump, two were away": _jump_of_one_in_three,
    "three restarts, data gone": _rack,
}


@dataclass
class Outcome:
    """What came of it. `grants`: (second, who); `writes`: (second, who, accepted)."""

    recording: Recording | None = None
    grants: list[tuple[float, str]] = field(default_factory=list)
    writes: list[tuple[float, str, bool]] = field(default_factory=list)

    @property
    def guarantee(self) -> str:
        return self._judged()[0]

    @property
    def sentence(self) -> str:
        return self._judged()[1]

    def _judged(self) -> tuple[str, str]:
        """Which promise broke, and how; two empty texts when none did. Only what the store took counts."""
        for t, who, accepted in self.writes:
            since, newest = [grant for grant in self.grants if grant[0] <= t][-1]
            if accepted and who != newest:
                told = (
                    f"{newest} was given the lock at {since:.1f} s; {who}'s write at {t:.1f} s was accepted"
                )
                return "no-stale-write", told
            if not accepted and who == newest:
                told = f"{newest} was given the lock at {since:.1f} s; its write at {t:.1f} s was refused"
                return "never-stuck", told
        if not any(accepted for _, _, accepted in self.writes):
            return "never-stuck", "nobody wrote anything"
        return "", ""


@functools.cache
def story(design: str, fault: str = "", seed: int = 1) -> Outcome:
    """That design under that fault: a takes the lock at 1 s and works for 4 s, b wants it from 1.5 s on, for 1 s."""
    found = Outcome()
    with Simulation(0, seed=seed, servers=6, network=LINK) as sim:
        told = Chronicle(sim)
        for name, begins, works in (("a", 1.0, WORK), ("b", 1.5, 1.0)):
            sim.guest(name, functools.partial(_live, DESIGNS[design], told, found, sim, begins, works))
        if fault:
            FAULTS[fault](sim)
        sim.loop.run(until=20)
        # No schedule owes anything here, and what runs is a report.
        told.events = [_renamed(e) for e in told.events if e.kind != "TASK_DEFINED"]
        found.recording = recording_of(sim, told)
    return found


def _renamed(e: Event) -> Event:
    """The chronicle's only task, by a name that fits."""
    if not e.task:
        return e
    execution = None if e.execution is None else e.execution.replace("tick", "report")
    return msgspec.structs.replace(e, task="report", execution=execution)


async def _live(
    design: Design,
    told: Chronicle,
    found: Outcome,
    sim: Simulation,
    begins: float,
    works: float,
    machine: Machine,
) -> None:
    if machine.name == "a":
        await _past(machine)
    told.joined(machine.name)
    await machine.sleep(begins - sim.time)
    while (token := await _taken(design, machine)) is None:
        await machine.sleep(0.25)
    found.grants.append((sim.time, machine.name))
    rank = told.started(f"tick~{machine.name}", 1, machine.name)
    told.tell(
        "LOCK_ACQUIRED", token=rank, instance=machine.name, lock=LOCK, until=_ms(sim, TTL), least_until=0
    )
    await machine.sleep(works)
    store: Any = machine.servers[STORE]
    accepted = True
    if design.fenced:
        accepted = bool(await store.eval(FENCED, 1, LOCK, token, machine.name))
    else:
        await store.set(LOCK, machine.name)
    found.writes.append((sim.time, machine.name, accepted))
    if accepted:
        told.committed(f"tick~{machine.name}", rank, machine.name)
    else:
        told.tell("FAILED", task="tick", execution=f"tick~{machine.name}", token=rank, instance=machine.name,
                  attempt=1, outcome="FAILED", error="refused by the store", duration_ms=0)  # fmt: skip
    await free(machine)
    if not (len(found.grants) > 1 and machine.name == "a"):
        told.tell("LOCK_RELEASED", token=rank, instance=machine.name, lock=LOCK, until=_ms(sim))


async def _past(machine: Machine) -> None:
    """Grants before the story: the counter stands somewhere, and the store knows it."""
    await machine.redis.set("tokens", EARLIER)
    await machine.servers[STORE].set(f"{LOCK}:fence", EARLIER)


async def _taken(design: Design, machine: Machine) -> int | None:
    try:
        token: int | None = await design.take(machine)
    except rex.RedisError:
        return None  # a server that has just come back closes its connections
    return token


def _ms(sim: Simulation, more: float = 0.0) -> int:
    return round((sim.servers[STORE].clock.now() + more) * 1000)


def matrix() -> dict[tuple[str, str], Outcome]:
    """Every fault with every design."""
    return {(fault, design): story(design, fault) for fault in FAULTS for design in DESIGNS}
