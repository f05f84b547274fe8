"""A learner's coroutine on a machine of the simulated world. It may not ask this computer's clock, nor loop or raise.

What it does wrong of that kind is kept, with its line, and breaks no guarantee.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import FrameType
from typing import Any

from labsched.worlds.explorer_watch import ClockCall, watched
from labsched.worlds.simulated.simulation import Simulation

from .answers import rebuilt

LINES = 200_000  # of the learner's file between two waits: reference answers need fewer than a hundred


class Misuse(Exception):
    """The learner's code did what no answer may do; the text is a sentence about "your code"."""


class Learner:
    """An answer, and the first trouble that any copy of it made."""

    def __init__(self, answer: Any) -> None:
        rebuilt(answer)  # refused here, in one line, when it is no plain function
        self._answer, self._file = answer, answer.__code__.co_filename
        self.trouble: Exception | None = None

    def copy(self) -> Callable[..., Awaitable[Any]]:
        """A copy that shares nothing with others, for one life of one machine."""
        built = rebuilt(self._answer)

        async def call(*args: Any) -> Any:
            try:
                made = built(*args)
                if not isinstance(made, Coroutine):
                    raise Misuse("your function has to be an `async def`")
                return await _Stepped(made, self._file)
            except Exception as error:
                self.trouble = self.trouble or error
                raise Stopped from None

        return call

    def run(self, sim: Simulation, until: float) -> None:
        """Let the world go on; raises what the learner's code did wrong, or what nobody caught."""
        sim.advance(until)
        if self.trouble is not None:
            raise self.trouble
        try:
            sim.check_troubles()
        except ExceptionGroup as several:  # of tasks that the learner's code started
            raise _first(several) from None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class Stopped(Exception):
    """This copy of the answer is at its end; why, is kept with the Learner. Programs around it just return."""


class _Stepped:
    """Awaits a coroutine step by step, and looks at each step."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], file: str) -> None:
        self._coroutine, self._file = coroutine, file

    def __await__(self) -> Generator[Any, Any, Any]:
        go: Callable[[], Any] = lambda: self._coroutine.send(None)  # noqa: E731
        while True:
            try:
                asked = self._step(go)
            except StopIteration as done:
                return done.value
            try:
                yield asked
                go = lambda: self._coroutine.send(None)  # noqa: E731
            except BaseException as error:
                thrown = error
                go = lambda: self._coroutine.throw(thrown)  # noqa: E731, B023

    def _step(self, go: Callable[[], Any]) -> Any:
        left = LINES

        def look(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename != self._file:
                return None
            left -= event == "line"
            if left < 0:
                raise Misuse(f"your code loops without ever waiting (line {frame.f_lineno})")
            return look

        before = sys.gettrace()
        sys.settrace(look)
        try:
            return watched(go)
        except ClockCall as call:
            line = next((f" (line {line})" for file, line in call.stack if file == self._file), "")
            raise Misuse(
                f"your code calls {call.name}{line}: that is this computer's clock, not the machine's"
            ) from None
        finally:
            sys.settrace(before)
