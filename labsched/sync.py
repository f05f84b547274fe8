"""The same calls for scripts without asyncio: a private event loop on a thread of its own does the work.

A blocked thread cannot be cancelled. So where the asyncio version cancels a block that has lost its lock,
here the block asks (`lock.held`, `lock.assert_held()`), and leaving it raises `LockLost`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

import redis
import redis.asyncio as aioredis

from . import locks as _locks
from .clock import Host
from .errors import ConfigError, LockNotAcquired
from .holding import keep, let_go
from .locks import Duration
from .model import LockInfo

P = ParamSpec("P")
T = TypeVar("T")


class LoopThread:
    """An event loop on a thread of its own; `call` may be used from any other thread."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs the coroutine on the loop and returns what it returns. Ctrl-C cancels it."""
        if self.loop.is_closed():
            coroutine.close()
            raise RuntimeError("this object was closed")
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs the coroutine on the loop, without waiting for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self) -> None:
        """Cancels what still runs and lets it clean up, then ends the thread."""
        if self.loop.is_closed():
            return
        self.call(_cancel_the_others())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _cancel_the_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


_KINDS: dict[type, type] = {
    redis.Connection: aioredis.Connection,
    redis.SSLConnection: aioredis.SSLConnection,
    redis.UnixDomainSocketConnection: aioredis.UnixDomainSocketConnection,
}
_SAME = ("host", "port", "path", "db", "username", "password", "socket_timeout", "socket_connect_timeout")


def async_client(client: str | redis.Redis | aioredis.Redis) -> aioredis.Redis:
    """A `redis.asyncio` client for a URL or like a `redis.Redis`; an asyncio one is taken as it is."""
    if isinstance(client, str):
        return aioredis.Redis.from_url(client)
    if isinstance(client, aioredis.Redis):
        return client
    pool = getattr(client, "connection_pool", None)
    kind = _KINDS.get(getattr(pool, "connection_class", object))
    if pool is None or kind is None:
        raise ConfigError(
            f"redis {client!r} is refused: allowed are a URL, redis.Redis and redis.asyncio.Redis"
        )
    options = {k: v for k, v in pool.connection_kwargs.items() if k in _SAME or k.startswith("ssl_")}
    return aioredis.Redis.from_pool(aioredis.ConnectionPool(connection_class=kind, **options))


class Lock:
    """A lock that was granted; see `labsched.locks.Lock`."""

    def __init__(self, inner: _locks.Lock, thread: LoopThread) -> None:
        self._inner, self._thread = inner, thread

    def __repr__(self) -> str:
        return repr(self._inner)

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def owner(self) -> str:
        return self._inner.owner

    @property
    def token(self) -> int:
        return self._inner.token

    @property
    def lock_until(self) -> datetime:
        return self._inner.lock_until

    @property
    def left(self) -> float:
        return self._inner.left

    @property
    def held(self) -> bool:
        return self._inner.held

    def assert_held(self) -> None:
        self._inner.assert_held()

    def extend(self, at_most_for: Duration | None = None) -> None:
        self._thread.call(self._inner.extend(at_most_for))

    def release(self) -> None:
        self._thread.call(self._inner.release())


class LockManager:
    """`labsched.locks.LockManager` without asyncio, for any number of threads.

    `redis` is a URL, a `redis.Redis`, or a `redis.asyncio.Redis` that nothing else uses: its connections
    then belong to this manager, and `close()` (or leaving the `with` block) closes them.
    """

    def __init__(
        self,
        redis: str | redis.Redis | aioredis.Redis,
        namespace: str = "labsched",
        owner: str | None = None,
        host: Host | None = None,
        on_trouble: Callable[[str], None] | None = None,
        *,
        patience: float | None = 10.0,
    ) -> None:
        self._client = async_client(redis)
        self._inner = _locks.LockManager(self._client, namespace, owner, host, on_trouble, patience=patience)
        self._thread = LoopThread("labsched-locks")

    @property
    def owner(self) -> str:
        return self._inner.owner

    def acquire(self, name: str, at_most_for: Duration, at_least_for: Duration = 0) -> Lock | None:
        return self._wrap(self._thread.call(self._inner.acquire(name, at_most_for, at_least_for)))

    def wait(
        self, name: str, at_most_for: Duration, at_least_for: Duration = 0, timeout: Duration | None = None
    ) -> Lock | None:
        return self._wrap(self._thread.call(self._inner.wait(name, at_most_for, at_least_for, timeout)))

    @contextlib.contextmanager
    def hold(
        self,
        name: str,
        at_most_for: Duration,
        at_least_for: Duration = 0,
        keep_alive: bool = False,
        timeout: Duration | None = 0,
    ) -> Iterator[Lock]:
        """Holds the lock around a block; `LockNotAcquired` when it is taken (after waiting for `timeout`).

        The block is not interrupted when the lock is lost: it asks `lock.held`, and exits with `LockLost`.
        """
        lock = self.wait(name, at_most_for, at_least_for, timeout)
        if lock is None:
            raise LockNotAcquired(f"lock {name!r} is taken")
        with self._around(lock, keep_alive):
            yield lock

    def guarded(
        self, name: str, at_most_for: Duration, at_least_for: Duration = 0, keep_alive: bool = False
    ) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
        """Decorates a function: it runs holding the lock, and is skipped (None) when that is taken."""
        _locks.check_terms(name, at_most_for, at_least_for)

        def decorate(function: Callable[P, T]) -> Callable[P, T | None]:
            if asyncio.iscoroutinefunction(function):
                raise ConfigError(f"this guarded() is for plain functions, got {function!r}")

            @functools.wraps(function)
            def guarded_function(*args: P.args, **kwargs: P.kwargs) -> T | None:
                lock = self.acquire(name, at_most_for, at_least_for)
                if lock is None:
                    return None
                with self._around(lock, keep_alive):
                    return function(*args, **kwargs)

            return guarded_function

        return decorate

    def locks(self) -> list[LockInfo]:
        return self._thread.call(self._inner.locks())

    def close(self) -> None:
        """Ends the thread and its connections. Locks that are held stay held until their end."""
        if not self._thread.loop.is_closed():
            self._thread.call(self._shut())
            self._thread.close()

    def __enter__(self) -> LockManager:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _wrap(self, inner: _locks.Lock | None) -> Lock | None:
        return None if inner is None else Lock(inner, self._thread)

    async def _shut(self) -> None:
        await self._inner.close()
        await self._client.aclose()

    @contextlib.contextmanager
    def _around(self, lock: Lock, keep_alive: bool) -> Iterator[None]:
        keeper = None
        if keep_alive:
            keeper = asyncio.run_coroutine_threadsafe(keep(lock._inner), self._thread.loop)
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            if keeper:
                keeper.cancel()
            self._thread.call(let_go(lock._inner, error))


def __getattr__(name: str) -> Any:
    # The scheduler's facade needs this module's thread: loaded when it is asked for.
    if name == "Scheduler":
        from .sync_app import Scheduler

        return Scheduler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
