"""The atomic steps by hand: instances that are nothing but a name and an incarnation, without loops or timing.

`cluster` (conftest) gives one on each server and checks the invariants of everything it left behind.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
from invariants import Dump, take_dump, violations
from servers import Server

from labsched import manual
from labsched.clock import Host
from labsched.definition import define as make_task
from labsched.model import Task
from labsched.registry import Registry
from labsched.store import Store, text
from labsched.worlds.simulated.fakeserver import SimServer

NAMESPACE = "t"
HEAD = 4  # fields before the first row of a claim's reply
LONG = 3_600_000  # ms; a lease that no test outlives


def as_text(reply: Any) -> Any:
    """A reply with its strings as text, however deep."""
    return [as_text(item) for item in reply] if isinstance(reply, list | tuple) else text(reply)


class HandClock:
    """Stands in for `time.time`: fakeredis then has a clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class ServerClock:
    """The clock of a simulated server, which can be set."""

    def __init__(self, server: SimServer) -> None:
        self._server = server

    @property
    def now(self) -> float:
        return self._server.clock.now()

    @now.setter
    def now(self, seconds: float) -> None:
        self._server.clock.jump(seconds - self.now)


@dataclass(frozen=True)
class Grant:
    """One execution that a claim handed out."""

    id: str
    task: str
    token: str
    attempt: int
    fails: int
    payload: str
    slot: str
    due: int
    until: int


class Cluster:
    """One namespace on one server. `call` is the raw way in, everything else spares arguments."""

    def __init__(self, server: Server, clock: HandClock | ServerClock | None = None, **client: Any) -> None:
        self.server, self.clock = server, clock
        self.redis = server.client(**client)
        self.store = Store(self.redis, NAMESPACE, host=Host(rng=random.Random(7)), patience=0.2)
        self.registry = Registry(self.store)
        self.tasks: dict[str, Task] = {}
        self._serial = itertools.count(1)

    async def call(self, script: str, *args: Any) -> Any:
        return as_text(await self.store.call(script, *args))

    async def now(self) -> int:
        seconds, micros = await self.redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def passes(self, ms: int) -> None:
        """Let more than `ms` of the server's time go by."""
        if self.clock is not None:
            self.clock.now += (ms + 1) / 1000
            return
        end = await self.now() + ms
        while (left := end - await self.now()) >= 0:  # noqa: ASYNC110 (the server's clock has no event)
            await asyncio.sleep(left / 1000 + 0.001)

    async def define(self, name: str = "a", schedule: Any = None, **options: Any) -> str:
        self.tasks[name] = task = make_task(name, schedule or manual(), **options)
        return await self.registry.define(task)

    async def join(
        self,
        name: str = "i1",
        *,
        pool: int = 10_000,
        lease: int = LONG,
        handlers: dict[str, int] | None = None,
        scope: str = "",
        process: str | None = None,
        serial: int = 1,
    ) -> Member:
        """A new instance that has the handlers of every task defined so far, or those given."""
        if handlers is None:
            handlers = {task.name: task.version for task in self.tasks.values()}
        flat = [value for pair in handlers.items() for value in pair]
        process = process or self.fresh("process")
        reply = await self.call("join", name, process, serial, lease, scope, "{}", pool, "host", 1, *flat)
        assert reply[0].isdigit(), reply
        return Member(self, name, reply[0], lease, scope)

    def fresh(self, what: str) -> str:
        return f"{what}-{next(self._serial)}"

    async def trigger(
        self, task: str = "a", n: int = 1, *, at: int | str = "", priority: str = "", source: str = "trigger"
    ) -> list[str]:
        ids = [f"{task}~{self.fresh('x')}" for _ in range(n)]
        items = [value for id in ids for value in (id, "{}", "")]
        reply = await self.call("enqueue", task, source, priority, at, *items)
        assert reply[0] == "ok", reply
        return ids

    async def trigger_one(self, task: str = "a", **options: Any) -> str:
        return (await self.trigger(task, **options))[0]

    async def x(self, id: str) -> dict[str, str]:
        found = await self.redis.hgetall(self.store.key("x", id))
        return {text(k): text(v) for k, v in found.items()}

    async def state(self, id: str) -> str:
        return (await self.x(id)).get("state", "")

    async def states(self, ids: list[str]) -> list[str]:
        return [await self.state(id) for id in ids]

    async def task(self, name: str = "a") -> dict[str, str]:
        found = await self.redis.hgetall(self.store.key("task", name))
        return {text(k): text(v) for k, v in found.items()}

    async def events(self, *kinds: str) -> list[dict[str, Any]]:
        """The whole history, oldest first, or only those kinds; `data` is decoded."""
        return [e for e in (await self.dump()).events if not kinds or e["kind"] in kinds]

    async def box(self, name: str) -> list[str]:
        """The lines in a mailbox, taken out."""
        key = self.store.key("box", name)
        lines = as_text(await self.redis.lrange(key, 0, -1))
        await self.redis.delete(key)
        return lines

    async def dump(self) -> Dump:
        return await take_dump(self.redis, self.store.prefix)

    async def unchanged(self, before: Dump) -> None:
        """Nothing at all is different from `before`, but for what a copy of a call would be told."""
        assert _without_calls(await self.dump()) == _without_calls(before)


def _without_calls(dump: Dump) -> dict[str, Any]:
    return {
        key: {field: value for field, value in content.items() if field != "calls"}
        if kind == "hash"
        else content
        for key, (kind, content) in dump.keys.items()
    }


@dataclass
class Member:
    """An incarnation. `epoch` is what it sends as leader; '' means that election is off."""

    cluster: Cluster
    name: str
    inc: str
    lease: int
    scope: str = ""
    epoch: str = ""
    box: str = field(init=False)

    def __post_init__(self) -> None:
        self.box = self.inc

    async def ask(self, n: int = 10, nonce: str | None = None) -> Any:
        """The raw reply of a claim."""
        nonce = nonce or self.cluster.fresh("claim")
        return await self.cluster.call("claim", self.name, self.inc, "0", nonce, n)

    async def claim(self, n: int = 10, nonce: str | None = None) -> list[Grant]:
        reply = await self.ask(n, nonce)
        assert reply[0] == "ok", reply
        rows = [reply[at : at + 9] for at in range(HEAD, len(reply), 9)]
        return [Grant(r[0], r[1], r[2], int(r[3]), int(r[4]), r[5], r[6], int(r[7]), int(r[8])) for r in rows]

    async def claim_one(self) -> Grant:
        (grant,) = await self.claim(1)
        return grant

    async def finish(self, *ends: Grant | tuple[Grant, str], delay: int = 0) -> list[str]:
        """Ends attempts in one batch: SUCCEEDED, or as the second of the pair says."""
        flat: list[Any] = []
        for end in ends:
            grant, to = end if isinstance(end, tuple) else (end, "SUCCEEDED")
            outcome = {"RETRYING": "FAILED", "READY": "RETURNED"}.get(to, to)
            wrong = to in ("FAILED", "RETRYING")
            failure = '{"type":"ValueError","message":"no","traceback":""}' if wrong else ""
            result, brief = ("null", '""') if to == "SUCCEEDED" else ("", '"ValueError: no"')
            flat += (grant.id, grant.token, to, outcome, result, failure, brief, delay)
        return await self.cluster.call("finish", self.name, *flat)

    async def heartbeat(self) -> Any:
        return await self.cluster.call("heartbeat", self.name, self.inc, self.lease, 99)

    async def expires(self) -> None:
        """Its lease ends now, without a word."""
        assert (await self.cluster.call("heartbeat", self.name, self.inc, 1, 99))[0] == "ok"
        await self.cluster.passes(1)

    async def lead(self, lease: int = LONG, epoch: str = "") -> Any:
        """Campaigns (or renews `epoch`); keeps the epoch that it gets."""
        reply = await self.cluster.call("lead", self.name, self.inc, epoch, lease)
        if reply[0] == "leader":
            self.epoch = reply[1]
        return reply

    async def dispatch(
        self,
        task: str = "a",
        *slots: int,
        due: int | None = None,
        skips: tuple[tuple[int, int, int | str, str], ...] = (),
        seen: str | None = None,
        rev: str | None = None,
        mark: int | None = None,
        following: int | str = "",
        lock: bool = True,
        catch_up: tuple[str, str] | None = None,
    ) -> Any:
        """Dispatches a plan made of what the task looks like now; `seen` and `rev` make it stale."""
        h = await self.cluster.task(task)
        known = h.get("watermark" if not self.scope else f"watermark@{self.scope}", "")
        was, left = catch_up or (h.get(f"catch_up@{self.scope}" if self.scope else "catch_up", ""), "")
        args: list[Any] = [self.name, self.inc, self.epoch, self.scope, "1" if lock else "0"]
        args += [task, rev or h["rev"], known if seen is None else seen]
        args += [mark if mark is not None else (slots[-1] if slots else known), following, was, left]
        args += [len(slots), len(skips)]
        for slot in slots:
            args += [slot, slot if due is None else due]
        for skip in skips:
            args += skip
        return await self.cluster.call("dispatch", *args)

    async def step(self, script: str, *args: Any) -> Any:
        """recover, promote and trim begin with who asks and under which epoch."""
        return await self.cluster.call(script, self.name, self.inc, self.epoch, *args)

    async def recover(self, limit: int = 100) -> Any:
        return await self.step("recover", limit)

    async def promote(self, limit: int = 100) -> Any:
        return await self.step("promote", limit)

    async def trim(self, age: int = 0, max_events: int = 1_000_000, limit: int = 1000) -> Any:
        return await self.step("trim", age, max_events, limit)

    async def leave(self, returned: int = 0) -> str:
        return await self.cluster.call("leave", self.name, self.inc, returned)

    async def drain(self) -> str:
        return await self.cluster.call("drain", self.name, self.inc)

    async def resign(self) -> str:
        return await self.cluster.call("resign", self.name, self.inc, self.epoch)

    async def note(
        self, grant: Grant, *lines: str, progress: str = "", kept: int = 1000, lane: int = 0, serial: int = 0
    ) -> Any:
        head = (self.name, grant.id, grant.token, progress, kept, lane, serial or next(self.cluster._serial))
        return await self.cluster.call("note", *head, *lines)

    async def fence(self, grant: Grant, key: str, value: str = "1", nonce: str | None = None) -> Any:
        nonce = nonce or self.cluster.fresh("fence")
        return await self.cluster.call("fence_write", self.name, grant.id, grant.token, key, value, nonce)


@pytest_asyncio.fixture
async def cluster(anyserver: Server) -> AsyncIterator[Cluster]:
    """A namespace on each of the three servers: in virtual time the simulated one, and two real ones."""
    clock = None if anyserver.simulated is None else ServerClock(anyserver.simulated)
    made = Cluster(anyserver, clock)
    yield made
    assert violations(await made.dump()) == []
