"""One request that is swallowed on the way costs neither the lease nor the leadership, at default settings.

On virtual time: the loop jumps to its next timer, and the server's clock is the loop's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import fakeredis
import pytest
from redis import exceptions as rex

from labsched import Scheduler, Settings, manual
from labsched.clock import Host
from labsched.connect import Opened, no_retry
from labsched.election import Election
from labsched.store import Store, script

EPOCH = 1_700_000_000.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never waits: when nothing is ready, it is as late as the next timer says."""

    passed = 0.0

    def time(self) -> float:
        return self.passed

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.passed = max(self.passed, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


class LoopClock:
    def now(self) -> float:
        return EPOCH + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class NoAlarm:
    def __init__(self, *_: Any) -> None: ...
    def set(self, deadline: float) -> None: ...
    def stop(self) -> None: ...


class Swallowing(fakeredis.FakeAsyncRedis):
    """Forgets one request of the script in `swallows`: no reply, and an error once `silence` seconds are over.

    `late`: the server acts on it all the same, when the error has come.
    """

    swallows, silence, late, swallowed = "", 2.0, False, 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if self.swallows and args[0] == "EVALSHA" and args[1] == script(self.swallows, True)[1]:
            self.swallows, self.swallowed = "", self.swallowed + 1
            try:
                await asyncio.sleep(self.silence)
            finally:
                if self.late:
                    self.arriving = asyncio.create_task(self.execute_command(*args, **options))
            raise rex.TimeoutError("Timeout reading from socket")
        return await super().execute_command(*args, **options)


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a coroutine to its end on a loop whose time is virtual."""

    def run(work: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            loop = runner.get_loop()
            monkeypatch.setattr(time, "time", lambda: EPOCH + loop.time())
            runner.run(work)

    return run


def host(journal: list[str] | None = None) -> Host:
    told = [] if journal is None else journal
    return Host(clock=LoopClock(), alarm=NoAlarm, journal=lambda kind, fields: told.append(kind))


@pytest.mark.parametrize("late", [False, True])
def test_one_swallowed_heartbeat_costs_no_lease_at_default_settings(virtual: Any, late: bool) -> None:
    async def main() -> None:
        server, journal, ran = fakeredis.FakeServer(), [], []
        clients = [Swallowing(server=server, retry=no_retry()) for _ in range(2)]
        app = Scheduler(Opened(*clients, "fake", trusted=True), settings=Settings(), host=host(journal))

        @app.task("long", manual())
        async def long(ctx: Any) -> int:
            await asyncio.sleep(20)
            ran.append(ctx.attempt)
            return ran[-1]

        async with app.instance("i1") as member, app:
            id = await app.trigger("long")
            await asyncio.sleep(2.5)
            first = member.membership.incarnation
            clients[0].late = late
            clients[0].swallows = "heartbeat"
            await asyncio.sleep(10)
            assert clients[0].swallowed == 1 and journal.count("lease-lost") == 0
            assert member.membership.incarnation == first
            assert (await app.wait(id, 60)).result == 1 and ran == [1]

    virtual(main())


@pytest.mark.parametrize("late", [False, True])
def test_one_swallowed_renewal_costs_no_leadership_at_default_settings(virtual: Any, late: bool) -> None:
    async def main() -> None:
        redis, me = Swallowing(server=fakeredis.FakeServer(), retry=no_retry()), host()
        store, settings = Store(redis, "t", host=me, patience=None, trusted=True), Settings()
        election = Election(store, me, settings, "i1")
        joined = await store.call("join", "i1", "p", 1, 60_000, "", "{}", 1, "h", 1)
        election.incarnation = joined[0].decode()
        assert await election.campaign() is None
        deadline = election.deadline()
        await asyncio.sleep(settings.leader_retry)
        redis.swallows, redis.late = "lead", late
        assert await election.renew() and redis.swallowed == 1
        assert me.clock.monotonic() < deadline, "the second try was answered while it still believed"
        await asyncio.sleep(1.5)
        assert election.believes(), "and it counts from its own sending"

    virtual(main())


def test_a_link_that_is_slow_and_not_silent_keeps_its_lease_too(virtual: Any) -> None:
    async def main() -> None:
        asked = []

        class Slow(Store):
            async def _evalsha(self, name: str, args: Any) -> Any:
                asked.append(asyncio.get_running_loop().time())
                await asyncio.sleep(1.3)
                return [b"ok"]

        store = Slow(fakeredis.FakeAsyncRedis(), "t", host=host(), patience=30)
        reply, sent, tries = await store.timed("heartbeat", first_try=0.5)
        assert (reply, tries, sent) == ([b"ok"], 3, asked[2]), "after 0.5 and 1 s it may take 2 s"

    virtual(main())


def test_the_first_try_of_a_renewal_leaves_room_for_a_second_that_may_take_twice_as_long() -> None:
    for settings in (Settings(), Settings(heartbeat_every=1.9, instance_lease=4, lease_margin=1.9)):
        left = settings.instance_lease - settings.lease_margin - settings.heartbeat_every
        assert 0 < 3 * settings.first_heartbeat_try < left
        left = settings.leader_renew_deadline - settings.leader_retry
        assert 0 < 3 * settings.first_leader_try < left
