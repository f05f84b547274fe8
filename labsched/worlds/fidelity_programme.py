"""What both worlds go through to be compared, and what is written down of it (`fidelity.py`). Durations are seconds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from labsched import LockManager
from labsched.app import Scheduler
from labsched.model import Event, Kind
from labsched.store import Store

WITHIN = 20.0  # until what must happen has happened
APART = 0.02  # between two triggers: nothing of the first is left then


class World(Protocol):
    """What the programme needs of a world."""

    app: Scheduler

    async def kill(self, name: str) -> float:
        """When that was, as Unix seconds."""

    async def restart(self, name: str) -> None: ...


@dataclass
class Findings:
    """What one world has shown. `told`: per task the kinds of events of each execution, in order. `out`, `back`: how
    long requests and replies were on their way. `late`: by how much a new leader came after the end of the old
    one's lease."""

    told: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    out: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    service: float = 0.0  # seconds for which the real server works on one script
    start: list[float] = field(default_factory=list)
    failover: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    @property
    def states(self) -> dict[str, int]:
        """Executions by the state in which they ended."""
        return dict(Counter(kinds[-1] for runs in self.told.values() for kinds in runs))


async def programme(world: World, runs: int) -> Findings:
    """All of it, on a cluster that stands."""
    found = Findings()
    await asyncio.sleep(1.0)
    await _start(world, found, max(runs * 2, 20))
    await _story(world, found)
    for n in range(runs):
        await _failover(world, found, (n + 0.5) / runs)
    return found


async def _start(world: World, found: Findings, runs: int) -> None:
    """From before a trigger is sent until the server has given the run to an instance, whose token is that moment."""
    app = world.app
    locks = LockManager(_store(app).redis, namespace=app.namespace, owner="fidelity", host=app.host)
    await _round_trip(app, locks, "first", Findings())
    await app.wait(await app.trigger("quick"), WITHIN)  # now the server knows the scripts
    for n in range(runs):
        await asyncio.sleep(APART)
        await _round_trip(app, locks, f"lock-{n}", found)
        await asyncio.sleep(APART)
        asked = app.host.clock.now()
        token = (await app.wait(await app.trigger("quick"), WITHIN)).token
        assert token is not None
        found.start.append(token / 1e6 - asked)


async def _round_trip(app: Scheduler, locks: LockManager, name: str, found: Findings) -> None:
    """One through the Store: a token is the microsecond at which the server gave it."""
    sent = app.host.clock.now()
    lock = await locks.acquire(name, at_most_for=WITHIN)
    received = app.host.clock.now()
    assert lock is not None
    found.out.append(lock.token / 1e6 - sent)
    found.back.append(received - lock.token / 1e6)


async def _story(world: World, found: Findings) -> None:
    """One of each fate."""
    app = world.app
    since = (await app.snapshot())["last_event"]
    await asyncio.gather(*[app.wait(await app.trigger("quick"), WITHIN) for _ in range(5)])
    await app.wait(await app.trigger("fails"), WITHIN)
    stopped = await app.trigger("long")
    await next_event(app, since, lambda e: e.kind is Kind.RUNNING and e.execution == stopped)
    await app.cancel(stopped)
    await app.wait(stopped, WITHIN)
    lost = await app.trigger("long")
    ran = await next_event(app, since, lambda e: e.kind is Kind.RUNNING and e.execution == lost)
    assert ran.instance is not None
    await world.kill(ran.instance)
    await app.wait(lost, WITHIN)
    await world.restart(ran.instance)
    found.told = _told([e async for e in _until_now(app, since)])


async def _failover(world: World, found: Findings, phase: float) -> None:
    """The leader is killed `phase` of the way from one renewal of its lease to the next, so that leases of every age
    are met; another leads from the moment that its epoch is."""
    app = world.app
    leader, until = await _leader(app)
    lease, every = app.settings.leader_lease, app.settings.leader_retry
    await asyncio.sleep(max(until - lease + (2 + phase) * every - app.host.clock.now(), 0))
    since = (await app.snapshot())["last_event"]
    killed = await world.kill(leader)
    _, until = await _leader(app)
    event = await next_event(app, since, lambda e: e.kind is Kind.LEADER_ELECTED)
    assert event.epoch is not None
    found.failover.append(event.epoch / 1e6 - killed - lease)
    found.late.append(event.epoch / 1e6 - until)
    await world.restart(leader)
    await asyncio.sleep(lease)


async def _leader(app: Scheduler) -> tuple[str, float]:
    """Who leads, and until when unless it renews."""
    store = _store(app)
    name, until = await store.redis.hmget(store.key("leader"), ["name", "until"])
    assert name is not None and until is not None
    return name.decode() if isinstance(name, bytes) else name, int(until) / 1000


def _store(app: Scheduler) -> Store:
    return app.registry_open()._store


async def next_event(app: Scheduler, since: str, wanted: Callable[[Event], bool]) -> Event:
    async with asyncio.timeout(WITHIN):
        async for event in app.events(since):
            if wanted(event):
                return event
    raise AssertionError("the stream of events never ends")


async def _until_now(app: Scheduler, since: str) -> AsyncIterator[Event]:
    last = (await app.snapshot())["last_event"]
    async for event in app.events(since):
        yield event
        if event.id == last:
            return


def _told(history: Iterable[Event]) -> dict[str, list[tuple[str, ...]]]:
    kinds: dict[tuple[str, str], list[str]] = {}
    for event in history:
        if event.task and event.execution:
            kinds.setdefault((event.task, event.execution), []).append(str(event.kind))
    told: dict[str, list[tuple[str, ...]]] = {}
    for (task, _), run in kinds.items():
        told.setdefault(task, []).append(tuple(run))
    return {task: sorted(runs) for task, runs in sorted(told.items())}
