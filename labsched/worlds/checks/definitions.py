"""What a recording says of its tasks, event by event: status, schedule, and since when slots count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...model import Event, Kind
from ...schedule import Schedule, checked
from .nouns import definition_of

if TYPE_CHECKING:
    from ..recording import Recording


class Definitions:
    """Every task as the events so far left it; what is not told is absent."""

    def __init__(self, rec: Recording) -> None:
        self.status: dict[str, str] = {}
        self.schedule: dict[str, Schedule | None] = {}
        self.since: dict[str, int] = {}
        for name, task in (rec.snapshot.get("tasks") or {}).items():
            if task.get("status"):
                self.status[name] = task["status"]
            self.schedule[name] = schedule_of(task.get("definition"))

    def take(self, e: Event) -> None:
        """The next event, if it is about a task."""
        if not e.task:
            return
        if e.kind == Kind.TASK_DEFINED:
            self.status[e.task] = e.data.get("status") or "ACTIVE"
            self.schedule[e.task] = schedule_of(e.data.get("definition"))
            self.since[e.task] = e.data.get("since") or 0
        elif e.kind == Kind.TASK_PAUSED:
            self.status[e.task] = e.data.get("status") or "PAUSED"
        elif e.kind == Kind.TASK_RESUMED:
            self.status[e.task] = "ACTIVE"


class Retries:
    """How many retries the definitions allow.

    An instance goes by its own code, which may differ from the definition in force under the same version: so all that
    the recording shows of that version count, and only for instances that joined in it.
    """

    def __init__(self, rec: Recording) -> None:
        self._known: dict[tuple[str, int | None], tuple[int, int]] = {}
        self._joined = {life.name for life in rec.facts.lives if life.event}
        self._joined -= {life.name for life in rec.facts.lives if not life.event}
        for name, task in (rec.snapshot.get("tasks") or {}).items():
            self._add(name, definition_of(task.get("definition")))
        for e in rec.history:
            if e.kind == Kind.TASK_DEFINED and e.task:
                self._add(e.task, definition_of(e.data.get("definition")))

    def _add(self, task: str, definition: dict[str, Any]) -> None:
        retries = definition.get("retries")
        if isinstance(retries, int):
            for key in ((task, definition.get("version", 1)), (task, None)):
                least, most = self._known.get(key, (retries, retries))
                self._known[key] = min(least, retries), max(most, retries)

    def of(self, running: Event) -> tuple[int, int] | None:
        """The fewest and the most that the attempt that begins there may have, None when that cannot be known."""
        if running.instance not in self._joined:
            return None
        return self._known.get((running.task or "", running.data.get("version")))


def schedule_of(definition: Any) -> Schedule | None:
    """The schedule of a definition, None when it cannot be read."""
    try:
        schedule: Schedule = msgspec.convert(definition_of(definition).get("schedule"), Schedule)
        return checked(schedule)
    except (msgspec.ValidationError, ValueError):
        return None
