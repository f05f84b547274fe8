"""What facts are made of: runs, tries, lives, holds, reigns, and how to read an event. Pure values.

A *run* is an execution as a whole, a *try* one attempt, a *life* one incarnation of an instance, a *hold* one
grant of a lock, a *reign* one epoch. Times are Unix milliseconds by the server's clock.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...model import ACTIVE, TERMINAL, Event, Kind, State

CREATES = frozenset({"schedule", "trigger", "backfill"})  # values of `source` that make a new execution
STATES = frozenset(Kind(state) for state in State)  # the kinds that say "entered that state"
ENDED = frozenset(Kind(state) for state in TERMINAL)
LEAVES_RUNNING = STATES - {Kind.RUNNING, Kind.BUFFERED} | {Kind.LOST}


def ms(event: Event) -> int:
    """The event's time in whole milliseconds."""
    return round(event.at * 1000)


def definition_of(value: Any) -> dict[str, Any]:
    """A task's definition, whether a snapshot kept it as JSON text or decoded."""
    if isinstance(value, str):
        value = msgspec.json.decode(value)
    return value if isinstance(value, dict) else {}


def id_key(event_id: str) -> tuple[int, int]:
    """Stream ids in the order of the stream."""
    head, _, tail = event_id.partition("-")
    return int(head), int(tail or 0)


class Run(msgspec.Struct):
    """An execution: where it stands at the end, and since when. `wakes` is when a timer moves it on."""

    id: str
    task: str
    slot: int | None = None
    source: str = ""
    created: int = 0
    due: int | None = None
    state: str = ""
    since: int = 0
    reason: str = ""
    wakes: int | None = None
    started: int | None = None
    late_ms: int | None = None
    tries: int = 0
    losses: int = 0
    last: str | None = None  # id of the event that brought it into its state

    @property
    def ended(self) -> int | None:
        return self.since if self.state in TERMINAL else None

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


class Try(msgspec.Struct):
    """One attempt; `ended` is when the server stopped counting it as running."""

    execution: str
    task: str
    number: int
    token: int
    instance: str
    started: int
    until: int | None
    event: str | None
    incarnation: int | None = None
    ended: int | None = None
    outcome: str = ""
    end_event: str | None = None


class Life(msgspec.Struct):
    """One incarnation. `how` it ended: left, lost, superseded, or "" while it lives; `until` ends a lost lease."""

    name: str
    incarnation: int
    joined: int
    data: dict[str, Any]
    event: str | None = None
    draining: int | None = None
    drain_event: str | None = None
    ended: int | None = None
    how: str = ""
    until: int | None = None
    end_event: str | None = None


class Hold(msgspec.Struct):
    """One grant of a lock. `free` is when it may be granted again, as far as the history tells."""

    lock: str
    owner: str
    token: int
    granted: int
    free: int
    until: int
    task: str | None = None
    execution: str | None = None
    least: int = 0
    released: int | None = None
    event: str | None = None


class Reign(msgspec.Struct):
    """One epoch; `until` is the lease as granted (renewals have no event). `how`: resigned, succeeded, or ""."""

    instance: str
    incarnation: int | None
    epoch: int
    elected: int
    until: int
    ended: int | None = None
    how: str = ""
    event: str | None = None
