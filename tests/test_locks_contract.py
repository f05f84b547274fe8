"""What a lock promises, on every server."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
import redis.asyncio as aioredis
from servers import Server

from labsched.clock import Host, SystemClock
from labsched.errors import ConfigError, LockLost
from labsched.locks import LockManager


def manager(server: Server, owner: str = "a", **options) -> LockManager:
    return LockManager(server.client(**options), "t", owner=owner)


def offline(owner: str = "a") -> LockManager:
    """For calls that are refused before anything is sent."""
    return LockManager(aioredis.Redis(port=1), "t", owner=owner)


async def history(server: Server) -> list[tuple[str, int, dict]]:
    """(kind, token, data) of every event, oldest first."""
    entries = await server.client(decode_responses=True).xrange("{labsched:t}:events")
    return [(e["kind"], int(e["token"]), json.loads(e["data"])) for _, e in entries]


async def server_ms(server: Server) -> int:
    seconds, micros = await server.client().time()
    return seconds * 1000 + micros // 1000


async def until_server(server: Server, ms: int) -> None:
    """Waits until the server's clock has passed `ms`."""
    while (left := ms - await server_ms(server)) >= 0:  # noqa: ASYNC110
        await asyncio.sleep(left / 1000 + 0.001)


async def test_a_free_lock_is_granted_and_a_held_one_is_not(anyserver):
    mine = await manager(anyserver, "a").acquire("n", at_most_for=30)
    assert mine is not None and mine.owner == "a" and mine.name == "n" and mine.held
    assert await manager(anyserver, "b").acquire("n", at_most_for=30) is None


async def test_the_same_owner_asking_twice_gets_none(anyserver):
    locks = manager(anyserver)
    assert await locks.acquire("n", at_most_for=30)
    assert await locks.acquire("n", at_most_for=30) is None


async def test_locks_of_different_names_and_namespaces_do_not_meet(anyserver):
    locks = manager(anyserver)
    assert await locks.acquire("n", at_most_for=30)
    assert await locks.acquire("m", at_most_for=30)
    assert await LockManager(anyserver.client(), "other").acquire("n", at_most_for=30)


async def test_tokens_grow_with_every_grant(anyserver):
    a, b, tokens = manager(anyserver, "a"), manager(anyserver, "b"), []
    for locks in (a, b, a, a, b):
        lock = await locks.acquire("n", at_most_for=30)
        tokens.append(lock.token)
        await lock.release()
    assert tokens == sorted(set(tokens))


async def test_lock_until_is_aware_and_counts_from_the_servers_now(anyserver):
    before = await server_ms(anyserver)
    lock = await manager(anyserver).acquire("n", at_most_for="30s")
    after = await server_ms(anyserver)
    assert lock.lock_until.tzinfo is UTC
    ms = (lock.lock_until - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert before + 30_000 <= ms <= after + 30_000


async def test_a_lock_is_free_again_after_its_release(anyserver):
    lock = await manager(anyserver, "a").acquire("n", at_most_for=30)
    await lock.release()
    assert not lock.held
    assert await manager(anyserver, "b").acquire("n", at_most_for=30)


async def test_releasing_twice_does_nothing_the_second_time(anyserver):
    lock = await manager(anyserver, "a").acquire("n", at_most_for=30)
    await lock.release()
    other = await manager(anyserver, "b").acquire("n", at_most_for=30)
    await lock.release()
    assert other.held
    assert [kind for kind, _, _ in await history(anyserver)] == [
        "LOCK_ACQUIRED",
        "LOCK_RELEASED",
        "LOCK_ACQUIRED",
    ]


async def test_a_lock_that_nobody_releases_is_free_after_at_most_for(anyserver):
    lock = await manager(anyserver, "a").acquire("n", at_most_for=0.05)
    await until_server(anyserver, lock._until)
    assert not lock.held
    assert await manager(anyserver, "b").acquire("n", at_most_for=30)


async def test_releasing_an_expired_lock_is_lock_lost_even_without_a_successor(anyserver):
    lock = await manager(anyserver).acquire("n", at_most_for=0.05)
    await until_server(anyserver, lock._until)
    with pytest.raises(LockLost, match="expired"):
        await lock.release()
    assert (await history(anyserver))[-1][0] == "REFUSED"


async def test_a_late_release_does_not_free_the_successors_lock(anyserver):
    late = await manager(anyserver, "a").acquire("n", at_most_for=0.05)
    await until_server(anyserver, late._until)
    successor = await manager(anyserver, "b").acquire("n", at_most_for=30)
    with pytest.raises(LockLost):
        await late.release()
    with pytest.raises(LockLost):
        await late.extend(30)
    assert await manager(anyserver, "c").acquire("n", at_most_for=30) is None
    await successor.release()
    assert [(kind, token) for kind, token, _ in await history(anyserver)][2:4] == [
        ("REFUSED", late.token),
        ("LOCK_RELEASED", successor.token),
    ]


async def test_extend_counts_from_now_and_keeps_the_token(anyserver):
    lock = await manager(anyserver).acquire("n", at_most_for=0.5)
    token = lock.token
    before = await server_ms(anyserver)
    await lock.extend(at_most_for=60)
    after = await server_ms(anyserver)
    assert lock.token == token and before + 60_000 <= lock._until <= after + 60_000
    assert 59 < lock.left < 60
    await lock.extend(at_most_for=0.05)
    await until_server(anyserver, lock._until)
    assert await manager(anyserver, "b").acquire("n", at_most_for=30)


async def test_extending_an_expired_lock_is_lock_lost_even_without_a_successor(anyserver):
    lock = await manager(anyserver).acquire("n", at_most_for=0.05)
    await until_server(anyserver, lock._until)
    with pytest.raises(LockLost):
        await lock.extend(30)
    assert await manager(anyserver, "b").acquire("n", at_most_for=30)


async def test_extending_a_released_lock_is_lock_lost_and_takes_nothing(anyserver):
    lock = await manager(anyserver).acquire("n", at_most_for=30)
    await lock.release()
    with pytest.raises(LockLost, match="released"):
        await lock.extend(30)
    assert await manager(anyserver, "b").acquire("n", at_most_for=30)


async def test_a_release_before_at_least_for_leaves_the_rest(anyserver):
    lock = await manager(anyserver, "a").acquire("n", at_most_for=30, at_least_for=0.8)
    closed_until = (await history(anyserver))[0][2]["least_until"]
    await lock.release()
    other = manager(anyserver, "b")
    assert await other.acquire("n", at_most_for=30) is None
    (rest,) = await other.locks()
    assert rest.released and rest.lock_until == closed_until
    assert (await history(anyserver))[-1][2]["until"] == closed_until
    await until_server(anyserver, closed_until)
    assert await other.acquire("n", at_most_for=30)


async def test_a_release_after_at_least_for_leaves_nothing(anyserver):
    lock = await manager(anyserver, "a").acquire("n", at_most_for=30, at_least_for=0.02)
    await until_server(anyserver, (await history(anyserver))[0][2]["least_until"])
    await lock.release()
    assert await manager(anyserver, "b").acquire("n", at_most_for=30)


async def test_shortening_a_lock_does_not_shorten_at_least_for(anyserver):
    lock = await manager(anyserver, "a").acquire("n", at_most_for=30, at_least_for=20)
    await lock.extend(0.01)
    await until_server(anyserver, lock._until)
    assert await manager(anyserver, "b").acquire("n", at_most_for=30) is None


async def test_assert_held_judges_by_a_deadline_counted_from_before_sending(anyserver):
    class Slow(SystemClock):
        """A clock on which the call's own journey took 10 s."""

        calls = 0

        def monotonic(self) -> float:
            self.calls += 1
            return 1000.0 if self.calls <= 2 else 1010.0

    locks = LockManager(anyserver.client(), "t", host=Host(clock=Slow()))
    lock = await locks.acquire("n", at_most_for=30)
    assert 19.9 < lock.left <= 20
    lock = await LockManager(anyserver.client(), "t", host=Host(clock=Slow())).acquire("m", at_most_for=9)
    with pytest.raises(LockLost):
        lock.assert_held()


async def test_every_change_leaves_its_event(anyserver):
    lock = await manager(anyserver, "i1").acquire('a "name" / ü', at_most_for=30)
    await lock.extend(40)
    await lock.release()
    events = await history(anyserver)
    assert [kind for kind, _, _ in events] == ["LOCK_ACQUIRED", "LOCK_EXTENDED", "LOCK_RELEASED"]
    assert {token for _, token, _ in events} == {lock.token}
    assert {data["lock"] for _, _, data in events} == {'a "name" / ü'}
    assert events[1][2]["until"] == lock._until


async def test_listing_shows_what_is_held_and_forgets_what_expired(anyserver):
    a, b = manager(anyserver, "a"), manager(anyserver, "b", decode_responses=True)
    brief = await a.acquire("brief", at_most_for=0.05)
    held = await a.acquire("held", at_most_for=30)
    freed = await b.acquire("freed", at_most_for=30)
    await freed.release()
    await until_server(anyserver, brief._until)
    (info,) = await b.locks()
    assert (info.name, info.owner, info.token, info.released, info.waiters) == (
        "held",
        "a",
        held.token,
        False,
        0,
    )
    assert 29 < info.left <= 30
    assert await anyserver.client().zcard("{labsched:t}:locks") == 1


async def test_a_client_that_decodes_works_as_well(anyserver):
    locks = manager(anyserver, decode_responses=True)
    lock = await locks.acquire("n", at_most_for=30)
    await lock.extend(10)
    waiting = asyncio.create_task(locks.wait("n", at_most_for=30, timeout=10))
    await queued(anyserver, 1)
    await lock.release()
    assert (await waiting).token > lock.token
    await locks.close()


async def queued(server: Server, n: int, name: str = "n") -> None:
    client = server.client()
    while await client.zcard(f"{{labsched:t}}:lockq:{name}") != n:  # noqa: ASYNC110
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("name", ["", "  ", None, 7, b"n", "\ud800"])
async def test_a_name_that_is_no_text_is_refused(name):
    with pytest.raises(ValueError):
        await offline().acquire(name, at_most_for=30)


@pytest.mark.parametrize("most", [0, -1, float("nan"), float("inf"), "soon", None, "-5s", True, [], 0.0001])
async def test_an_at_most_for_that_makes_no_sense_is_refused(most):
    locks = offline()
    for call in (locks.acquire, locks.wait):
        with pytest.raises(ConfigError):
            await call("n", at_most_for=most)
    with pytest.raises(ValueError):
        locks.guarded("n", at_most_for=most)


@pytest.mark.parametrize("least", [-1, float("nan"), 31, "31s", "x", None])
async def test_an_at_least_for_that_makes_no_sense_is_refused(least):
    with pytest.raises(ValueError):
        await offline().acquire("n", at_most_for=30, at_least_for=least)


@pytest.mark.parametrize("most", [30, 30.0, "30", "30s", "PT30S", timedelta(seconds=30), "30000ms"])
async def test_durations_come_in_every_usual_form(anyserver, most):
    lock = await manager(anyserver).acquire("n", at_most_for=most)
    assert lock.at_most_for == 30 and 29 < lock.left <= 30


@pytest.mark.parametrize("owner", ["", 7])
def test_an_owner_that_is_no_text_is_refused(owner):
    with pytest.raises(ValueError):
        offline(owner)


async def test_nothing_is_left_behind_but_what_expires(anyserver):
    locks = manager(anyserver)
    lock = await locks.acquire("n", at_most_for=5, at_least_for=0.1)
    waiting = asyncio.create_task(locks.wait("n", at_most_for=5, timeout=10))
    await queued(anyserver, 1)
    await lock.release()
    await (await waiting).release()
    await locks.close()
    client = anyserver.client(decode_responses=True)
    kept = {"{labsched:t}:token", "{labsched:t}:events", "{labsched:t}:counts"}
    for key in set(await client.keys("*")) - kept:
        assert 0 < await client.pttl(key) <= 70_000, key
