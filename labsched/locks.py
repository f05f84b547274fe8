"""Named leases: a lock is held until it is released or its time is over, whichever comes first.

    free ──acquire──> held until now + at_most_for ──release──> free, or closed until at_least_for is over
      ▲                │ extend moves the end           │
      └──── expired ───┘                                └──> handed to the first live waiter

The server's clock judges every lease; the holder keeps a monotonic deadline, counted from before it sent
the call that proved the lease, so that it stops believing no later than the server does.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar, cast

import redis.asyncio as aioredis

from .clock import Host
from .durations import seconds
from .errors import ConfigError, LabschedError, LockLost, LockNotAcquired, OutcomeUnknown
from .holding import around
from .mailbox import Mailbox
from .model import LockInfo, as_datetime
from .store import Store, text, texts

Duration = float | int | str | timedelta
P = ParamSpec("P")
T = TypeVar("T")

REFRESH = 1.0  # seconds after which a waiter looks for itself and gives a sign of life
ALIVE = 3.0  # seconds after which a silent waiter counts as dead
GIVE_UP = 1.0  # seconds that a cancelled waiter spends at most on leaving the queue
LISTED = 10_000  # locks in one listing
_RELEASED = "was released"


class Lock:
    """A lock that was granted. `token` grows with every grant: hand it to whatever the lock protects."""

    def __init__(self, manager: LockManager, terms: _Terms, token: int, until: int, deadline: float) -> None:
        self.name = terms.name
        self.owner = manager.owner
        self.token = token
        self.at_most_for = terms.most_ms / 1000
        self.manager = manager
        self._until, self._deadline = until, deadline
        self._extends = 0
        self.over: str | None = None  # why it is held no more, when that was told
        self.on_move: Callable[[], None] | None = None  # told when the deadline changes

    def __repr__(self) -> str:
        return f"<Lock {self.name!r} token={self.token} owner={self.owner!r} until={self.lock_until:%H:%M:%S.%f}>"

    @property
    def lock_until(self) -> datetime:
        """When the server will consider the lock free, by the server's clock."""
        return cast(datetime, as_datetime(self._until))

    @property
    def left(self) -> float:
        """Seconds for which the lock is surely held, 0 when it is not."""
        return 0.0 if self.over else max(self._deadline - self.manager.host.clock.monotonic(), 0.0)

    @property
    def released(self) -> bool:
        return self.over == _RELEASED

    @property
    def held(self) -> bool:
        return self.left > 0

    def assert_held(self) -> None:
        """Raises `LockLost` when the lock was released, lost or is past its local deadline. Sends nothing."""
        if not self.held:
            raise LockLost(f"lock {self.name!r} (token {self.token}) {self.over or 'has expired'}")

    async def extend(self, at_most_for: Duration | None = None) -> None:
        """The lock ends `at_most_for` from now (default: as when taken), be that later or earlier.

        The token stays. Raises `LockLost` when the lock had ended, with or without a successor.
        """
        most = _ms("at_most_for", self.at_most_for if at_most_for is None else at_most_for, least=1)
        if self.over:
            self.assert_held()
        sooner = self.manager.host.clock.monotonic() + most / 1000
        if sooner < self._deadline:
            # The server may shorten it at any moment from here on, whatever becomes of the reply.
            self._deadline = sooner
            if self.on_move:
                self.on_move()
        self._extends += 1
        reply, sent, _ = await self.manager._store.timed(
            "lock_extend", self.name, self.owner, self.token, most, self._extends
        )
        if text(reply[0]) == "refused":
            self._end("was lost: " + _why(reply))
            self.assert_held()
        self._until = int(reply[1])
        self._deadline = _deadline(sent, self._until, int(reply[2]))
        if self.on_move:
            self.on_move()

    async def release(self) -> None:
        """Lets go; what is left of `at_least_for` stays closed. Doing it again does nothing.

        Raises `LockLost` when the lock had ended before, also when nobody has taken it since.
        """
        if self.released:
            return
        manager = self.manager
        reply, _, tries = await manager._store.timed(
            "lock_release", self.name, self.owner, self.token, manager._box
        )
        word = text(reply[0])
        # A refused repeat, sent while the lease ran: an earlier copy has done it, others held it since.
        if word == "refused" and not (tries > 1 and self.held):
            self._end("was lost: " + _why(reply))
            self.assert_held()
        self._end(_RELEASED)
        if word == "ok":
            manager._deliver(text(reply[1]))
        else:
            manager._nudge()

    def _end(self, why: str) -> None:
        self.over = why
        if self.on_move:
            self.on_move()


class LockManager:
    """Locks of one namespace on one Redis client. Not reentrant: an owner that asks twice gets None.

    `redis` is any `redis.asyncio.Redis`, decoding or not. Waiting needs a second connection of its pool
    for as long as somebody waits; one with room for one only is refused by `wait` with a `ConfigError`.
    Calls raise `Unreachable`, `OutcomeUnknown` or `ServerUnsuitable` when the server does not answer as it
    should; a lost reply is answered by sending the call again, which cannot take a lock twice.
    """

    def __init__(
        self,
        redis: aioredis.Redis,
        namespace: str = "labsched",
        owner: str | None = None,
        host: Host | None = None,
        on_trouble: Callable[[str], None] | None = None,
        *,
        patience: float | None = 10.0,
    ) -> None:
        self.host = host or Host()
        self._store = Store(redis, namespace, host=self.host, patience=patience, on_trouble=on_trouble)
        self.on_trouble = self._store.on_trouble
        self._box = self.host.new_id()
        self.owner = f"{self.host.hostname}:{self.host.pid}:{self._box[:8]}" if owner is None else owner
        if not isinstance(self.owner, str) or not self.owner:
            raise ConfigError(f"owner {owner!r} is refused: it must be a non-empty text")
        self._mail = Mailbox(self._store, self._box, self._deliver, wanted=lambda: bool(self._waiting))
        self._waiting: dict[str, asyncio.Future[str]] = {}  # nonce -> what its mailbox says

    async def acquire(self, name: str, at_most_for: Duration, at_least_for: Duration = 0) -> Lock | None:
        """The lock, or None when it is held, closed by `at_least_for`, or somebody waits for it."""
        terms, nonce = _Terms(name, at_most_for, at_least_for), self.host.new_id()
        try:
            reply, sent, tries = await self._store.timed(
                "lock_acquire", name, self.owner, nonce, terms.most_ms, terms.least_ms
            )
            granted = text(reply[0]) == "ok"
            if tries > 1:  # a copy may still be on its way
                await self._leave(name, nonce, keep=granted)
        except (asyncio.CancelledError, OutcomeUnknown):
            await self._leave(name, nonce)
            raise
        return self._granted(terms, reply, sent) if granted else None

    async def wait(
        self, name: str, at_most_for: Duration, at_least_for: Duration = 0, timeout: Duration | None = None
    ) -> Lock | None:
        """The lock as soon as it is this caller's turn, first come first served; None after `timeout`.

        `timeout=None` waits for ever. A caller that is cancelled or runs out of time has left the queue, and
        has given back a grant that came in that moment.
        """
        terms = _Terms(name, at_most_for, at_least_for)
        limit = None if timeout is None else seconds(timeout, "timeout")
        if limit == 0:
            return await self.acquire(name, at_most_for, at_least_for)
        self._check_room()
        try:
            async with asyncio.timeout(limit) as bell:
                while True:
                    lock = await self._queue(terms, self.host.new_id())
                    if lock:
                        return lock
        except TimeoutError:
            if not bell.expired():
                raise
            return None

    @contextlib.asynccontextmanager
    async def hold(
        self,
        name: str,
        at_most_for: Duration,
        at_least_for: Duration = 0,
        keep_alive: bool = False,
        timeout: Duration | None = 0,
    ) -> AsyncIterator[Lock]:
        """Holds the lock around a block; `LockNotAcquired` when it is taken (after waiting for `timeout`).

        When the lock is about to end before the block does (2 % before, at most 0.5 s), the block is
        cancelled and exits with `LockLost`. With `keep_alive` the lock is renewed every third of
        `at_most_for`, and the block is cancelled only when that fails.
        """
        lock = await self.wait(name, at_most_for, at_least_for, timeout)
        if lock is None:
            raise LockNotAcquired(f"lock {name!r} is taken")
        async with around(lock, keep_alive):
            yield lock

    def guarded(
        self, name: str, at_most_for: Duration, at_least_for: Duration = 0, keep_alive: bool = False
    ) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T | None]]]:
        """Decorates a coroutine function: it runs holding the lock, and is skipped (None) when that is taken."""
        check_terms(name, at_most_for, at_least_for)

        def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T | None]]:
            if not asyncio.iscoroutinefunction(function):
                raise ConfigError(f"guarded() needs a coroutine function, got {function!r}")

            @functools.wraps(function)
            async def guarded_function(*args: P.args, **kwargs: P.kwargs) -> T | None:
                lock = await self.acquire(name, at_most_for, at_least_for)
                if lock is None:
                    return None
                async with around(lock, keep_alive):
                    return await function(*args, **kwargs)

            return guarded_function

        return decorate

    async def locks(self) -> list[LockInfo]:
        """Every lock that cannot be taken now, the one that ends first first."""
        reply, _, _ = await self._store.timed("lock_list", LISTED)
        now, flat = int(reply[0]), texts(reply[1:])
        return [
            LockInfo(
                name=flat[i],
                owner=flat[i + 1],
                token=int(flat[i + 2]),
                lock_until=int(flat[i + 3]),
                left=(int(flat[i + 3]) - now) / 1000,
                released=flat[i + 4] == "1",
                waiters=int(flat[i + 5]),
            )
            for i in range(0, len(flat), 6)
        ]

    async def close(self) -> None:
        """Stops listening for hand-overs. Locks that are held stay held; the client stays open."""
        await self._mail.stop()

    async def __aenter__(self) -> LockManager:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _granted(self, terms: _Terms, reply: Any, sent: float) -> Lock:
        until = int(reply[2])
        return Lock(self, terms, int(reply[1]), until, _deadline(sent, until, int(reply[3])))

    async def _queue(self, terms: _Terms, nonce: str) -> Lock | None:
        """One place in the queue until the lock is ours. None: we had it and learned too late."""
        try:
            lock, resent = await self._turn(terms, nonce)
            if resent:  # a copy may still be on its way
                await self._leave(terms.name, nonce, keep=lock is not None)
            return lock
        except (asyncio.CancelledError, LabschedError):
            await self._leave(terms.name, nonce)
            raise
        finally:
            self._waiting.pop(nonce, None)

    async def _turn(self, terms: _Terms, nonce: str) -> tuple[Lock | None, bool]:
        """The lock when its turn has come, and whether a call was sent more than once."""
        loop, resent = asyncio.get_running_loop(), False
        while True:
            told = self._waiting[nonce] = loop.create_future()
            self._mail.start()
            reply, sent, tries = await self._store.timed(
                "lock_wait", terms.name, self.owner, nonce, terms.most_ms, terms.least_ms, self._box,
                int(ALIVE * 1000),
            )  # fmt: skip
            resent |= tries > 1
            word = text(reply[0])
            if word != "wait":
                return self._granted(terms, reply, sent) if word == "ok" else None, resent
            first_in = int(reply[1] or 0) / 1000 + 0.001 if reply[1] else REFRESH
            timer = loop.call_later(min(first_in, REFRESH), _tell, told, "again")
            line = await told
            timer.cancel()
            if line.startswith("granted"):
                _, token, until = line.split()
                # Server time at `sent` was at most `now` of its reply: that fixes the deadline without
                # another round trip.
                deadline = _deadline(sent, int(until), int(reply[2]))
                return Lock(self, terms, int(token), int(until), deadline), resent

    async def _leave(self, name: str, nonce: str, *, keep: bool = False) -> None:
        """No copy of this call takes anything from here on, and what it took is given back, but for `keep`.

        If this cannot be sent, the lease or ALIVE ends what it took.
        """
        try:
            async with asyncio.timeout(GIVE_UP):
                reply, _, _ = await self._store.timed("lock_leave", name, nonce, self._box, int(keep))
                self._deliver(text(reply[1]))
        except (LabschedError, TimeoutError) as error:
            self.on_trouble(f"could not leave the queue of lock {name!r}: {error}")

    def _deliver(self, line: str) -> None:
        nonce, _, rest = line.partition(" ")
        if nonce in self._waiting:
            _tell(self._waiting[nonce], rest)

    def _nudge(self) -> None:
        for told in self._waiting.values():
            _tell(told, "again")

    def _check_room(self) -> None:
        redis = self._store.redis
        pool = getattr(redis, "connection_pool", None)
        if getattr(redis, "single_connection_client", False) or getattr(pool, "max_connections", 2) < 2:
            raise ConfigError("waiting for a lock needs a client whose pool allows at least 2 connections")


def check_terms(name: str, at_most_for: Duration, at_least_for: Duration) -> None:
    """Raises `ConfigError` (a ValueError) for what no lock can be taken with. Sends nothing."""
    _Terms(name, at_most_for, at_least_for)


class _Terms:
    """What a caller asks for, checked."""

    __slots__ = ("least_ms", "most_ms", "name")

    def __init__(self, name: str, at_most_for: Duration, at_least_for: Duration) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"lock name {name!r} is refused: it must be a non-empty text")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"lock name {name!r} is refused: it holds a lone surrogate") from None
        self.name = name
        self.most_ms = _ms("at_most_for", at_most_for, least=1)
        self.least_ms = _ms("at_least_for", at_least_for, least=0)
        if self.least_ms > self.most_ms:
            raise ConfigError(f"at_least_for {at_least_for!r} is longer than at_most_for {at_most_for!r}")


def _ms(what: str, value: Duration, least: int) -> int:
    return math.ceil(seconds(value, what, minimum=least / 1000) * 1000 - 1e-6)


def _deadline(sent: float, until: int, now: int) -> float:
    """The monotonic time at which a lease has surely not ended: `sent` is not after the server's `now`,
    which is cut to whole ms."""
    return sent + (until - now - 1) / 1000


def _tell(told: asyncio.Future[str], word: str) -> None:
    if not told.done():
        told.set_result(word)


def _why(reply: Any) -> str:
    return "it expired" if text(reply[2]) == "expired" else "somebody else took it, or it was released"
