"""Between asyncio code and native SimPy processes: each may wait for the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

import simpy

from .loop import SimLoop


async def happened(event: simpy.Event) -> Any:
    """Wait for a SimPy event (a timeout, a process, a `store.get()`): its value, or its failure raised.

    Cancelling this leaves the event alone.
    """
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def tell(event: simpy.Event) -> None:
        if not event.ok:
            event.defused = True  # ours to raise, not SimPy's
        if future.done():
            return
        if event.ok:
            future.set_result(event.value)
        else:
            future.set_exception(cast(BaseException, event.value))

    if event.processed:
        tell(event)
    else:
        event.callbacks.append(tell)
    return await future


def event_of(loop: SimLoop, awaitable: Awaitable[Any]) -> simpy.Event:
    """A SimPy event for a process to `yield`: happens when the coroutine, task or future is done."""
    event = loop.env.event()

    def tell(future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            event.fail(RuntimeError("the task that the process waited for was cancelled"))
        elif (error := future.exception()) is not None:
            event.fail(cast(Exception, error))
        else:
            event.succeed(future.result())

    asyncio.ensure_future(awaitable, loop=loop).add_done_callback(tell)
    return event
