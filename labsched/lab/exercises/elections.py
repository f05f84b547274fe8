"""Two candidates for one leadership, a and b, on raw Redis: what notebook 07 cuts off, pauses and mends.

Leadership is a lease with an epoch. Whoever leads puts a slot into the queue each second. How it campaigns, for how
long it believes what it was told, and how it dispatches are functions: an exercise's answer takes the place of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from redis.exceptions import RedisError

from labsched.worlds.recording import Recording
from labsched.worlds.simulated.clocks import EPOCH
from labsched.worlds.simulated.guest import Machine

from ..zoo.stage import TASK, Chronicle, Exhibit

NAME = "scheduler"
UNDONE = {"pause": "resume", "partition": "heal", "slow": "heal"}

# Scripts: each is one step on the server.
CAMPAIGN = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return tonumber(redis.call('GET', KEYS[2]))
end
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
return redis.call('INCR', KEYS[2])"""


COMPARED = """
if ARGV[1] + 0 ~= tonumber(redis.call('GET', KEYS[1])) then return 0 end
if redis.call('SADD', KEYS[2], ARGV[2]) == 0 then return 0 end
redis.call('RPUSH', KEYS[3], ARGV[2])
return 1"""


async def campaign(redis: Any, name: str, me: str, ms: int) -> int | None:
    """Take or renew the lease. The epoch, or None while another leads."""
    epoch: int | None = await redis.eval(CAMPAIGN, 2, f"{name}:leader", f"{name}:epoch", me, ms)
    return epoch


async def plain_dispatch(redis: Any, name: str, epoch: int, slot: int) -> bool:
    """The leader said so, and that is enough."""
    await redis.rpush(f"{name}:queue", slot)
    return True


async def compared_dispatch(redis: Any, name: str, epoch: int, slot: int) -> bool:
    """Refused when a newer epoch has been given, or the slot has been dispatched. One step on the server."""
    keys = f"{name}:epoch", f"{name}:done", f"{name}:queue"
    return bool(await redis.eval(COMPARED, 3, *keys, epoch, slot))


def from_sending(sent: float, replied: float, lease: float) -> float:
    """The lease began on the server, some time after the request was sent; the safe end counts from before that."""
    return sent + 0.6 * lease


def until_told(sent: float, replied: float, lease: float) -> float:
    """Who was elected leads, until somebody says otherwise."""
    return float("inf")


@dataclass
class _Mind:
    """What one machine believes: its epoch, until when, and every stretch in which it did."""

    machine: Machine
    epoch: int = 0
    until: float = 0.0
    spans: list[list[float]] = field(default_factory=list)
    watch: Any = None

    def leads(self, epoch: int, until: float) -> None:
        if not self.epoch:
            self.spans.append([_now(self.machine)])
            self.watch = asyncio.create_task(self._watch())
        self.epoch, self.until = epoch, until

    def stops(self) -> None:
        if self.epoch:
            self.epoch = 0
            self.spans[-1].append(_now(self.machine))

    async def _watch(self) -> None:
        """Its own alarm clock: belief ends without a word from the server, once this code runs."""
        mine = self.epoch
        while self.epoch and (left := self.until - self.machine.monotonic()) > 0:
            await self.machine.sleep(min(left, 60.0))
        if mine and self.epoch:
            self.stops()


@dataclass(frozen=True)
class Term:
    """What came of one run: `rec`, and who believed to lead from when to when."""

    rec: Recording | None
    title: str
    spans: tuple[tuple[str, float, float], ...]
    until: float

    @property
    def clashes(self) -> tuple[tuple[float, float], ...]:
        """Stretches in which both believed."""
        pairs = ((max(x[1], y[1]), min(x[2], y[2])) for x, y in combinations(self.spans, 2) if x[0] != y[0])
        return tuple(sorted(pair for pair in pairs if pair[1] - pair[0] > 1e-3))

    @property
    def longest(self) -> float:
        """Seconds, the longest stretch with two believers."""
        return max((end - start for start, end in self.clashes), default=0.0)

    def __repr__(self) -> str:
        two = f"two believe for {self.longest:.1f} s" if self.clashes else "never two"
        return f"{self.title}: {two}"


@dataclass(frozen=True)
class Candidates:
    """Two machines that want to lead. `lease` in seconds; each campaigns or renews once a second."""

    campaign: Callable[..., Any] = campaign
    until: Callable[[float, float, float], float] = from_sending
    dispatch: Callable[..., Any] = plain_dispatch
    lease: float = 5.0

    def run(self, fault: str = "", at: float = 10.0, length: float = 0.0, *, until: float = 40.0) -> Term:
        """`fault` is a verb of the simulated world; it hits a, which leads first, and is undone `length` later."""
        minds: list[_Mind] = []

        def faults(sim: Any) -> None:
            if fault:
                args = ("900ms",) if fault == "slow" else ()
                getattr(sim.at(at), fault)("a", *args)
            if length:
                getattr(sim.at(at + length), UNDONE[fault])("a")

        async def program(machine: Machine, told: Chronicle) -> None:
            minds.append(_Mind(machine))
            async with asyncio.TaskGroup() as both:
                both.create_task(self._schedule(machine, told, minds[-1]))
                both.create_task(self.stand(machine, told, minds[-1]))

        rec = Exhibit("election", "", "", "", "one-leader-per-epoch", program, faults).run(
            seed=7, until=until
        )
        dead = at if fault == "kill" else until
        spans = tuple(
            (
                mind.machine.name,
                span[0],
                span[1] if len(span) > 1 else dead if mind.machine.name == "a" else until,
            )
            for mind in minds
            for span in mind.spans
        )
        return Term(rec, f"{fault} for {length:g} s" if length else fault or "no fault", spans, until)

    async def stand(self, machine: Machine, told: Chronicle, mind: _Mind) -> None:
        ms, known = round(self.lease * 1000), 0
        while True:
            sent = machine.monotonic()
            try:
                async with asyncio.timeout(2.5):
                    epoch = await self.campaign(machine.redis, NAME, machine.name, ms)
            except (RedisError, TimeoutError):
                await machine.sleep(1.0)  # nobody said yes, nobody said no
                continue
            if epoch:
                mind.leads(epoch, self.until(sent, machine.monotonic(), self.lease))
            else:
                mind.stops()
            if epoch and epoch != known:
                _tell_election(told, machine, epoch, self.lease)
                known = epoch
            await machine.sleep(1.0)

    async def _schedule(self, machine: Machine, told: Chronicle, mind: _Mind) -> None:
        while True:
            await machine.sleep(1.0 - machine.now() % 1.0)
            slot, epoch = round(machine.now()), mind.epoch
            if not epoch:
                continue
            try:
                async with asyncio.timeout(2.5):
                    accepted = await self.dispatch(machine.redis, NAME, epoch, slot)
            except (RedisError, TimeoutError):
                continue
            _tell_dispatch(told, machine.name, epoch, slot, accepted)


def _tell_election(told: Chronicle, machine: Machine, epoch: int, lease: float) -> None:
    until = round((machine.now() + lease) * 1000)
    inc = 1 if machine.name == "a" else 2  # as given when they joined
    told.tell("LEADER_ELECTED", instance=machine.name, token=inc, epoch=epoch, until=until, previous=None)


def _tell_dispatch(told: Chronicle, name: str, epoch: int, slot: int, accepted: bool) -> None:
    if not accepted:
        told.tell("REFUSED", instance=name, epoch=epoch, what="dispatch", why="epoch")
        return
    execution, ms = f"{TASK}@{slot * 1000}#{name}", slot * 1000
    told.tell("READY", task=TASK, execution=execution, instance=name, epoch=epoch, slot=ms, due=ms, source="schedule",
              by=name)  # fmt: skip
    token = told.next_token()
    told.tell("RUNNING", task=TASK, execution=execution, attempt=1, token=token, instance=name, until=ms + 1_800_000,
              late_ms=0)  # fmt: skip
    told.committed(execution, token, name)


def _now(machine: Machine) -> float:
    return machine.now() - EPOCH
