"""SIGTERM and Ctrl-C: the first asks to stop, a later one insists."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

# Seconds in which a signal that comes twice counts once: `timeout` and some supervisors send it to the
# process and then to its group.
ECHO = 0.3
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def stopping(asked: Callable[[str], None], again: Callable[[str], None]) -> Iterator[asyncio.Event]:
    """An event that the first signal sets. Each gets the signal's name; inside a running loop only."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    first = 0.0

    def came(number: signal.Signals) -> None:
        nonlocal first
        if not stop.is_set():
            first = loop.time()
            stop.set()
            asked(number.name)
        elif loop.time() - first >= ECHO:
            again(number.name)

    for number in SIGNALS:
        loop.add_signal_handler(number, came, number)
    try:
        yield stop
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
