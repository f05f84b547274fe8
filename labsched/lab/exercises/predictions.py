"""`predict`: say what you expect before you look. Being wrong first is what makes it stick."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any

from labsched.errors import ConfigError

from .progress import Entry, entry, keep


class Prediction:
    """What was asked and what was said. `was(actual)` reveals."""

    def __init__(self, id: str, question: str, options: Sequence[Any], said: Entry) -> None:
        self.id, self.question, self.options = id, question, tuple(options)
        self._said = said

    @property
    def answer(self) -> Any:
        """The option chosen; None before there is one."""
        return self._said.answer

    def __repr__(self) -> str:
        listed = "".join(f"\n  - {option}" for option in self.options)
        return f"{self.question}{listed}\n{self._state()}"

    def _state(self) -> str:
        if self._said.answer is None:
            return "no prediction yet: put one of these in place of the dots, and run the cell again"
        if self._said.changed:
            return (
                f"your prediction: {self._said.answer} (it was {self._said.first} before you saw the answer)"
            )
        return f"your prediction: {self._said.answer}"

    def was(self, actual: Any) -> Outcome:
        """What came of it. A prediction that is changed after this is shown as changed."""
        self._said.actual, self._said.revealed = actual, True
        if self._said.answer is not None:
            keep(self.id, self._said)
        return Outcome(self._said)


class Outcome:
    """A prediction beside what happened."""

    def __init__(self, said: Entry) -> None:
        self.right = None if said.first is None else said.first == said.actual
        self._said = said

    def __repr__(self) -> str:
        if self.right is None:
            return f"it was: {self._said.actual} (you made no prediction)"
        if self.right:
            return f"it was: {self._said.actual}, as you said"
        return f"it was: {self._said.actual}; you said {self._said.first}"


def predict(id: str, question: str, options: Sequence[Any], answer: Any | EllipsisType = ...) -> Prediction:
    """Ask, and keep the `answer` (one of `options`). Left out, it says so and stops nothing.

    ConfigError, in one line, for an answer that is none of the options.
    """
    said = entry(id, "prediction")
    if answer is ...:
        return Prediction(id, question, options, said)
    if answer not in options:
        listed = ", ".join(map(repr, options))
        raise ConfigError(f"{answer!r} is none of the options of {id}: {listed}")
    if said.first is None:
        said.first = answer
    said.changed = said.revealed and answer != said.first
    if not said.revealed:
        said.first = answer
    said.answer = answer
    keep(id, said)
    return Prediction(id, question, options, said)
