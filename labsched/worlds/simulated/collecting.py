"""Python's garbage collector while a world runs.

By default it looks for garbage after every 700 new objects, and now and then through all of them: in a world,
whose objects live long, a fifth of the time went there and grew with it. Reference counts free nearly
everything without it.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = (50_000, 20)

_lock = threading.Lock()
_running = 0
_usual = gc.get_threshold()


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Collect less often until the last world that runs in this process stands still."""
    global _running, _usual
    with _lock:
        if not _running:
            _usual = gc.get_threshold()
            if 0 < _usual[0] < SELDOM[0]:  # 0: somebody has switched it off
                gc.set_threshold(*SELDOM, _usual[2])
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if not _running:
                gc.set_threshold(*_usual)
