"""Serving until a signal: what `app.run()` and `labsched instance` have in common."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    from .app import Scheduler

# Seconds in which a signal that comes twice counts once: `timeout` and some supervisors send it to the
# process and then to its group.
ECHO = 0.3
SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger("labsched")


@contextlib.contextmanager
def stopping(asked: Callable[[str], None], again: Callable[[str], None]) -> Iterator[asyncio.Event]:
    """An event that the first signal sets. Each call gets the signal's name; inside a running loop only."""
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


async def serve(app: Scheduler, name: str | None) -> None:
    """Be an instance until a signal or a drain from elsewhere, whether it has joined yet or not."""
    loop, joined = asyncio.get_running_loop(), asyncio.Event()
    with stopping(_asked, _insisted) as stop:
        member = loop.create_task(_be_member(app, name, stop, joined))
        waiting = loop.create_task(stop.wait())
        await asyncio.wait((member, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not member.done() and not joined.is_set():
            # The server has not answered yet: there is nothing to drain.
            member.cancel()
        await asyncio.wait((member,))
    if not member.cancelled():
        member.result()


BODY = "labsched body "  # how the process of a process runner's body is called


class _Loading:
    """Set while somebody else's code is only being loaded."""

    what: str | None = None


@contextlib.contextmanager
def only_loading(what: str) -> Iterator[None]:
    """`run()` called inside is a mistake of the code that is being loaded: ConfigError."""
    before, _Loading.what = _Loading.what, what
    try:
        yield
    finally:
        _Loading.what = before


def may_run() -> bool:
    """Whether this process is one that `run()` was meant for. Raises ConfigError while code is only loaded."""
    if _Loading.what is not None:
        raise ConfigError(
            f"{_Loading.what} calls run() when it is loaded: put that under `if __name__ == '__main__':`"
        )
    # A body's process imports the script again, down to its last line.
    return not multiprocessing.current_process().name.startswith(BODY)


def speak(level: str) -> None:
    """Log to stderr, unless the program has set up logging itself."""
    if not logging.getLogger().handlers and not log.handlers:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
        log.setLevel(level)


def end_process() -> None:
    """End this process though bodies in threads go on: they cannot be stopped, and nobody waits for them."""
    busy = [t for t in threading.enumerate() if t.name.startswith("labsched-body")]
    for thread in busy:
        thread.join(0.2)
    left = [t for t in busy if t.is_alive()]
    if left:
        log.warning("%d bodies in threads still run and are cut off", len(left))
        logging.shutdown()
        os._exit(0)


def _asked(name: str) -> None:
    log.info("%s: draining; once more ends at once", name)


def _insisted(name: str) -> None:
    log.warning("%s again: ending at once, the lease runs out", name)
    # Nothing may be waited for now. Children of the process runner end when their pipe closes.
    os._exit(1)


async def _be_member(app: Scheduler, name: str | None, stop: asyncio.Event, joined: asyncio.Event) -> None:
    async with app.instance(name) as member:
        joined.set()
        waits = [asyncio.ensure_future(event.wait()) for event in (stop, member.drained)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
