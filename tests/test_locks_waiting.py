"""Waiting for a lock: first come first served, no polling, nobody lost on the way."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import pytest
import redis.asyncio as aioredis
from servers import Server
from test_locks_contract import history, manager, queued, server_ms, until_server

from labsched.errors import ConfigError
from labsched.locks import LockManager
from labsched.store import Store

ROOT = Path(__file__).parents[1]


async def enqueue(server: Server, nonce: str, alive_ms: int, most_ms: int = 60_000) -> list:
    """A waiter that says it waits, and then is never heard of again. Its box is its nonce."""
    store = Store(server.client(), "t")
    return await store.call("lock_wait", "n", "ghost", nonce, most_ms, 0, nonce, alive_ms)


async def test_a_free_lock_is_had_at_once(anyserver):
    lock = await manager(anyserver).wait("n", at_most_for=30, timeout=5)
    assert lock.held


async def test_a_timeout_gives_none_and_leaves_the_queue(anyserver):
    held = await manager(anyserver, "a").acquire("n", at_most_for=30)
    locks = manager(anyserver, "b")
    assert await locks.wait("n", at_most_for=30, timeout=0.05) is None
    assert await locks.wait("n", at_most_for=30, timeout=0) is None
    await queued(anyserver, 0)
    await held.release()
    assert await manager(anyserver, "c").acquire("n", at_most_for=30)
    await locks.close()


async def test_fifty_waiters_are_served_in_the_order_in_which_they_came(anyserver):
    managers = [manager(anyserver, f"m{i}") for i in range(5)]
    first = await managers[0].acquire("n", at_most_for=60)
    order, tokens = [], [first.token]

    async def wait(i: int) -> None:
        lock = await managers[i % 5].wait("n", at_most_for=60, timeout=60)
        order.append(i)
        tokens.append(lock.token)
        assert lock.owner == f"m{i % 5}"
        await lock.release()

    tasks = []
    for i in range(50):
        tasks.append(asyncio.create_task(wait(i)))
        await queued(anyserver, i + 1)
    await first.release()
    await asyncio.gather(*tasks)
    assert order == list(range(50))
    assert tokens == sorted(set(tokens))
    for locks in managers:
        await locks.close()


@pytest.mark.parametrize("same", [True, False], ids=["same-manager", "another-manager"])
async def test_a_hand_over_needs_no_polling(anyserver, monkeypatch, same):
    """Between queueing and the grant a waiter sends one blocking read, which the release itself answers."""
    monkeypatch.setattr("labsched.locks.REFRESH", 60)
    locks = manager(anyserver, "b")
    held = await (locks if same else manager(anyserver, "a")).acquire("n", at_most_for=30)
    waiting = asyncio.create_task(locks.wait("n", at_most_for=30, timeout=10))
    await queued(anyserver, 1)
    steps = []
    step = locks._store.timed

    async def counted(*args):
        steps.append(args[0])
        return await step(*args)

    locks._store.timed = counted
    await held.release()
    lock = await waiting
    assert steps == (["lock_release"] if same else [])
    assert 29 < lock.left <= 30 and lock._until > await server_ms(anyserver) + 29_000
    await locks.close()


async def test_an_acquire_never_barges_past_a_live_waiter(anyserver):
    held = await manager(anyserver, "a").acquire("n", at_most_for=30)
    locks = manager(anyserver, "b")
    waiting = asyncio.create_task(locks.wait("n", at_most_for=30, timeout=10))
    await queued(anyserver, 1)
    await held.release()
    assert await manager(anyserver, "c").acquire("n", at_most_for=30) is None
    assert (await waiting).owner == "b"
    await locks.close()


async def test_an_acquire_does_not_barge_when_the_holder_expired_either(anyserver):
    expired = await manager(anyserver, "a").acquire("n", at_most_for=0.05)
    await enqueue(anyserver, "live", alive_ms=60_000)
    await until_server(anyserver, expired._until)
    assert await manager(anyserver, "b").acquire("n", at_most_for=30) is None


async def test_a_waiter_takes_over_when_the_holders_lease_ends(anyserver):
    held = await manager(anyserver, "a").acquire("n", at_most_for=0.3)
    locks = manager(anyserver, "b")
    lock = await locks.wait("n", at_most_for=30, timeout=10)
    assert 0 <= lock._until - 30_000 - held._until < 500, "it should have woken at the lease's end"
    await locks.close()


async def test_a_waiter_takes_over_when_the_rest_of_at_least_for_ends(anyserver):
    held = await manager(anyserver, "a").acquire("n", at_most_for=30, at_least_for=0.4)
    locks = manager(anyserver, "b")
    waiting = asyncio.create_task(locks.wait("n", at_most_for=30, timeout=10))
    await queued(anyserver, 1)
    await held.release()
    lock = await waiting
    closed_until = (await history(anyserver))[0][2]["least_until"]
    assert 0 <= lock._until - 30_000 - closed_until < 450, "it should have woken when the rest was over"
    await locks.close()


async def test_a_dead_waiter_is_passed_over(anyserver):
    held = await manager(anyserver, "a").acquire("n", at_most_for=30)
    await enqueue(anyserver, "dead", alive_ms=20)
    await enqueue(anyserver, "live", alive_ms=60_000)
    await until_server(anyserver, await server_ms(anyserver) + 20)
    await held.release()
    kind, _, data = (await history(anyserver))[-1]
    assert kind == "LOCK_ACQUIRED" and data["until"] > await server_ms(anyserver)
    assert await anyserver.client(decode_responses=True).hget("{labsched:t}:lock:n", "nonce") == "live"
    await queued(anyserver, 0)


async def test_a_dead_waiter_does_not_keep_others_from_acquiring(anyserver):
    held = await manager(anyserver, "a").acquire("n", at_most_for=30)
    await enqueue(anyserver, "dead", alive_ms=20)
    await held.extend(0.02)
    await until_server(anyserver, await server_ms(anyserver) + 20)
    assert await manager(anyserver, "b").acquire("n", at_most_for=30)
    await queued(anyserver, 0)


async def test_a_grant_that_its_dead_waiter_never_read_goes_to_the_next(anyserver):
    held = await manager(anyserver, "a").acquire("n", at_most_for=30)
    await enqueue(anyserver, "dead", alive_ms=900)
    await held.release()
    locks = manager(anyserver, "b")
    assert await locks.acquire("n", at_most_for=30) is None, "it may yet read it"
    lock = await locks.wait("n", at_most_for=30, timeout=10)
    assert lock.held
    kinds = [kind for kind, _, _ in await history(anyserver)]
    assert kinds == ["LOCK_ACQUIRED", "LOCK_RELEASED"] * 2 + ["LOCK_ACQUIRED"]
    assert await anyserver.client().llen("{labsched:t}:box:dead") == 0, "nor can it learn of it later"
    assert (await enqueue(anyserver, "dead", alive_ms=200))[0] != b"ok"
    await locks.close()


async def test_a_grant_that_was_read_is_not_taken_away(anyserver):
    held = await manager(anyserver, "a").acquire("n", at_most_for=30)
    await enqueue(anyserver, "slow", alive_ms=500)
    await held.release()
    await anyserver.client().blpop("{labsched:t}:box:slow", 1)
    await until_server(anyserver, await server_ms(anyserver) + 500)
    assert await manager(anyserver, "b").acquire("n", at_most_for=30) is None


@pytest.mark.parametrize("hops", range(12))
async def test_a_waiter_cancelled_around_the_moment_of_the_grant_keeps_nothing(anyserver, hops):
    a, b = manager(anyserver, "a"), manager(anyserver, "b")
    for shared in (a, b):  # handed over by the release's own reply, and through the mailbox
        held = await a.acquire("n", at_most_for=60)
        waiting = asyncio.create_task(shared.wait("n", at_most_for=60, timeout=30))
        await queued(anyserver, 1)
        releasing = asyncio.create_task(held.release())
        for _ in range(hops):
            await asyncio.sleep(0)
        waiting.cancel()
        await releasing
        with contextlib.suppress(asyncio.CancelledError):
            await (await waiting).release()
        lock = await a.acquire("n", at_most_for=60)
        assert lock, "the cancelled waiter's grant was not given back"
        await lock.release()
        await queued(anyserver, 0)
    await a.close()
    await b.close()


async def test_a_cancelled_head_lets_the_next_know_when_its_turn_comes(anyserver):
    held = await manager(anyserver, "a").acquire("n", at_most_for=0.4)
    locks = manager(anyserver, "b")
    head = asyncio.create_task(locks.wait("n", at_most_for=60))
    await queued(anyserver, 1)
    second = asyncio.create_task(locks.wait("n", at_most_for=60, timeout=10))
    await queued(anyserver, 2)
    head.cancel()
    lock = await second
    assert 0 <= lock._until - 60_000 - held._until < 450
    assert head.cancelled()
    await locks.close()


async def test_many_waiters_cancelled_together_leave_an_empty_queue(anyserver):
    locks = manager(anyserver, "b")
    held = await manager(anyserver, "a").acquire("n", at_most_for=60)
    tasks = [asyncio.create_task(locks.wait("n", at_most_for=60)) for _ in range(20)]
    await queued(anyserver, 20)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await queued(anyserver, 0)
    await held.release()
    assert await locks.acquire("n", at_most_for=60)
    await locks.close()


async def test_a_lost_hint_costs_a_moment_and_no_more(anyserver):
    held = await manager(anyserver, "a").acquire("n", at_most_for=60)
    locks = manager(anyserver, "b")
    locks._mail._on_line = lambda line: None
    waiting = asyncio.create_task(locks.wait("n", at_most_for=60, timeout=10))
    await queued(anyserver, 1)
    await held.release()
    lock = await waiting
    assert lock.held and lock.left < 60
    await locks.close()


async def test_the_mailbox_is_given_up_when_nobody_waits_any_more(realserver, monkeypatch):
    monkeypatch.setattr("labsched.mailbox.BLOCK", 0.1)
    locks = manager(realserver)
    lock = await locks.wait("n", at_most_for=30)
    await asyncio.wait([locks._mail._task], timeout=5)
    assert locks._mail._task.done()
    again = asyncio.create_task(locks.wait("n", at_most_for=30, timeout=5))
    await queued(realserver, 1)
    await lock.release()
    assert await again
    await locks.close()


async def test_a_client_with_one_connection_can_acquire_and_is_refused_to_wait(realserver):
    one = aioredis.Redis(host="127.0.0.1", port=realserver.port, max_connections=1)
    single = aioredis.Redis(host="127.0.0.1", port=realserver.port, single_connection_client=True)
    for client in (one, single):
        locks = LockManager(client, "t")
        lock = await locks.acquire("n", at_most_for=30)
        with pytest.raises(ConfigError, match="2 connections"):
            await locks.wait("n", at_most_for=30)
        await lock.release()
        await client.aclose()


async def test_a_pool_of_two_connections_serves_many_waiters(realserver):
    pool = aioredis.BlockingConnectionPool(
        host="127.0.0.1", port=realserver.port, max_connections=2, timeout=10
    )
    client = aioredis.Redis(connection_pool=pool)
    locks = LockManager(client, "t")

    async def turn() -> int:
        lock = await locks.wait("n", at_most_for=30, timeout=20)
        await lock.release()
        return lock.token

    tokens = await asyncio.gather(*(turn() for _ in range(10)))
    assert len(set(tokens)) == 10  # each had its turn; two connections may send them in another order
    await locks.close()
    await pool.aclose()


WAITER = """
import asyncio, sys
import redis.asyncio as aioredis
from labsched.locks import LockManager

async def main():
    locks = LockManager(aioredis.Redis(port=int(sys.argv[1])), "t", owner="victim")
    await locks.wait("n", at_most_for=600)
    print("had it", flush=True)

asyncio.run(main())
"""


async def test_a_waiter_killed_in_the_queue_costs_seconds_and_not_its_whole_lease(realserver):
    held = await manager(realserver, "a").acquire("n", at_most_for=60)
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WAITER, str(realserver.port), cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )
    await queued(realserver, 1)
    locks = manager(realserver, "b")
    waiting = asyncio.create_task(locks.wait("n", at_most_for=60, timeout=30))
    await queued(realserver, 2)
    victim.send_signal(signal.SIGKILL)
    await victim.wait()
    await held.release()
    assert (await waiting).owner == "b"
    await locks.close()
