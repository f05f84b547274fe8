"""Holding a lock around a block: the block ends no later than the lock does."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from servers import Relay
from test_locks_contract import history, manager, offline, server_ms, until_server

from labsched import holding
from labsched.errors import ConfigError, LockLost, LockNotAcquired
from labsched.locks import LockManager


async def test_hold_takes_the_lock_for_the_block_and_frees_it_after(anyserver):
    locks, other = manager(anyserver, "a"), manager(anyserver, "b")
    async with locks.hold("n", at_most_for=30) as lock:
        lock.assert_held()
        assert await other.acquire("n", at_most_for=30) is None
    assert await other.acquire("n", at_most_for=30)


async def test_hold_raises_when_the_lock_is_taken_and_the_block_does_not_run(anyserver):
    await manager(anyserver, "a").acquire("n", at_most_for=30)
    with pytest.raises(LockNotAcquired, match="'n'"):
        async with manager(anyserver, "b").hold("n", at_most_for=30):
            pytest.fail("the block ran")


async def test_hold_can_wait_for_its_turn(anyserver):
    locks, order = manager(anyserver), []

    async def turn(i: int) -> None:
        async with locks.hold("n", at_most_for=30, timeout=20):
            order.append(("in", i))
            await asyncio.sleep(0)
            order.append(("out", i))

    await asyncio.gather(*(turn(i) for i in range(5)))
    assert [a for a, _ in order] == ["in", "out"] * 5
    await locks.close()


async def test_hold_frees_the_lock_when_the_block_fails_or_is_cancelled(anyserver):
    locks = manager(anyserver)
    with pytest.raises(KeyError):
        async with locks.hold("n", at_most_for=30):
            raise KeyError("mine")
    entered = asyncio.Event()

    async def block() -> None:
        async with locks.hold("n", at_most_for=30):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await locks.acquire("n", at_most_for=30)


def timers(monkeypatch) -> list[float]:
    """Loop times for which `asyncio.timeout` sets its timers: exact, however late a loaded machine wakes."""
    loop, found = asyncio.get_running_loop(), []
    call_at = loop.call_at

    def recording(when, callback, *args, **options):
        if getattr(callback, "__name__", "") == "_on_timeout":
            found.append(when)
        return call_at(when, callback, *args, **options)

    monkeypatch.setattr(loop, "call_at", recording)
    return found


async def test_a_block_that_outlasts_its_lock_is_cancelled_and_exits_with_lock_lost(anyserver, monkeypatch):
    locks = manager(anyserver)
    await locks.locks()
    found = timers(monkeypatch)
    with pytest.raises(LockLost, match="expired"):
        async with locks.hold("n", at_most_for=0.2) as lock:
            set_for = found[-1]
            await asyncio.Event().wait()
    assert lock._deadline - 0.05 < set_for < lock._deadline, (
        "it must be told before the end, and not long before"
    )
    assert asyncio.current_task().cancelling() == 0


async def test_a_block_that_is_out_in_time_gives_the_rest_of_its_lock_back(anyserver, monkeypatch):
    locks, other = manager(anyserver, "a"), manager(anyserver, "b")
    await locks.locks()
    # It is told so long before its end that a busy machine is in time, too.
    monkeypatch.setattr(holding, "_margin", lambda left: left - 0.05)
    with pytest.raises(LockLost, match="expired before its block ended"):
        async with locks.hold("n", at_most_for=30):
            await asyncio.Event().wait()
    assert await other.acquire("n", at_most_for=30), "long before the server would end it"
    kinds = [kind for kind, _, _ in await history(anyserver)]
    assert kinds == ["LOCK_ACQUIRED", "LOCK_RELEASED", "LOCK_ACQUIRED"]


async def test_giving_the_rest_back_never_hides_that_the_lock_was_lost(anyserver):
    locks = manager(anyserver, "a")
    await locks.locks()
    with pytest.raises(LockLost, match="expired before its block ended"):
        async with locks.hold("n", at_most_for=2) as lock:
            await anyserver.client().delete("{labsched:t}:lock:n")
            theirs = await manager(anyserver, "b").acquire("n", at_most_for=30)
            lock._deadline -= 1.9
            lock.on_move()
            await asyncio.Event().wait()
    await theirs.extend(30)  # and takes nothing away from who has it now


async def test_giving_the_rest_back_waits_no_longer_than_the_lock_would_have_lasted(realserver):
    async with Relay(realserver.port) as relay:
        realserver.port, real = relay.port, realserver.port
        locks = LockManager(realserver.client(), "t")
        realserver.port = real
        with pytest.raises(LockLost):
            async with locks.hold("n", at_most_for=2) as lock:
                relay.stall()
                lock._deadline -= 1.8
                lock.on_move()
                await asyncio.Event().wait()
        assert time.monotonic() - lock._deadline < 1.0, "the call's own patience is 10 s"
        relay.resume()
        await locks._store.redis.aclose()


async def test_a_block_that_swallows_the_cancellation_exits_with_lock_lost_all_the_same(anyserver):
    with pytest.raises(LockLost):
        async with manager(anyserver).hold("n", at_most_for=0.05):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    with pytest.raises(LockLost) as caught:
        async with manager(anyserver).hold("m", at_most_for=0.05):
            try:
                await asyncio.Event().wait()
            finally:
                raise KeyError("while cleaning up")
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_cancellation_from_outside_stays_a_cancellation(anyserver):
    async def block() -> None:
        async with manager(anyserver).hold("n", at_most_for=30, keep_alive=True):
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    while not await manager(anyserver).locks():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_keep_alive_holds_a_lock_for_longer_than_at_most_for(anyserver):
    other = manager(anyserver, "b")
    async with manager(anyserver, "a").hold("n", at_most_for=0.6, keep_alive=True) as lock:
        first_end = lock._until
        await until_server(anyserver, first_end + 200)
        lock.assert_held()
        assert await other.acquire("n", at_most_for=30) is None
    assert await other.acquire("n", at_most_for=30)
    kinds = [kind for kind, _, _ in await history(anyserver)]
    assert kinds.count("LOCK_EXTENDED") >= 2 and len(set(kinds)) == 3


async def test_a_block_whose_lock_is_taken_away_is_told_at_the_next_renewal(anyserver):
    began = time.monotonic()
    with pytest.raises(LockLost):
        async with manager(anyserver).hold("n", at_most_for=1, keep_alive=True):
            await anyserver.client().delete("{labsched:t}:lock:n")
            await asyncio.Event().wait()
    assert time.monotonic() - began < 0.9


async def test_an_extend_inside_the_block_moves_its_end(anyserver):
    async with manager(anyserver).hold("n", at_most_for=0.4) as lock:
        await lock.extend(30)
        await until_server(anyserver, await server_ms(anyserver) + 450)
        lock.assert_held()


async def test_keep_alive_does_not_shorten_what_the_block_has_extended(anyserver):
    async with manager(anyserver).hold("n", at_most_for=0.6, keep_alive=True) as lock:
        await lock.extend(30)
        end = lock._until
        await until_server(anyserver, await server_ms(anyserver) + 450)
        assert lock._until == end


async def test_a_release_inside_the_block_ends_its_timer(anyserver):
    async with manager(anyserver).hold("n", at_most_for=0.4, keep_alive=True) as lock:
        await lock.release()
        await until_server(anyserver, lock._until)
    assert await manager(anyserver).acquire("n", at_most_for=30)


async def test_a_block_that_hogs_the_loop_past_the_end_exits_with_lock_lost(anyserver):
    with pytest.raises(LockLost):
        async with manager(anyserver).hold("n", at_most_for=0.1, keep_alive=True) as lock:
            time.sleep(0.2)  # noqa: ASYNC251
            assert not lock.held
            with pytest.raises(LockLost):
                lock.assert_held()


async def test_a_block_cut_off_from_the_server_is_told_before_its_lease_ends(realserver):
    trouble = []
    async with Relay(realserver.port) as relay:
        realserver.port, real = relay.port, realserver.port
        locks = LockManager(realserver.client(), "t", on_trouble=trouble.append)
        realserver.port = real
        with pytest.raises(LockLost):
            async with locks.hold("n", at_most_for=1.5, keep_alive=True) as lock:
                relay.stall()
                await asyncio.Event().wait()
        late = time.monotonic() - lock._deadline
        assert late < 0.3, "the timer is set before the end; a loaded machine may wake a little late"
        assert any("could not be renewed" in line for line in trouble)
        relay.resume()
        await locks._store.redis.aclose()


async def test_a_renewal_that_gets_no_answer_is_tried_again(realserver):
    async with Relay(realserver.port) as relay:
        realserver.port, real = relay.port, realserver.port
        locks = LockManager(realserver.client(), "t")
        realserver.port = real
        async with locks.hold("n", at_most_for=3, keep_alive=True) as lock:
            relay.stall()
            await asyncio.sleep(1.6)  # one renewal was sent and given up
            assert lock.left < 1.5
            relay.resume()
            while lock.left < 1.9:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            lock.assert_held()
        await locks._store.redis.aclose()


async def test_the_error_of_the_block_is_not_hidden_by_a_failing_release(anyserver):
    with pytest.raises(KeyError) as caught:
        async with manager(anyserver).hold("n", at_most_for=30):
            await anyserver.client().delete("{labsched:t}:lock:n")
            raise KeyError("mine")
    assert any("was lost" in note for note in caught.value.__notes__)


async def test_guarded_runs_once_and_skips_while_it_is_running(anyserver):
    a, b = manager(anyserver, "a"), manager(anyserver, "b")
    started, go = asyncio.Event(), asyncio.Event()

    @a.guarded("nightly", at_most_for="30m")
    async def on_a(x: int) -> int:
        "Documented."
        started.set()
        await go.wait()
        return x + 1

    @b.guarded("nightly", at_most_for="30m", at_least_for="1m")
    async def on_b() -> str:
        return "ran"

    running = asyncio.create_task(on_a(x=1))
    await started.wait()
    assert await on_b() is None
    go.set()
    assert await running == 2
    assert await on_b() == "ran"
    assert await on_b() is None, "closed until at_least_for is over"
    assert on_a.__name__ == "on_a" and on_a.__doc__ == "Documented."


async def test_guarded_lets_the_functions_own_lock_not_acquired_through(anyserver):
    locks = manager(anyserver)

    @locks.guarded("outer", at_most_for=30)
    async def outer() -> None:
        await locks.acquire("inner", at_most_for=30)
        async with locks.hold("inner", at_most_for=30):
            pass

    with pytest.raises(LockNotAcquired, match="inner"):
        await outer()


async def test_guarded_cancels_a_function_that_outlasts_its_lock(anyserver):
    @manager(anyserver).guarded("n", at_most_for=0.05)
    async def endless() -> None:
        await asyncio.Event().wait()

    with pytest.raises(LockLost):
        await endless()


def test_guarded_refuses_a_plain_function():
    with pytest.raises(ConfigError, match="coroutine function"):
        offline().guarded("n", at_most_for=30)(lambda: None)
