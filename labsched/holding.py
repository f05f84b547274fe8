"""A block of code that runs while a lock is held, and ends no later than the lock does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from .errors import LabschedError, LockLost

if TYPE_CHECKING:
    from .locks import Lock


@contextlib.asynccontextmanager
async def around(lock: Lock, keep_alive: bool) -> AsyncIterator[None]:
    """Releases the lock after the block. Cancels the block, which exits with `LockLost`, when the lock ends first.

    A block that was out before that end gives the rest back, so that others need not wait for it.
    """
    lock.assert_held()  # its grant may have been too long on its way
    try:
        async with asyncio.timeout(None) as bell:
            with _told(lock, bell):
                async with _kept(lock, keep_alive):
                    yield
    except GeneratorExit:
        raise  # thrown away, not run to its end: nothing may be awaited any more
    except BaseException as error:
        if bell.expired() and not isinstance(error, asyncio.CancelledError):
            raise await _lost(lock) from error
        await let_go(lock, error)
        raise
    if bell.expired():
        raise await _lost(lock)
    await let_go(lock, None)


@contextlib.contextmanager
def _told(lock: Lock, bell: asyncio.Timeout) -> Iterator[None]:
    """Keeps the bell set to the lock's local deadline, wherever that moves."""
    loop = asyncio.get_running_loop()

    def moved() -> None:
        if not bell.expired():
            bell.reschedule(None if lock.released else loop.time() + lock.left - _margin(lock.left))

    lock.on_move = moved
    moved()
    try:
        yield
    finally:
        lock.on_move = None


@contextlib.asynccontextmanager
async def _kept(lock: Lock, keep_alive: bool) -> AsyncIterator[None]:
    if not keep_alive:
        yield
        return
    keeper = asyncio.get_running_loop().create_task(keep(lock), name=f"keep-alive of lock {lock.name}")
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])


async def keep(lock: Lock) -> None:
    """Renews every third; a renewal without answer is tried again until the block's own bell rings."""
    third = lock.at_most_for / 3
    pause = third
    while True:
        await lock.manager.host.clock.sleep(pause)
        if lock.left > 2 * third:
            # The block has extended it further by itself: a renewal would shorten that.
            continue
        try:
            # Bounded, because a lost packet must not eat the rest of the lease.
            async with asyncio.timeout(third / 2):
                await lock.extend(lock.at_most_for)
            pause = third
        except LockLost:
            return
        except (LabschedError, TimeoutError) as error:
            pause = min(third / 4, 1.0)
            lock.manager.on_trouble(f"lock {lock.name!r} could not be renewed: {error or 'no answer'}")


async def let_go(lock: Lock, error: BaseException | None) -> None:
    """Releases at the end of a block. The block's own error is not hidden behind one of the release."""
    try:
        if error is None or not lock.over:
            await lock.release()
    except LockLost as lost:
        if error is None:
            raise
        error.add_note(str(lost))
    except LabschedError as trouble:
        # The work was done under the lock; that it stays closed until its end is not worth an error.
        if error is None:
            lock.assert_held()
        else:
            error.add_note(f"and releasing failed: {trouble}")
        lock.manager.on_trouble(f"lock {lock.name!r} stays until {lock.lock_until}: {trouble}")


def _margin(left: float) -> float:
    """How long before its end a block is told, so that it is out when others may come in."""
    return min(max(left / 50, 0.005), left / 10, 0.5)


async def _lost(lock: Lock) -> LockLost:
    """What the block exits with; what is left of the lock, if anything, is released."""
    lost = LockLost(
        f"lock {lock.name!r} (token {lock.token}) {lock.over or 'expired'} before its block ended"
    )
    if lock.held:
        # It ends by itself if this fails.
        with contextlib.suppress(LabschedError, TimeoutError):
            async with asyncio.timeout(lock.left):
                await lock.release()
    return lost
