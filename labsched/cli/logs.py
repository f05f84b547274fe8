"""Log lines on stderr, with UTC timestamps, and no more than one a second about a server that is away."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable


class Away(logging.Filter):
    """Lets one message a second through about an unreachable server, and remembers that it was away."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._shown = float("-inf")
        self.since: float | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith("server unreachable"):
            return True
        now = self._monotonic()
        self.since = now if self.since is None else self.since
        if now - self._shown < 1.0:
            return False
        self._shown = now
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
