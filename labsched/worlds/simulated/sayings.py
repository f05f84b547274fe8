"""What the code of a simulated world logs: kept with its virtual time, and not mixed into this process's log."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import NamedTuple

from labsched.errors import LabschedError

from .loop import SimLoop
from .node import current_node

DEFECT = "this should not happen"


class Saying(NamedTuple):
    """One line: virtual seconds, the machine, the text."""

    t: float
    node: str
    text: str


class Sayings(logging.Filter):
    """Lines of this world's nodes, oldest first, in `lines`."""

    def __init__(self, loop: SimLoop) -> None:
        super().__init__()
        self._loop = loop
        self.lines: list[Saying] = []
        self._checked = 0

    def say(self, node: str, text: str) -> None:
        self.lines.append(Saying(self._loop.time(), node, text))

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """While inside, what this world's nodes log is kept here and goes no further."""
        logger = logging.getLogger("labsched")
        logger.addFilter(self)
        try:
            yield
        finally:
            logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        node = current_node()
        if node is None or node.loop is not self._loop:
            return True
        self.say(node.name, record.getMessage())
        return False

    def check(self) -> None:
        """LabschedError when an instance has met what it thinks impossible."""
        new, self._checked = self.lines[self._checked :], len(self.lines)
        for line in new:
            if DEFECT in line.text:
                raise LabschedError(f"a defect of labsched, at {line.t:.6f} s on {line.node}: {line.text}")
