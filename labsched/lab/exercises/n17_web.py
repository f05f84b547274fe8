"""A web server's processes on virtual time: its `lifespan`, its requests, and SIGTERM to each of them."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

from labsched import Scheduler, Settings, manual
from labsched.context import Context
from labsched.errors import ConfigError
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.clocks import sim_host
from labsched.worlds.simulated.links import open_simulated
from labsched.worlds.simulated.node import current_node
from labsched.worlds.simulated.simulation import Simulation

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]
BODY = 2.0  # seconds that an order takes
SETTINGS = Settings(namespace="shop", pool_size=2, drain_timeout=6)
SIGTERM = {1: 3.0, 2: 11.0, 3: 17.0}  # when each process is asked to end; the third replaces the first
UNTIL = 24.0


@asynccontextmanager
async def careless(web: Any) -> AsyncIterator[None]:
    """A task in the background is the instance, and is cancelled when the web app ends."""

    async def be_an_instance() -> None:
        async with web.state.scheduler.instance(f"web-{os.getpid()}"):
            await asyncio.Event().wait()

    async with web.state.scheduler:
        task = asyncio.create_task(be_an_instance())
        yield
        task.cancel()


class Handle(Scheduler):
    """What a process of the web server has."""

    async def serve(self, name: str | None = None) -> None:
        raise ConfigError(
            "serve() waits for SIGTERM itself, and here the web server does that: use instance()"
        )


class Process:
    """One process: requests inside of `lifespan`, as Starlette and FastAPI run it. It is gone once that has ended."""

    def __init__(self, sim: Simulation, number: int, lifespan: Lifespan) -> None:
        self.number, self._sim, self._lifespan = number, sim, lifespan
        self.node = sim.node(f"process {number}", order=number)
        # The processes of one server share a machine.
        self.host = dataclasses.replace(sim_host(self.node, sim.seed, pid=number), hostname="web")
        self.scheduler = Handle(
            open_simulated(sim.servers[0], self.node),
            namespace=sim.namespace,
            settings=sim.settings,
            host=self.host,
        )
        self.scheduler.handlers.update(sim.handlers)
        self.ready: float | None = None
        self.down: float | None = None
        self.refused: list[str] = []
        self.error: Exception | None = None
        self._sigterm = asyncio.Event()
        self.node.create_task(self._live())

    async def _live(self) -> None:
        web = SimpleNamespace(state=SimpleNamespace(scheduler=self.scheduler))
        try:
            async with self._lifespan(web):
                self.ready = self._sim.time
                await self._sigterm.wait()
        except Exception as error:
            self.error = error
        self.down = self._sim.time
        self.node.kill()  # whatever still runs in the process ends with it

    def request(self, customer: str) -> None:
        """Somebody orders: a handler triggers the task and answers."""

        async def order() -> None:
            try:
                await self.scheduler.trigger("order", _key=customer, customer=customer)
            except Exception as error:
                self.refused.append(
                    f"{customer}'s order at {self._sim.time:.1f} s met {type(error).__name__}: {error}"
                )

        if self.node.alive:
            self.node.create_task(order())

    def sigterm(self) -> None:
        """What the web server does when the signal comes: no more requests, then the rest of `lifespan`."""
        if self.node.alive:
            self.node.run(self._sigterm.set)


class Server:
    """Two processes, and a third that replaces the first: six orders at 2 s, SIGTERM to each in its turn."""

    def __init__(self, lifespan: Lifespan) -> None:
        self.processes: dict[int, Process] = {}
        self.members: list[str] = []
        with Simulation(0, seed=17, app=_app(), messages=False) as sim, _own_pids(self.processes):
            for number in (1, 2):
                self.processes[number] = Process(sim, number, lifespan)
            sim.loop.run(until=2)
            self.members = [member.name for member in sim.peek(lambda app: app.instances())]
            for number, customer in enumerate(("ann", "bob", "cem", "dan", "eve", "fay")):
                self.processes[1 + number % 2].request(customer)
            for number, at in SIGTERM.items():
                sim.loop.run(until=at - 0.5)
                if number == 1:
                    self.processes[3] = Process(sim, 3, lifespan)
                sim.loop.run(until=at)
                self.processes[number].sigterm()
            sim.advance(UNTIL)
            self._note_ends(sim)
            self.recording: Recording = sim.recording()

    def _note_ends(self, sim: Simulation) -> None:
        """For a picture: the signal, or the end of a process that had not left the cluster."""
        rec = sim.recording()
        left = {event.token: event.at - rec.started for event in rec.history if event.kind == "INSTANCE_LEFT"}
        for event in rec.history:
            if event.kind == "INSTANCE_JOINED":
                process = self.processes[(event.data or {})["pid"]]
                silent = process.down is not None and left.get(event.token, UNTIL) > process.down
                t = process.down if silent and process.down is not None else SIGTERM[process.number]
                sim.note("kill" if silent else "drain", str(event.instance)).update(at=rec.started + t, t=t)
        sim.faults.sort(key=lambda fault: float(fault["t"]))


def _app() -> Scheduler:
    async def order(ctx: Context, *, customer: str) -> str:
        await ctx.work(BODY)
        return customer

    app = Scheduler("fake", settings=SETTINGS)
    app.add("order", manual(), order)
    return app


@contextmanager
def _own_pids(processes: dict[int, Process]) -> Iterator[None]:
    """`os.getpid()` as a process of the server would see it."""
    real = os.getpid

    def getpid() -> int:
        node = current_node()
        return next((4000 + p.number for p in processes.values() if p.node is node), real())

    with mock.patch.object(os, "getpid", getpid):
        yield
