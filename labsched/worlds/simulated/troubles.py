"""Exceptions that nobody caught: none is lost."""

from __future__ import annotations

import asyncio
import logging
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .node import current_node
from .tasks import SimTask

if TYPE_CHECKING:
    from .loop import SimLoop

logger = logging.getLogger("labsched.simulated")


@dataclass(frozen=True)
class Trouble:
    """One exception that nobody caught. `at` is virtual seconds; `node` and `task` are names, or None."""

    at: float
    node: str | None
    task: str | None
    message: str
    exception: BaseException | None

    def __str__(self) -> str:
        who = ", ".join(name for name in (self.node or "outside", self.task) if name)
        what = f": {self.exception!r}" if self.exception is not None else ""
        return f"at {self.at:.6f} s, {who}: {self.message}{what}"


class Troubles:
    """Collects and logs them. A failed task is one when it is forgotten before anybody asked for its
    result, or when the list is looked at while nobody has."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self._list: list[Trouble] = []
        self._failed: dict[weakref.ref[SimTask], float] = {}

    def look(self, task: SimTask) -> None:
        """`task` is done: remember when, if it failed and nobody has asked yet."""
        if task._log_traceback:
            task.failed_at = self._loop.time()
            self._failed[weakref.ref(task, self._gone)] = task.failed_at

    def _gone(self, ref: weakref.ref[SimTask]) -> None:
        self._failed.pop(ref, None)

    def add(self, context: dict[str, Any]) -> None:
        """asyncio's context of an exception."""
        task = context.get("task") or context.get("future")
        handle = context.get("handle")
        node = task.node if isinstance(task, SimTask) else getattr(handle, "lane", None) or current_node()
        failed_at = getattr(task, "failed_at", None)
        trouble = Trouble(
            at=self._loop.time() if failed_at is None else failed_at,
            node=getattr(node, "name", None),
            task=task.get_name() if isinstance(task, asyncio.Task) else None,
            message=context.get("message") or "unhandled exception",
            exception=context.get("exception"),
        )
        self._list.append(trouble)
        logger.error("%s", trouble, exc_info=trouble.exception)

    def known(self) -> list[Trouble]:
        """All so far, by time; a failed task that nobody has asked counts, and counts once.

        When a task is forgotten depends on Python's version, when it failed does not.
        """
        for ref in list(self._failed):
            task = ref()
            if task is not None and task._log_traceback:
                error = task.exception()  # which also tells asyncio that it was seen
                self.add({"message": "task failed and nobody looked", "exception": error, "task": task})
        self._failed.clear()
        return sorted(self._list, key=lambda trouble: trouble.at)

    def check(self) -> None:
        troubles = self.known()
        if troubles:
            errors = [_as_exception(trouble) for trouble in troubles]
            text = "\n".join(f"  {trouble}" for trouble in troubles)
            raise BaseExceptionGroup(f"nobody caught\n{text}\n", errors)


def _as_exception(trouble: Trouble) -> BaseException:
    return trouble.exception if trouble.exception is not None else RuntimeError(str(trouble))
