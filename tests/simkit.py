"""The simulated world for tests: a loop on virtual time that reports what nobody caught."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from labsched.worlds.simulated.loop import SimLoop

T = TypeVar("T")


async def sleeper(seconds: float, value: T = None) -> T:
    """`value`, after a while."""
    await asyncio.sleep(seconds)
    return value


async def forever() -> None:
    """Wait for what never comes."""
    await asyncio.get_running_loop().create_future()


class Log(list[tuple[object, float]]):
    """What happened, and when."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def note(self, what: object) -> None:
        self.append((what, self._loop.time()))


async def ticking(log: Log, name: object = "tick") -> None:
    """Note `name` every second."""
    while True:
        await asyncio.sleep(1)
        log.note(name)
