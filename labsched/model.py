"""The nouns of labsched and the one table of legal transitions. Pure: no I/O, no clock.

Times in these structs are Unix milliseconds (int) as the server counted them, durations are seconds
(float), unless a name says otherwise. `datetime` properties are timezone-aware UTC.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from .plan import Backoff as Backoff
from .schedule import Misfire, Schedule


class State(enum.StrEnum):
    """States of an execution."""

    BUFFERED = "BUFFERED"
    READY = "READY"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    DEAD = "DEAD"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


# From state -> the states it may become. "" is "does not exist yet". The scripts get this very table.
TRANSITIONS: Mapping[str, frozenset[State]] = {
    "": frozenset({State.BUFFERED, State.READY, State.SKIPPED}),
    # waits for its time (`_at`), for its turn (BUFFER_ONE) or for the one it cancels (CANCEL_OTHER)
    State.BUFFERED: frozenset({State.READY, State.CANCELLED, State.SKIPPED}),
    State.READY: frozenset({State.RUNNING, State.CANCELLED}),
    # READY again: its attempt was lost, or handed back unstarted
    State.RUNNING: frozenset(
        {State.SUCCEEDED, State.FAILED, State.RETRYING, State.READY, State.DEAD, State.CANCELLED}
    ),
    State.RETRYING: frozenset({State.READY, State.CANCELLED}),
    # requeued by an operator
    State.FAILED: frozenset({State.READY}),
    State.DEAD: frozenset({State.READY}),
    State.SUCCEEDED: frozenset(),
    State.CANCELLED: frozenset(),
    State.SKIPPED: frozenset(),
}

TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.DEAD, State.CANCELLED, State.SKIPPED})
ACTIVE = frozenset({State.READY, State.RUNNING, State.RETRYING})


class Outcome(enum.StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    LOST = "LOST"
    RETURNED = "RETURNED"  # handed back unstarted by a draining instance


class Kind(enum.StrEnum):
    """Kinds of events. Those that carry a state's name say that an execution entered that state."""

    BUFFERED = "BUFFERED"
    READY = "READY"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    DEAD = "DEAD"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"
    LOST = "LOST"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    FORGOTTEN = "FORGOTTEN"
    FENCE_WRITTEN = "FENCE_WRITTEN"
    TASK_DEFINED = "TASK_DEFINED"
    TASK_PAUSED = "TASK_PAUSED"
    TASK_RESUMED = "TASK_RESUMED"
    LOCK_ACQUIRED = "LOCK_ACQUIRED"
    LOCK_EXTENDED = "LOCK_EXTENDED"
    LOCK_RELEASED = "LOCK_RELEASED"
    LEADER_ELECTED = "LEADER_ELECTED"
    LEADER_RESIGNED = "LEADER_RESIGNED"
    INSTANCE_JOINED = "INSTANCE_JOINED"
    INSTANCE_DRAINING = "INSTANCE_DRAINING"
    INSTANCE_LEFT = "INSTANCE_LEFT"
    INSTANCE_LOST = "INSTANCE_LOST"
    REFUSED = "REFUSED"


Priority = Literal["high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")
Overlap = Literal["SKIP", "BUFFER_ONE", "ALLOW", "CANCEL_OTHER"]
TaskStatus = Literal["ACTIVE", "PAUSED", "DISABLED"]
RunnerName = Literal["async", "thread", "process"]
CatchUp = Literal["none", "latest", "all"]


class Rate(msgspec.Struct, frozen=True):
    """`count` starts per `per` seconds on average, cluster-wide; after a pause a burst of `count` comes on top."""

    count: int
    per: float


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A definition: what runs, when, and under which policies. Durations in seconds."""

    name: str
    schedule: Schedule
    handler: str
    version: int = 1
    status: TaskStatus = "ACTIVE"
    timeout: float | None = None
    retries: int = 0
    backoff: Backoff = Backoff()
    priority: Priority = "normal"
    runner: RunnerName = "async"
    memory_limit: int | None = None  # bytes, process runner only
    overlap: Overlap = "SKIP"
    misfire: Misfire = Misfire()
    lock_at_most_for: float = 1800.0
    lock_at_least_for: float = 0.0
    max_concurrency: int | None = None
    rate_limit: Rate | None = None
    max_backlog: int = 1_000_000
    max_losses: int = 3
    tags: tuple[str, ...] = ()
    owner: str = ""
    payload: dict[str, Any] = {}


class TaskInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A task as the registry holds it: the definition, what operators did to it, and its counters."""

    task: Task
    status: TaskStatus
    status_by: str  # "code" or "operator"
    next_due: int | None  # ms, of its next slot, jitter included
    watermark: int | None
    running: int
    backlog: int
    counts: dict[str, int]  # by kind: SUCCEEDED, FAILED, ... since the task was first defined

    @property
    def name(self) -> str:
        return self.task.name


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try of an execution by one instance. `outcome` is None while it runs."""

    number: int
    token: int
    instance: str
    started: int
    ended: int | None = None
    outcome: str | None = None
    error: str | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt did not succeed."""

    type: str
    message: str
    traceback: str = ""


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """The run of one slot (`task@slot`) or of one trigger, with everything known about it."""

    id: str
    task: str
    state: State
    slot: int | None
    created: int
    due: int | None  # when it was to start: slot plus jitter, or the `_at` of a trigger
    started: int | None
    finished: int | None
    attempt: int
    losses: int
    token: int | None
    instance: str | None
    priority: Priority
    payload: dict[str, Any]
    result: Any = None
    error: Failure | None = None
    reason: str | None = None  # why it was skipped or cancelled, or why it waits
    progress: tuple[float, float] | None = None
    cancel_requested: bool = False
    attempts: tuple[Attempt, ...] = ()
    log: tuple[str, ...] = ()

    @property
    def terminal(self) -> bool:
        return self.state.terminal


class InstanceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One member of the cluster as the registry sees it. `lease_left` in seconds, by the server's clock.

    EXPIRED: its lease is over, so it is dead, cut off or paused; a leader is about to recover what it held.
    """

    name: str
    incarnation: int
    state: Literal["ACTIVE", "DRAINING", "EXPIRED"]
    leader: bool
    epoch: int | None
    joined: int
    heartbeat: int
    lease_left: float
    pool_size: int
    running: int
    hostname: str
    pid: int
    handlers: dict[str, int]


class LockInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One held lock. `left`: seconds by the server's clock until it may be taken again."""

    name: str
    owner: str
    token: int
    lock_until: int
    left: float
    released: bool  # its holder is gone, the rest is `at_least_for`
    waiters: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of history. `at` is Unix seconds by the server's clock, in ms steps; fields that do not
    apply are None; `data` holds what is particular to the kind (docs/events.md lists it)."""

    id: str
    at: float
    kind: Kind
    task: str | None = None
    execution: str | None = None
    attempt: int | None = None
    token: int | None = None
    instance: str | None = None
    epoch: int | None = None
    data: dict[str, Any] = {}


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence of an answer to `why` or `why_not`; `code` is for programs, `text` for people."""

    code: str
    text: str
    at: float | None = None


def as_datetime(ms: int | None) -> datetime | None:
    """Unix milliseconds as an aware UTC datetime."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
