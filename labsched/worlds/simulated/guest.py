"""A machine of the simulated world that runs other code than labsched: an algorithm to break, an answer to grade."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from .clocks import SimClock
from .fakeserver import SimServer
from .links import SimRedis
from .loop import SimLoop
from .network import stream
from .node import Node


class Machine:
    """What a program has: its `name`, a `redis` client (and `servers`, one for each server), `rng`, and a clock that
    may be wrong. Times are seconds.
    """

    def __init__(
        self, name: str, servers: Sequence[SimRedis], clock: SimClock, rng: random.Random, node: Node
    ) -> None:
        self.name, self.servers, self.redis, self.rng = name, servers, servers[0], rng
        self._clock, self._node = clock, node

    def now(self) -> float:
        """Wall clock of this machine, Unix seconds."""
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    async def hog(self, seconds: float) -> None:
        """Compute for so long without ever awaiting."""
        await self._node.hog(seconds)


Program: TypeAlias = Callable[[Machine], Awaitable[object]]


class Guest:
    """One life of a machine: from the program's start to its end, or to a kill."""

    def __init__(
        self, loop: SimLoop, servers: Sequence[SimServer], name: str, number: int, *, seed: object, clock: SimClock,
        program: Program,
    ) -> None:  # fmt: skip
        self.name, self.number, self.over = name, number, False
        self.node = Node(loop, name, order=number)
        redis = [SimRedis(server, self.node) for server in servers]
        self.machine = Machine(name, redis, clock, stream(f"{seed}/{number}", "guest", name), self.node)
        self._program = program
        self.task = self.node.create_task(self._live(), name=f"guest {name}")

    async def _live(self) -> object:
        try:
            return await self._program(self.machine)
        except asyncio.CancelledError:
            return None  # SIGTERM
        finally:
            self.over = True

    @property
    def alive(self) -> bool:
        """The program runs, if only paused."""
        return self.node.alive and not self.over

    def terminate(self) -> None:
        """SIGTERM: the program is cancelled where it waits."""
        self.node.run(self.task.cancel)

    def bury(self) -> None:
        """The world is over."""
