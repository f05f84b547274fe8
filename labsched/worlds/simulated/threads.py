"""A simulation beside another event loop of the same thread, as in a notebook."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_thread(call: Callable[[], T], *, interrupt: Callable[[], object]) -> T:
    """`call()` in a thread of its own, waited for; what it returns or raises.

    asyncio allows one running loop per thread, and the tricks that nest loops fail on Python 3.14. Ctrl-C
    calls `interrupt`, waits for the thread to end, and is raised.
    """
    outcome: Future[T] = Future()
    context = contextvars.copy_context()

    def body() -> None:
        try:
            outcome.set_result(context.run(call))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=body, name="labsched-simulation", daemon=True)
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        interrupt()
        thread.join()
        raise
    return outcome.result()
