"""Three designs of one lock that differ in whose time they trust, and what they come to when clocks lie.

Two machines, a and b, ask for the same lock again and again. Each design is one function: ask for the lock, or for
more of it; True while this machine is the holder.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.exceptions import WatchError

from labsched.worlds.simulated.guest import Machine
from labsched.worlds.simulated.simulation import Simulation

LEASE, RENEW = 4.0, 1.0  # seconds
KEY = "lock"
Memory = dict[str, Any]
Design = Callable[[Machine, Memory], Awaitable[bool]]


async def by_wall_clock(machine: Machine, memory: Memory) -> bool:
    """The end of the lease is written down by the holder's clock. Whoever reads it compares it with their own."""
    seen = await read(machine)
    if seen is not None:
        owner, end = seen.split()
        if owner != machine.name and machine.now() < float(end):
            return False
    return await swap(machine, seen, f"{machine.name} {machine.now() + LEASE}")


async def by_duration(machine: Machine, memory: Memory) -> bool:
    """No time is written down. Who has seen no renewal for a whole lease, by a stopwatch, takes over."""
    seen = await read(machine)
    if seen != memory.get("seen"):
        memory.update(seen=seen, since=machine.monotonic())
    if seen is not None:
        owner, _ = seen.split()
        if owner != machine.name and machine.monotonic() < memory["since"] + LEASE:
            return False
    renewals = memory["renewals"] = memory.get("renewals", 0) + 1
    return await swap(machine, seen, f"{machine.name} {renewals}")


async def by_server(machine: Machine, memory: Memory) -> bool:
    """The server is told how long, and forgets the lock by its own clock."""
    redis: Any = machine.redis
    if await redis.set(KEY, machine.name, nx=True, px=int(LEASE * 1000)):
        return True
    return await swap(machine, machine.name, machine.name, px=int(LEASE * 1000))


async def read(machine: Machine) -> str | None:
    """What the lock says."""
    said: Any = await machine.redis.get(KEY)
    return None if said is None else said.decode()


async def swap(machine: Machine, seen: str | None, new: str, px: int | None = None) -> bool:
    """Write `new` if the lock still says `seen`, as one step: only clocks are to be wrong here."""
    redis: Any = machine.redis
    async with redis.pipeline() as pipe:
        await pipe.watch(KEY)
        now = await pipe.get(KEY)
        if (None if now is None else now.decode()) != seen:
            return False
        pipe.multi()
        pipe.set(KEY, new, px=px)
        try:
            await pipe.execute()
        except WatchError:
            return False
        return True


DESIGNS: dict[str, Design] = {
    "wall clock": by_wall_clock,
    "duration": by_duration,
    "server": by_server,
}


class Trouble(NamedTuple):
    """A fault: in words, from when, how it is done, and how long to look. Seconds."""

    words: str
    at: float
    plan: Callable[[Simulation], Any]
    until: float = 20.0


FAULTS = {
    "none": Trouble("all clocks are right", 0, lambda sim: None),
    "offset": Trouble("b's clock is 8 s ahead", 0, lambda sim: sim.skew("b", 8)),
    "jump": Trouble("a's clock jumps back by 8 s", 10, lambda sim: sim.at(10).skew("a", -8)),
    "drift": Trouble("b's clock gains 6 s per minute", 0, lambda sim: sim.skew("b", 0, drift=0.1), 45),
    "server jump": Trouble(
        "the server's clock jumps ahead by 8 s", 10, lambda sim: sim.at(10.2).skew("server", 8)
    ),
    "pause": Trouble("a stands still for 8 s", 10, lambda sim: sim.at(10.2).pause("a").at(18.2).resume("a")),
}


class Span(NamedTuple):
    """From `start` to `end` (true seconds) `who` believed that it held the lock."""

    who: str
    start: float
    end: float


@dataclass(frozen=True)
class Trial:
    """What the two believed under a fault, in true time."""

    design: str
    fault: str
    spans: tuple[Span, ...]
    until: float

    @property
    def clashes(self) -> tuple[tuple[float, float], ...]:
        """When both believed: (start, end)."""
        a, b = ([span for span in self.spans if span.who == who] for who in "ab")
        both = [(max(x.start, y.start), min(x.end, y.end)) for x in a for y in b]
        return tuple((start, end) for start, end in both if start < end)

    @property
    def held(self) -> bool:
        """Whether there was one holder at a time, all the time."""
        return not self.clashes

    def __repr__(self) -> str:
        said = "one holder at a time"
        if self.clashes:
            said = f"two believe at once, from {self.clashes[0][0]:.0f} s on"
        return f"{self.design}, when {FAULTS[self.fault].words}: {said}"


@functools.cache
def trial(design: str, fault: str, seed: int = 1) -> Trial:
    """Both machines with that design, under that fault."""
    open_spans: dict[str, float] = {}
    until = FAULTS[fault].until
    spans: list[Span] = []
    with Simulation(0, seed=seed, messages=False) as sim:

        def believes(who: str, holds: bool) -> None:
            if holds:
                open_spans.setdefault(who, sim.time)
            elif who in open_spans:
                spans.append(Span(who, open_spans.pop(who), sim.time))

        async def live(machine: Machine) -> None:
            memory: Memory = {}
            await machine.sleep(0.3 if machine.name == "b" else 0.0)
            while True:
                holds = await DESIGNS[design](machine, memory)
                believes(machine.name, holds)
                await machine.sleep(RENEW if holds else RENEW / 2)

        for name in ("a", "b"):
            sim.guest(name, live)
        FAULTS[fault].plan(sim)
        sim.advance(until)
        sim.check_troubles()
        for who in list(open_spans):
            spans.append(Span(who, open_spans[who], until))
    return Trial(design, fault, tuple(sorted(spans, key=lambda span: span.start)), until)
