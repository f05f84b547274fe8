"""Log lines on stderr, with UTC timestamps, and a memory for a server that is away."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable


class Away(logging.Filter):
    """Remembers since when the server has been away (the scheduler says so at most once a second)."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self.since: float | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if self.since is None and record.getMessage().startswith("server unreachable"):
            self.since = self._monotonic()
        return True

    def back(self) -> float | None:
        """The server has answered: for how long it had been away, once; None if it had not."""
        since, self.since = self.since, None
        return None if since is None else self._monotonic() - since


class UtcFormatter(logging.Formatter):
    """`2026-11-23 12:00:00.123Z LEVEL text`, one line, without escape sequences from foreign text."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")
        self.default_time_format, self.default_msec_format = "%Y-%m-%d %H:%M:%S", "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:
        return "".join(c if c.isprintable() else " " for c in super().formatMessage(record))


def set_up(level: str) -> Away:
    """The logger "labsched" writes to stderr from now on, from `level` upwards."""
    logger = logging.getLogger("labsched")
    for old in logger.handlers[:]:
        logger.removeHandler(old)
    handler, away = logging.StreamHandler(sys.stderr), Away()
    handler.setFormatter(UtcFormatter())
    handler.addFilter(away)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    return away
