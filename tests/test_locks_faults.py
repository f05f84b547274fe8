"""Lost replies, repeated and late calls: nothing is granted twice, nobody is left with what nobody knows of."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from servers import Relay, Server
from test_locks_contract import history, manager, queued, until_server

from labsched.errors import LockLost, OutcomeUnknown, ServerUnsuitable, Unreachable
from labsched.locks import LockManager
from labsched.store import Store


class Lossy:
    """Mixed into a client: the server acts, and the reply of the next `losing` scripts is lost."""

    losing = 0
    sent = 0

    async def execute_command(self, *args, **options):
        reply = await super().execute_command(*args, **options)
        if args[0] in ("EVALSHA", "EVAL"):
            self.sent += 1
            if self.losing > 0:
                self.losing -= 1
                raise aioredis.ConnectionError("reply lost")
        return reply


def lossy(server: Server, owner: str = "a", **options) -> tuple[LockManager, Lossy]:
    client = server.client()
    client.__class__ = type("LossyClient", (Lossy, type(client)), {})
    return LockManager(client, "t", owner=owner, **options), client


async def kinds(server: Server) -> list[str]:
    return [kind for kind, _, _ in await history(server)]


async def test_an_acquire_whose_reply_was_lost_gets_its_own_grant(anyserver):
    locks, link = lossy(anyserver)
    link.losing = 2
    lock = await locks.acquire("n", at_most_for=30)
    assert lock.held and link.sent == 4, "and one that makes later copies harmless"
    assert await kinds(anyserver) == ["LOCK_ACQUIRED"]


async def test_the_deadline_after_a_lost_reply_counts_from_the_repeated_call_and_the_rest_of_the_lease(
    anyserver,
):
    locks, link = lossy(anyserver)
    link.losing = 2
    lock = await locks.acquire("n", at_most_for=30)
    sure = lock._deadline - locks.host.clock.monotonic()
    seconds, micros = await anyserver.client().time()
    assert sure <= (lock._until - seconds * 1000 - micros / 1000) / 1000 + 0.5
    assert lock.left > 29


async def test_an_extend_and_a_release_whose_replies_were_lost_are_repeated(anyserver):
    locks, link = lossy(anyserver)
    lock = await locks.acquire("n", at_most_for=30)
    link.losing = 1
    await lock.extend(60)
    link.losing = 1
    await lock.release()
    assert await kinds(anyserver) == ["LOCK_ACQUIRED", "LOCK_EXTENDED", "LOCK_EXTENDED", "LOCK_RELEASED"]


async def test_a_release_whose_reply_was_lost_is_fine_when_others_took_the_lock_since(anyserver):
    locks, link = lossy(anyserver)
    others = manager(anyserver, "b")
    execute, generations = link.execute_command, []

    async def meanwhile(*args, **options):
        try:
            return await execute(*args, **options)
        except aioredis.ConnectionError:
            for _ in range(generations[-1]):
                await (await others.acquire("n", at_most_for=30)).release()
            raise

    link.execute_command = meanwhile
    for count in (1, 2):
        generations.append(count)
        lock = await locks.acquire("n", at_most_for=30)
        link.losing = 1
        await lock.release()
        assert not lock.held


async def test_a_waiter_in_the_same_process_gets_its_turn_when_the_releases_reply_was_lost(
    anyserver, monkeypatch
):
    monkeypatch.setattr("labsched.locks.REFRESH", 60)  # so that it does not find out by itself
    locks, link = lossy(anyserver)
    lock = await locks.acquire("n", at_most_for=30)
    waiting = asyncio.create_task(locks.wait("n", at_most_for=30, timeout=10))
    await queued(anyserver, 1)
    link.losing = 1
    await lock.release()
    assert (await waiting).held
    assert (await kinds(anyserver)).count("LOCK_ACQUIRED") == 2
    await locks.close()


async def test_a_wait_whose_reply_was_lost_has_one_place_in_the_queue(anyserver):
    locks, link = lossy(anyserver, "b")
    held = await manager(anyserver, "a").acquire("n", at_most_for=30)
    link.losing = 2
    waiting = asyncio.create_task(locks.wait("n", at_most_for=30, timeout=10))
    await queued(anyserver, 1)
    await held.release()
    lock = await waiting
    assert lock.held
    await queued(anyserver, 0)
    await locks.close()


async def test_replies_lost_for_longer_than_patience_are_outcome_unknown_and_the_grant_is_given_back(
    anyserver,
):
    locks, link = lossy(anyserver, patience=0.05)
    execute = link.execute_command

    async def acquire_never_answers(*args, **options):
        reply = await execute(*args, **options)
        if 30_000 in args:
            raise aioredis.ConnectionError("reply lost")
        return reply

    link.execute_command = acquire_never_answers
    with pytest.raises(OutcomeUnknown):
        await locks.acquire("n", at_most_for=30)
    assert await manager(anyserver, "b").acquire("n", at_most_for=60), "the grant was given back"


async def test_an_unreachable_server_is_told_as_such():
    locks = LockManager(aioredis.Redis(port=1, retry=Retry(NoBackoff(), 0)), "t", patience=0.05)
    with pytest.raises(Unreachable):
        await locks.acquire("n", at_most_for=30)


@pytest.mark.parametrize("script", ["lock_acquire", "lock_wait"])
async def test_a_late_copy_of_a_call_takes_nothing(anyserver, script):
    """A copy that lay in the network until after the release, or after the caller gave up."""
    store, rest = Store(anyserver.client(), "t"), ("box", 3000) if script == "lock_wait" else ()

    async def call(nonce: str) -> str:
        return (await store.call(script, "n", "a", nonce, 30_000, 0, *rest))[0].decode()

    locks = manager(anyserver)
    assert await call("n1") == "ok"
    assert await call("n1") == "ok"
    token = await anyserver.client().hget("{labsched:t}:lock:n", "token")
    await store.call("lock_release", "n", "a", token, "")
    assert await call("n1") == "over"
    lock = await locks.acquire("n", at_most_for=30)
    assert await call("n1") == "over", "still known after its successor was granted"
    await lock.release()
    await store.call("lock_leave", "n", "n2", "")
    assert await call("n2") == "over"
    assert await locks.acquire("n", at_most_for=30)


class Delayed(Lossy):
    """A `Lossy` client whose network delivers each lost command twice: the second copy when `arrive()` is called."""

    late: tuple = ()

    async def execute_command(self, *args, **options):
        if self.losing > 0 and args[0] in ("EVALSHA", "EVAL"):
            self.late, self.losing = (args, options), 0
            raise aioredis.ConnectionError("on its way")
        return await super().execute_command(*args, **options)

    async def arrive(self):
        (args, options), self.late = self.late, ()
        return await super().execute_command(*args, **options)


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("call", ["acquire", "wait"])
async def test_a_copy_that_arrives_when_the_call_was_answered_long_ago_takes_nothing(anyserver, call, taken):
    locks, link = lossy(anyserver)
    link.__class__ = type("DelayedClient", (Delayed, link.__class__.__mro__[2]), {})
    others = manager(anyserver, "b")
    before = await others.acquire("n", at_most_for=30) if taken else None
    link.losing = 1
    patience = 0.2 if taken else 10.0  # a lost reply is asked for again, however busy the machine is
    lock = await (
        locks.acquire("n", at_most_for=30) if call == "acquire" else locks.wait("n", 30, timeout=patience)
    )
    assert (lock is None) == taken and link.late
    await (before or lock).release()
    for _ in range(2):
        await (await others.acquire("n", at_most_for=30)).release()
    await link.arrive()
    assert await others.acquire("n", at_most_for=30), "somebody who was answered long ago holds it"
    await locks.close()


async def test_a_copy_of_an_extend_that_was_overtaken_by_another_does_not_move_the_end(anyserver):
    locks, link = lossy(anyserver)
    link.__class__ = type("DelayedClient", (Delayed, link.__class__.__mro__[2]), {})
    lock = await locks.acquire("n", at_most_for=30)
    link.losing = 1
    await lock.extend(5)
    await lock.extend(60)
    await link.arrive()
    (info,) = await locks.locks()
    assert info.left > lock.left > 59, "the holder believes in it until then"


async def test_a_cancelled_acquire_leaves_no_grant_behind(anyserver):
    for hops in range(25):
        locks = manager(anyserver)
        task = asyncio.create_task(locks.acquire("n", at_most_for=30))
        for _ in range(hops):
            await asyncio.sleep(0)
        task.cancel()
        try:
            lock = await task
            await lock.release()
        except asyncio.CancelledError:
            pass
        lock = await manager(anyserver).acquire("n", at_most_for=30)
        assert lock, f"a cancelled acquire kept the lock ({hops} hops)"
        await lock.release()
        await anyserver.close()


async def test_lost_replies_on_the_network_are_survived_as_well(realserver):
    """The same through a real socket, which is how the fast way to the server loses them."""
    async with Relay(realserver.port) as relay:
        client = aioredis.Redis(host="127.0.0.1", port=relay.port)
        locks = LockManager(client, "t")
        await locks.locks()
        relay.lose(1)
        lock = await locks.acquire("n", at_most_for=30)
        relay.lose(1)
        await lock.extend(60)
        relay.lose(1)
        await lock.release()
        assert relay.lost == 3
        assert (await kinds(realserver))[0] == "LOCK_ACQUIRED" and (await kinds(realserver))[
            -1
        ] == "LOCK_RELEASED"
        assert (await kinds(realserver)).count("LOCK_ACQUIRED") == 1
        lock = await locks.acquire("n", at_most_for=30)
        waiting = asyncio.create_task(locks.wait("n", at_most_for=30, timeout=10))
        await queued(realserver, 1)
        relay.lose(1)
        await lock.release()
        assert await waiting
        await locks.close()
        await client.aclose()


async def test_scripts_that_the_server_forgot_are_sent_again(realserver):
    locks = manager(realserver)
    lock = await locks.acquire("n", at_most_for=30)
    await realserver.client().script_flush()
    await lock.release()
    assert await locks.acquire("n", at_most_for=30)


async def test_a_server_out_of_memory_refuses_the_whole_step(realserver):
    admin, locks = realserver.client(), manager(realserver)
    held = await locks.acquire("held", at_most_for=30)
    waiting = asyncio.create_task(locks.wait("held", at_most_for=30, timeout=20))
    await queued(realserver, 1, "held")

    async def state() -> dict[bytes, bytes]:
        # The waiter's sign of life is refused or not, depending on the moment.
        return {k: await admin.dump(k) for k in await admin.keys("*") if b":waiter:" not in k}

    before = await state()
    await admin.config_set("maxmemory", 1)
    try:
        for call in (lambda: locks.acquire("n", at_most_for=30), lambda: held.extend(60), held.release):
            with pytest.raises(ServerUnsuitable, match="memory"):
                await call()
        during = await state()
    finally:
        await admin.config_set("maxmemory", 0)
    assert during == before
    await held.release()
    with contextlib.suppress(ServerUnsuitable):  # its sign of life may have fallen into that moment
        assert await waiting
    await locks.close()


async def test_a_lock_whose_key_was_deleted_is_lost(anyserver):
    lock = await manager(anyserver).acquire("n", at_most_for=30)
    await anyserver.client().flushall()
    with pytest.raises(LockLost):
        await lock.release()


async def test_kept_connections_go_back_to_the_pool(realserver):
    client = realserver.client()
    locks = LockManager(client, "t")
    await asyncio.gather(*(locks.acquire(f"n{i}", at_most_for=30) for i in range(20)))
    pool = client.connection_pool
    while pool._in_use_connections:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert 1 <= len(pool._available_connections) <= 20
    assert await locks.acquire("again", at_most_for=30)


async def test_expired_and_never_taken_again_is_forgotten_by_the_index(anyserver):
    locks = manager(anyserver)
    lock = await locks.acquire("n", at_most_for=0.02)
    await until_server(anyserver, lock._until)
    assert await locks.locks() == []
    assert await anyserver.client().zcard("{labsched:t}:locks") == 0
