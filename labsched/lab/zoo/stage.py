"""What the exhibits stand on: two machines, a server, a fault, and a chronicle in labsched's own words.

The foreign code tells the chronicle what it does, as events of the kinds that labsched's scheduler writes. So the same
functions judge both, and the guarantee that breaks has a name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from labsched.app import Scheduler
from labsched.model import Event, Kind, Task
from labsched.schedule import Schedule, every
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.clocks import EPOCH
from labsched.worlds.simulated.given import versions
from labsched.worlds.simulated.guest import Machine
from labsched.worlds.simulated.simulation import Simulation

PERIOD = 1.0  # seconds between two slots of the exhibits' task
TASK = "tick"
DUE: Schedule = every(PERIOD)
UNTIL = 60.0

Faults = Callable[[Simulation], object]


class Chronicle:
    """Events as the foreign code tells them, at the moment at which it does what it tells. Tokens count from 1."""

    def __init__(self, sim: Simulation, schedule: Schedule = DUE) -> None:
        self._sim = sim
        self.events: list[Event] = []
        self._token = 0
        task = Task(name=TASK, schedule=schedule, handler=TASK)
        self.tell("TASK_DEFINED", task=TASK, version=1, status="ACTIVE", since=round(EPOCH * 1000),
                  definition=msgspec.json.decode(msgspec.json.encode(task)))  # fmt: skip

    def tell(self, kind: str, **fields: Any) -> None:
        """Any event: what is no field of `Event` becomes its data."""
        own = {
            name: fields.pop(name, None)
            for name in ("task", "execution", "attempt", "token", "instance", "epoch")
        }
        at = EPOCH + self._sim.time
        id = f"{round(at * 1000)}-{len(self.events)}"
        self.events.append(Event(id=id, at=round(at, 3), kind=Kind(kind), data=fields, **own))

    def joined(self, name: str) -> None:
        """A machine is up. The timings are those of labsched's defaults, so that healthy means the same for both."""
        self.tell(
            "INSTANCE_JOINED", instance=name, token=self.next_token(), pool_size=10, lease=4.0, lease_margin=1.0,
            cancel_grace=0.5, drain_timeout=30.0, sweep_every=1.0, leader_lease=5.0, election=False, lock=True, pid=1,
            hostname=name, handlers={TASK: 1},
        )  # fmt: skip

    def next_token(self) -> int:
        self._token += 1
        return self._token

    def dispatched(self, slot: float, by: str) -> None:
        """A slot (Unix seconds) was put into the queue, whose workers are not on show: they do it at once."""
        ms = round(slot * 1000)
        execution = f"{TASK}@{ms}#{by}"
        self.tell(
            "READY", task=TASK, execution=execution, instance=by, slot=ms, due=ms, source="schedule", by=by
        )
        token = self._running(execution, 1, by)
        self.committed(execution, token, by)

    def started(self, execution: str, attempt: int, by: str) -> int:
        """An attempt begins; its token, the number that a fence would compare."""
        if attempt == 1:
            self.tell("READY", task=TASK, execution=execution, slot=None, source="trigger")
        return self._running(execution, attempt, by)

    def _running(self, execution: str, attempt: int, by: str) -> int:
        token = self.next_token()
        until = round((EPOCH + self._sim.time + 1800) * 1000)
        self.tell("RUNNING", task=TASK, execution=execution, attempt=attempt, token=token, instance=by, until=until,
                  late_ms=0)  # fmt: skip
        return token

    def given_up(self, execution: str) -> None:
        """Its newest attempt counts no longer, whether or not somebody still works on it: another may begin."""
        last = next(e for e in reversed(self.events) if e.execution == execution and e.kind == Kind.RUNNING)
        self.tell("LOST", task=TASK, execution=execution, attempt=last.attempt, token=last.token,
                  instance=last.instance, reason="lease", losses=1)  # fmt: skip
        self.tell("READY", task=TASK, execution=execution, slot=None, source="lost")

    def wrote(self, execution: str, token: int, by: str, key: str) -> None:
        """A write reached the store."""
        self.tell("FENCE_WRITTEN", task=TASK, execution=execution, token=token, instance=by, key=key)

    def committed(self, execution: str, token: int, by: str) -> None:
        """A result was accepted."""
        self.tell("SUCCEEDED", task=TASK, execution=execution, token=token, instance=by, duration_ms=0)


Program = Callable[[Machine, Chronicle], Any]


@dataclass(frozen=True)
class Exhibit:
    """One algorithm that failed: who, where to read it, what is wrong, which fault shows it, which guarantee breaks."""

    id: str
    thread: str  # to read
    flaw: str
    fault: str
    guarantee: str
    program: Program
    faults: Faults
    body: Callable[..., Any] | None = None  # what labsched runs under the same fault; a quick task by default
    schedule: Schedule = DUE  # manual() where the foreign code does not schedule and so owes no slot

    def run(self, seed: int = 1, until: float = UNTIL) -> Recording:
        """The foreign code on two machines, a and b, under its fault."""
        with Simulation(0, seed=seed) as sim:
            told = Chronicle(sim, self.schedule)
            for name in ("a", "b"):
                sim.guest(name, lambda machine: self._play(machine, told))
            self.faults(sim)
            sim.loop.run(until=until)
            return recording_of(sim, told)

    async def _play(self, machine: Machine, told: Chronicle) -> None:
        if machine.name == "b":
            await machine.sleep(0.5)  # the standby
        told.joined(machine.name)
        await self.program(machine, told)

    def ours(self, seed: int = 1, until: float = UNTIL) -> Recording:
        """labsched with two instances of the same names, the same period, under the same fault at the same times."""
        app = Scheduler("fake")
        app.add(TASK, every(PERIOD), self.body or _quick)
        with Simulation(2, names=("a", "b"), seed=seed, app=app) as sim:
            self.faults(sim)
            return sim.run(until=until)


async def _quick(ctx: Any) -> None:
    await ctx.work(0.05)


def recording_of(sim: Simulation, told: Chronicle) -> Recording:
    """What was told, and what the world did and carried meanwhile."""
    at = round(EPOCH * 1000)
    # What a failover lost is no excuse here: the foreign code promises what it promises without knowing of it.
    faults = [{name: value for name, value in fault.items() if name != "lost"} for fault in sim.faults]
    nothing: dict[str, Any] = {
        "executions": {}, "tasks": {}, "locks": {}, "leader": None, "instances": {}, "at": at, "last_event": "0-0",
    }  # fmt: skip
    return Recording(
        world="simulated", namespace="zoo", started=EPOCH, ended=EPOCH + sim.time, seed=sim.seed, versions=versions(),
        snapshot=nothing, history=told.events, fault_log=faults,
        message_log=sim.network.messages(),
    )  # fmt: skip


def show(exhibit: Exhibit, seed: int = 1) -> str:
    """What became of both, in lines for people."""
    theirs, ours = exhibit.run(seed).check()[exhibit.guarantee], exhibit.ours(seed).check()
    broken = theirs.violations[0].sentence if theirs.violations else "not broken by this seed"
    mine = ours[exhibit.guarantee]
    note = f" ({mine.note})" if mine.note else ""
    return "\n".join(
        (
            f"{exhibit.id}  ({exhibit.thread})",
            f"  what it does     {exhibit.flaw}",
            f"  the fault        {exhibit.fault}",
            f"  {exhibit.guarantee}: VIOLATED {len(theirs.violations)} times; {broken}",
            f"  labsched, same seed: {mine.status}, tested {mine.tested} times{note}",
        )
    )
