"""What a program under exploration may not do, said with the client and the line.

A program is explored by stepping its coroutine from one server command to the next, without an event loop and
without time. So it may not wait for a clock, and reading one would make its orders differ from run to run.
"""

from __future__ import annotations

import datetime
import linecache
import sys
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from labsched.errors import ConfigError

_CLOCKS = frozenset(
    call
    for name in ("sleep", "time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "perf_counter_ns")
    if callable(call := getattr(time, name))
)
# Libraries read clocks for reasons of their own (log records, metrics); only what a program does itself counts.
# hypothesis times every garbage collection, which may come in the middle of a program under test.
_LIBRARIES = sys.stdlib_module_names | {"redis", "fakeredis", "hypothesis"}
NO_TIME = "here time moves only between commands, and only with pauses=True"


class BadProgram(ConfigError):
    """The program cannot be explored: it raised, never ends, waits for a clock, or goes another way when the same
    order is run again. `client` is its name ("A"), `line` a line number or None, `order` what had happened."""

    def __init__(self, what: str, client: str, line: int | None, order: str, code: str = "") -> None:
        self.client, self.line, self.order = client, line, order
        where = "" if line is None else f", line {line}" + (f": {code}" if code else "")
        told = order if len(order) <= 60 else f"{order[:20]}...{order[-20:]}"
        super().__init__(f"client {client} {what}{where} (order: {told or 'before its first command'})")


class Place:
    """Finds the line of a program's own file, whatever it calls."""

    def __init__(self, program: Callable[..., Any]) -> None:
        inner = getattr(program, "func", program)  # of a functools.partial
        code = getattr(inner, "__code__", None) or getattr(type(inner).__call__, "__code__", None)
        self.file: str | None = getattr(code, "co_filename", None)

    def of_error(self, trace: TracebackType | None) -> tuple[int | None, str]:
        """Where an exception passed through the program."""
        found = None
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.file:
                found = trace.tb_lineno
            trace = trace.tb_next
        return self._line(found)

    def of_waiting(self, coroutine: Any) -> tuple[int | None, str]:
        """Where a suspended program stands."""
        found = None
        while coroutine is not None:
            frame = getattr(coroutine, "cr_frame", None)
            if frame is not None and frame.f_code.co_filename == self.file:
                found = frame.f_lineno
            coroutine = getattr(coroutine, "cr_await", None)
        return self._line(found)

    def of_call(self, stack: list[tuple[str, int]]) -> tuple[int | None, str]:
        """Where in the program a call came from."""
        return self._line(next((number for file, number in stack if file == self.file), None))

    def _line(self, number: int | None) -> tuple[int | None, str]:
        if number is None or self.file is None:
            return number, ""
        return number, linecache.getline(self.file, number).strip()


class ClockCall(BaseException):
    """Raised in the place of a call that reads or waits for a clock; no `except Exception` hides it."""

    def __init__(self, name: str, frame: FrameType) -> None:
        super().__init__(name)
        self.name = name
        self.stack: list[
            tuple[str, int]
        ] = []  # innermost first; a frame's line moves on when this is raised in it
        above: FrameType | None = frame
        while above is not None:
            self.stack.append((above.f_code.co_filename, above.f_lineno))
            above = above.f_back


def watched(act: Callable[..., Any], *args: Any) -> Any:
    """`act(*args)`; ClockCall when the program's own code reads a clock or sleeps."""
    before = sys.getprofile()
    sys.setprofile(_look)
    try:
        return act(*args)
    finally:
        sys.setprofile(before)


def _look(frame: FrameType, event: str, called: Any) -> None:
    if event == "c_call" and _is_clock(called):
        module = str(frame.f_globals.get("__name__", ""))
        library = module.partition(".")[0] in _LIBRARIES or module.startswith("labsched.worlds.")
        if module == "__main__" or not library:
            owner = getattr(called.__self__, "__name__", "")
            raise ClockCall(f"{owner}.{called.__name__}", frame)


def _is_clock(called: Any) -> bool:
    try:
        if called in _CLOCKS:
            return True
    except TypeError:  # a method of something that has no hash
        return False
    owner = getattr(called, "__self__", None)
    return (
        isinstance(owner, type)
        and issubclass(owner, datetime.date)
        and called.__name__ in ("now", "utcnow", "today")
    )
