"""Tasks and futures that hash and are named alike in every run.

asyncio keeps tasks in sets (TaskGroup, wait, as_completed) and walks them; hashed by address, their order
would differ from process to process. asyncio's default names count through the whole process. Here each
node counts for itself, so that a Python version that makes a task more in some function of asyncio moves
nothing on the other nodes. (A set of bare coroutines stays unordered: give `as_completed` tasks.)
"""

from __future__ import annotations

import asyncio
from typing import Any

from .node import Lane, Node


class SimFuture(asyncio.Future[Any]):
    """A future that hashes by its number, taken when first asked for: most futures are never in a set."""

    __slots__ = ("serial",)

    serial: int

    def __hash__(self) -> int:
        try:
            return self.serial
        except AttributeError:
            loop: Any = self.get_loop()
            self.serial = loop._current_lane().count()
            return self.serial

    __eq__ = object.__eq__


class SimTask(asyncio.Task[Any]):
    """A task that hashes by its number and knows its node (None: outside)."""

    failed_at: float | None = None

    def __init__(self, coro: Any, *, lane: Lane, name: str | None, **options: Any) -> None:
        self.serial = lane.count()  # before asyncio puts it into a set
        self.node: Node | None = lane if isinstance(lane, Node) else None
        super().__init__(coro, name=name or f"Task-{self.serial}", **options)

    def __hash__(self) -> int:
        return self.serial

    __eq__ = object.__eq__


def where(task: asyncio.Task[Any]) -> str:
    """The innermost line at which `task` waits: "file:line in function"."""
    inner: Any = task.get_coro()
    frame = None
    while inner is not None:
        frame = getattr(inner, "cr_frame", None) or getattr(inner, "gi_frame", None) or frame
        inner = getattr(inner, "cr_await", None) or getattr(inner, "gi_yieldfrom", None)
    if frame is None:
        return "its end"
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def describe(task: SimTask) -> str:
    """One line: node and state, name, where it waits."""
    on = f"{task.node.name} ({task.node.state})" if task.node else "outside"
    return f"{on}: {task.get_name()} waits at {where(task)}"
