"""One process of a simulated instance, from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from labsched.app import Scheduler
from labsched.clock import Host
from labsched.config import Settings
from labsched.errors import ServerUnsuitable
from labsched.runners import AsyncRunner, Registered, Runner
from labsched.scratch import MemoryScratch

from .bodies import PlainRunner
from .clocks import SimClock, sim_host
from .fakeserver import SimServer
from .links import open_simulated
from .loop import SimLoop
from .node import Node


class Life:
    """A node that does what `labsched instance` does: join, work until SIGTERM, drain, leave.

    `number` counts the lives of all instances: it orders them and keeps their luck apart.
    """

    def __init__(
        self,
        loop: SimLoop,
        server: SimServer,
        name: str,
        number: int,
        *,
        seed: object,
        clock: SimClock,
        settings: Settings,
        handlers: Mapping[str, Registered],
        scratch: MemoryScratch,
        journal: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self.name, self.number = name, number
        self.node = Node(loop, name, order=number)
        self.host = sim_host(self.node, f"{seed}/{number}", clock=clock, journal=journal, pid=number)
        self._stop = asyncio.Event()
        self.over = self._joined = False
        opened = open_simulated(server, self.node, request_timeout=settings.request_timeout)
        self.app = Scheduler(
            opened, namespace=settings.namespace, settings=settings, host=self.host, patience=None
        )
        self.app.handlers.update(handlers)
        self._scratch, self._runners = scratch, _runners(self.host)
        self.task = self.node.create_task(self._live(), name=f"instance {name}")

    async def _live(self) -> None:
        try:
            async with self.app.instance(
                self.name, runners=self._runners, scratch=lambda: self._scratch
            ) as member:
                self._joined = True
                waits = [asyncio.ensure_future(event.wait()) for event in (self._stop, member.drained)]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
        except ServerUnsuitable:
            if self._joined:
                raise
            # `labsched instance` says so and exits when the server takes no writes at its start.
        finally:
            self.over = True

    @property
    def alive(self) -> bool:
        """The process exists, if only paused."""
        return self.node.alive and not self.over

    def bury(self) -> None:
        """The world is over."""
        for runner in self._runners.values():
            if isinstance(runner, PlainRunner):
                runner.bury()

    def terminate(self) -> None:
        """SIGTERM: it drains once it can hear it."""
        self.node.run(self._stop.set)


def _runners(host: Host) -> dict[str, Runner]:
    return {
        "async": AsyncRunner(),
        "thread": PlainRunner(host, killable=False),
        "process": PlainRunner(host, killable=True),
    }
