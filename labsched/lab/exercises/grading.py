"""`check`: an answer judged by what it does. Graders live in `nNN.py`, one file for each notebook.

A grader takes the answer and returns a Verdict. It never compares text, and never says a bare no: a refused answer gets
the guarantee that it broke, a sentence with times, and the shortest run that shows it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import re
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from labsched.errors import ConfigError

from .progress import entry, keep

LONGEST = 60.0  # seconds that a check may take; those of the course take a few at most

Grader = Callable[[Any], "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """`ok`, or what is missing. `guarantee`: the id of what was broken, empty when nothing was; `picture` shows it."""

    ok: bool
    sentence: str
    guarantee: str = ""
    picture: Any = field(default=None, repr=False)

    def __repr__(self) -> str:
        if self.ok:
            return f"right: {self.sentence}"
        broken = f"{self.guarantee}: " if self.guarantee else ""
        return f"not yet: {broken}{self.sentence}"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        text = {"text/plain": repr(self)}
        if self.picture is None:
            return text
        png, metadata = self.picture._repr_png_()
        return {**text, "image/png": png}, {"image/png": metadata}


def check(id: str, answer: Any) -> Verdict:
    """Judge an answer; what it raises is part of the verdict. ConfigError for an exercise that does not exist."""
    grader = _grader(id)
    try:
        with _ending():
            verdict = grader(answer)
    except Exception as error:
        verdict = _raised(error)
    except _Endless:
        verdict = Verdict(
            False, f"your code did not come to an end within {LONGEST:g} s: which loop never stops?"
        )
    known = entry(id, "exercise")
    known.tries += not known.solved
    known.solved = known.solved or verdict.ok
    keep(id, known)
    return verdict


class _Endless(BaseException):
    """Raised in the middle of an answer that does not end; no `except Exception` of it stops this."""


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """A bare `while True: pass` sends no command that could be counted and awaits nothing: only another thread can
    interrupt it."""
    here = ctypes.c_ulong(threading.get_ident())
    interrupt = ctypes.pythonapi.PyThreadState_SetAsyncExc
    timer = threading.Timer(LONGEST, interrupt, (here, ctypes.py_object(_Endless)))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _grader(id: str) -> Grader:
    number, _, _ = id.partition("-")
    module = _module(number) if re.fullmatch(r"\d\d", number) else None
    graders: dict[str, Grader] = getattr(module, "GRADERS", {})
    if id not in graders:
        there = ", ".join(graders) or "none in that notebook"
        raise ConfigError(f"there is no exercise {id!r}, there are: {there}")
    return graders[id]


def _module(number: str) -> ModuleType | None:
    name = f"{__package__}.n{number}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def _raised(error: Exception) -> Verdict:
    """The learner's own line, not ours, and no violation of anything."""
    theirs = [
        frame for frame in traceback.extract_tb(error.__traceback__) if "labsched" not in frame.filename
    ]
    line = f" (line {theirs[-1].lineno}: {theirs[-1].line})" if theirs and theirs[-1].line else ""
    return Verdict(False, f"your code raised {type(error).__name__}: {error}{line}")
