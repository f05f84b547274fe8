"""Handles that know their lane, and the instant at which several of them fall due."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .node import Lane
    from .turns import Turns


class SimHandle(asyncio.Handle):
    """A callback that waits for its turn."""

    __slots__ = ("lane",)

    _callback: Any
    _args: Any
    _context: Any

    # asyncio's own __init__ would ask for debug mode each time; this is the hottest constructor of all.
    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], loop: Turns,
        context: contextvars.Context, lane: Lane,
    ) -> None:  # fmt: skip
        self._context = context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = self._source_traceback = None
        self.lane = lane


class SimTimer(asyncio.TimerHandle):
    """A callback that waits for its instant."""

    __slots__ = ("instant", "lane")

    _callback: Any
    _args: Any
    _context: Any
    _loop: Turns

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], loop: Turns,
        context: contextvars.Context, lane: Lane,
    ) -> None:  # fmt: skip
        self._when = when
        self._scheduled = False
        self._context = context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = self._source_traceback = None
        self.lane = lane
        self.instant: Instant | None = None

    def cancel(self) -> None:
        # As asyncio's, without asking for debug mode: every `asyncio.sleep` ends with it.
        if not self._cancelled:
            self._cancelled = True
            if self.instant is not None:
                self._loop._timer_handle_cancelled(self)
            self._callback = self._args = None


class Instant:
    """Something of the loop falls due at `when`; an entry of SimPy's queue, which `Environment.step` could
    process as an event. A real one costs three times as much.

    `awaited` counts what still wants it to happen; at 0 the loop skips it, and time does not stop there.
    """

    __slots__ = ("awaited", "callback", "timers", "when")

    _ok = True

    def __init__(self, when: float, callback: Callable[[Any], None], awaited: int = 0) -> None:
        self.when = when
        self.callback = callback
        self.timers: list[SimTimer] = []
        self.awaited = awaited

    @property
    def callbacks(self) -> list[Callable[[Any], None]]:
        return [self.callback]

    @callbacks.setter
    def callbacks(self, _: None) -> None:
        """SimPy marks an event as processed so."""
