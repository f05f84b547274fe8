"""The same locks for scripts without asyncio."""

from __future__ import annotations

import threading
import time

import fakeredis
import pytest
import redis
import redis.asyncio as aioredis

from labsched.errors import ConfigError, LockLost, LockNotAcquired
from labsched.sync import LockManager


@pytest.fixture(params=["fake", "valkey", "redis"])
def connect(request):
    """Makes managers on one server, and closes them."""
    made, fake = [], fakeredis.FakeServer()

    def make(owner: str = "a") -> LockManager:
        if request.param == "fake":
            client = fakeredis.FakeAsyncRedis(server=fake)
        else:
            client = request.getfixturevalue(f"{request.param}_process").url
        made.append(LockManager(client, "t", owner=owner))
        return made[-1]

    if request.param != "fake":
        with redis.Redis.from_url(request.getfixturevalue(f"{request.param}_process").url) as admin:
            admin.flushall()
    yield make
    for locks in made:
        locks.close()


def test_acquire_extend_release_and_list(connect):
    a, b = connect("a"), connect("b")
    lock = a.acquire("n", at_most_for="30s")
    assert lock.held and lock.owner == "a" and lock.name == "n" and lock.lock_until.tzinfo
    assert b.acquire("n", at_most_for=30) is None
    lock.extend(60)
    assert lock.left > 30
    (info,) = b.locks()
    assert info.token == lock.token
    lock.release()
    with pytest.raises(LockLost):
        lock.assert_held()
    assert b.acquire("n", at_most_for=30).token > lock.token


def test_waiting_threads_take_turns(connect):
    managers, inside, most, turns = [connect("a"), connect("b")], 0, 0, []

    def work(i: int) -> None:
        nonlocal inside, most
        for _ in range(5):
            with managers[i % 2].hold("n", at_most_for=30, timeout=30):
                inside += 1
                most = max(most, inside)
                turns.append(i)
                inside -= 1

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(turns) == 20 and most == 1


def test_wait_gives_none_when_its_time_is_over(connect):
    lock = connect("a").acquire("n", at_most_for=30)
    assert connect("b").wait("n", at_most_for=30, timeout="50ms") is None
    lock.release()
    assert connect("c").acquire("n", at_most_for=30)


def test_hold_raises_when_taken_and_keeps_alive_when_asked(connect):
    a, b = connect("a"), connect("b")
    with a.hold("n", at_most_for=0.6, keep_alive=True) as lock:
        first = lock.lock_until
        with pytest.raises(LockNotAcquired), b.hold("n", at_most_for=30):
            pytest.fail("the block ran")
        while lock.lock_until == first:
            time.sleep(0.01)
        lock.assert_held()
    assert b.acquire("n", at_most_for=30)


def test_a_block_that_outlasts_its_lock_can_ask_and_exits_with_lock_lost(connect):
    with pytest.raises(LockLost), connect().hold("n", at_most_for=0.05) as lock:
        while lock.held:
            time.sleep(0.005)
        time.sleep(0.02)


def test_the_error_of_the_block_comes_through(connect):
    locks = connect()
    with pytest.raises(KeyError), locks.hold("n", at_most_for=30):
        raise KeyError("mine")
    assert locks.acquire("n", at_most_for=30)


def test_guarded_runs_or_skips(connect):
    a, b = connect("a"), connect("b")

    @b.guarded("nightly", at_most_for="30m")
    def on_b() -> str:
        return "b ran"

    @a.guarded("nightly", at_most_for="30m")
    def on_a(x: int) -> tuple[int, str | None]:
        return x, on_b()

    assert on_a(x=1) == (1, None)
    assert on_b() == "b ran"
    with pytest.raises(ConfigError):
        a.guarded("nightly", at_most_for=30)(_coroutine)
    with pytest.raises(ValueError):
        a.guarded("nightly", at_most_for=0)


async def _coroutine() -> None: ...


def test_a_sync_client_serves_as_a_pattern(valkey_process):
    pattern = redis.Redis(host="127.0.0.1", port=valkey_process.port, db=3, decode_responses=True)
    with LockManager(pattern, "t") as locks:
        assert locks.acquire("n", at_most_for=30)
    assert pattern.hget("{labsched:t}:lock:n", "released") == "0"
    pattern.flushdb()
    pattern.close()


def test_what_is_no_client_is_refused():
    with pytest.raises(ConfigError):
        LockManager(object())


def test_a_closed_manager_says_so_and_its_thread_is_gone(valkey_process):
    before = threading.active_count()
    locks = LockManager(aioredis.Redis(host="127.0.0.1", port=valkey_process.port), "t")
    locks.acquire("closing", at_most_for=30)
    locks.close()
    locks.close()
    with pytest.raises(RuntimeError, match="closed"):
        locks.acquire("n", at_most_for=30)
    assert threading.active_count() == before
