"""A little of everything on the simulated loop, told line by line: the same in every process and Python.

As a program it needs SimPy and this repository alone, so it runs on interpreters that have nothing else
installed: the package's own __init__, which loads the scheduler, is passed over.
"""

from __future__ import annotations

import asyncio
import random
import sys
import types
from contextlib import closing
from pathlib import Path

if __name__ == "__main__":
    package = types.ModuleType("labsched")
    package.__path__ = [str(Path(__file__).parents[1] / "labsched")]
    sys.modules["labsched"] = package

from labsched.worlds.simulated.bridge import happened
from labsched.worlds.simulated.loop import SimLoop
from labsched.worlds.simulated.node import Node


class Scene:
    def __init__(self, seed: int) -> None:
        self.loop = SimLoop()
        self.rng = random.Random(seed)
        self.lines: list[str] = []
        self.queue: asyncio.Queue[int] = asyncio.Queue()
        self.nodes = [Node(self.loop, f"n{i}", i) for i in range(4)]

    def note(self, *what: object) -> None:
        self.lines.append(f"{self.loop.time():.6f} {' '.join(map(str, what))}")

    async def producer(self, name: str) -> None:
        for i in range(40):
            await asyncio.sleep(self.rng.choice([0.5, 1, self.rng.random()]))
            self.queue.put_nowait(i)
            self.note(name, "put", i)

    async def consumer(self, name: str) -> None:
        while True:
            try:
                async with asyncio.timeout(0.7):
                    self.note(name, "got", await self.queue.get())
            except TimeoutError:
                self.note(name, "tired")

    async def hopping(self, name: str) -> None:
        """wait_for takes other hops on each version, and a task more on 3.11."""
        while True:
            await asyncio.wait_for(asyncio.sleep(0.5), 500)
            self.note(name, "hopped")

    async def aborting(self, name: str) -> None:
        async def member(i: int) -> None:
            try:
                await asyncio.sleep(10 + i % 3)
            finally:
                self.note(name, "member", i, "leaves")

        while True:
            try:
                async with asyncio.timeout(3.3), asyncio.TaskGroup() as group:
                    for i in range(12):
                        group.create_task(member(i))
                    await asyncio.sleep(self.rng.uniform(1, 6))
                    raise KeyError(name)
            except* KeyError:
                self.note(name, "aborted")
            except* TimeoutError:
                self.note(name, "timed out")

    async def waiting(self, name: str) -> None:
        while True:
            tasks = {asyncio.create_task(self.member(i)) for i in range(9)}
            futures = {self.loop.create_future() for _ in range(9)}
            for delay, future in enumerate(futures):
                self.loop.call_later(delay % 3, future.set_result, delay)
            done, _ = await asyncio.wait(tasks | futures, timeout=1.5)
            self.note(name, "done", [future.result() for future in done])
            for earliest in asyncio.as_completed(tasks):
                self.note(name, "completed", await earliest)
            self.note(name, "numbers", [number async for number in self.numbers()])

    async def member(self, i: int) -> str:
        await asyncio.sleep(self.rng.choice([1, 2, 2]))
        return f"m{i}"

    async def numbers(self):
        for i in range(3):
            await happened(self.loop.env.timeout(0.25))
            yield i

    def faults(self, env):
        while True:
            yield env.timeout(self.rng.uniform(0.5, 1.5))
            node = self.rng.choice(self.nodes)
            verb = self.rng.choice(["pause", "resume", "resume", "busy"])
            self.note("fault", verb, node.name)
            node.busy(0.4) if verb == "busy" else getattr(node, verb)()

    def run(self) -> list[str]:
        acts = [[self.aborting, self.waiting], [self.producer, self.consumer]]
        for i, node in enumerate(self.nodes):
            for act in acts[i % 2] * 2:
                node.create_task(act(f"{node.name}.{act.__name__}"))
        # Between the others, as what differs there between versions may reach none of them.
        Node(self.loop, "hops", 1.5).create_task(self.hopping("hops"))
        self.loop.env.process(self.faults(self.loop.env))
        self.loop.call_at(31, self.nodes[2].kill)
        with closing(self.loop):
            self.loop.run(until=20)
            self.loop.run(until=60)
            self.loop.check()
        return self.lines


if __name__ == "__main__":
    print("\n".join(Scene(int(sys.argv[1])).run()))
