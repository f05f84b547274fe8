"""Coroutines that must never run again.

Python runs the `finally` blocks of a suspended coroutine when the last reference to it goes, at the end of
the process too. A killed node runs none, so its coroutines are never let go of: this list holds a
reference to itself that nobody can drop. The price is memory: about 3 KiB for each coroutine that was still
waiting when its world ended, and whatever its local variables hold; a process that runs very many worlds
should be renewed now and then.
"""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Iterable
from typing import Any

from .tasks import SimTask

_kept: list[Any] = []
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_kept))


def keep(thing: Any) -> None:
    """Hold `thing` for as long as the process lives, and beyond its modules."""
    _kept.append(thing)


def let_go(thing: Any) -> None:
    """Undo `keep`."""
    _kept[:] = [kept for kept in _kept if kept is not thing]


def abandon(tasks: Iterable[SimTask]) -> None:
    """Drop pending tasks without a word, and without running a line of theirs."""
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        coro: Any = task.get_coro()
        if inspect.getcoroutinestate(coro) == inspect.CORO_CREATED:
            coro.close()  # nothing of it has run, so nothing of it runs now; it only forgoes a warning
        else:
            keep(coro)
