"""What an instance and a leader may count on: the sending of a confirmed renewal, never its reply."""

from __future__ import annotations

import asyncio
from typing import Any

from labsched import Settings
from labsched.clock import Host
from labsched.election import Election
from labsched.membership import Membership


class SlowClock:
    """Time moves only when somebody is slow."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


class SlowStore:
    """Answers yes to everything, each time after `takes` seconds of the clock."""

    def __init__(self, clock: SlowClock) -> None:
        self.clock, self.takes, self.beaten = clock, 0.0, asyncio.Event()

    async def timed(self, name: str, *args: Any, **options: Any) -> tuple[Any, float, int]:
        sent = self.clock.at
        self.clock.at += self.takes
        if name == "heartbeat":
            # Seen by the test only after the membership has dealt with the reply: it does not await on the way.
            self.beaten.set()
        replies = {
            "join": [b"7", b"0"],
            "heartbeat": [b"ok", b"0"],
            "lead": [b"leader", b"9", b"0"],
        }
        return replies[name], sent, 1


class NoAlarm:
    def __init__(self, *_: Any) -> None: ...
    def set(self, deadline: float) -> None: ...
    def stop(self) -> None: ...


def nothing(*_: Any) -> None: ...


async def beaten(takes: float) -> tuple[float, float]:
    """Joins, beats once with a reply that takes so long; the deadline before and after."""
    clock = SlowClock()
    store = SlowStore(clock)
    member = Membership(
        store, Host(clock=clock, alarm=NoAlarm), Settings(), "i1", "", [],  # type: ignore[arg-type]
        on_joined=nothing, on_lost=nothing, on_alarm=nothing, on_line=nothing,
        running=lambda: 0, runs=list, on_held=nothing,
    )  # fmt: skip
    await member.join()
    before, store.takes = member._deadline, takes
    beating = asyncio.create_task(member.run())
    await store.beaten.wait()
    after = member._deadline
    beating.cancel()
    member.stop()
    return before, after


async def test_a_heartbeat_answered_in_time_counts_from_its_sending() -> None:
    # Joined at 100 s and sent at 100 s too: lease 4 s, margin 1 s. A reply 2 s later adds nothing to that.
    assert await beaten(2.0) == (103.0, 103.0)


async def test_a_heartbeat_answered_after_the_deadline_proves_nothing() -> None:
    clock = SlowClock()
    store = SlowStore(clock)
    member = Membership(
        store, Host(clock=clock, alarm=NoAlarm), Settings(), "i1", "", [],  # type: ignore[arg-type]
        on_joined=nothing, on_lost=nothing, on_alarm=nothing, on_line=nothing,
        running=lambda: 0, runs=list, on_held=nothing,
    )  # fmt: skip
    await member.join()
    clock.at, store.takes = 102.0, 2.0  # sent before the deadline of 103, answered after it
    beating = asyncio.create_task(member.run())
    await store.beaten.wait()
    assert member._deadline == 103.0
    beating.cancel()
    member.stop()


async def test_leadership_counts_from_the_sending_of_the_confirmed_renewal() -> None:
    clock = SlowClock()
    store = SlowStore(clock)
    election = Election(store, Host(clock=clock), Settings(), "i1")  # type: ignore[arg-type]
    store.takes = 2.0
    assert await election.campaign() is None
    assert election.deadline() == 103.0 and election.believes()
    clock.at = 103.0
    assert not election.believes()
