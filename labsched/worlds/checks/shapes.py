"""The shapes that checks and frames rely on: a recording from a file is refused at the door, not later in a check.

More may be in a file than is named here. What is named may be left out where `total=False` says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import msgspec
from msgspec import Meta

from ...model import Event, Kind, State
from .nouns import definition_of

if TYPE_CHECKING:
    from ..recording import Recording

Ms = Annotated[int, Meta(ge=0, le=1 << 53)]  # of Unix time
Seconds = Annotated[float, Meta(ge=0, le=9_000_000_000)]  # of Unix time: pandas ends in 2262
Span = Annotated[float, Meta(ge=0, le=1e12)]  # seconds
Mono = Annotated[float, Meta(ge=-1e12, le=1e12)]  # seconds of a monotonic clock
Number = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]  # tokens, epochs, counts: frames have 64 bits
EventId = Annotated[str, Meta(pattern=r"^[0-9]{1,20}(-[0-9]{1,20})?\Z")]


class _Facts(TypedDict, total=False):
    """What INSTANCE_JOINED says of an instance."""

    pool_size: Number | None
    lease: Span | None
    lease_margin: Span | None
    cancel_grace: Span | None
    drain_timeout: Span | None
    sweep_every: Span | None
    leader_lease: Span | None
    election: bool | None
    lock: bool | None
    pid: int | None
    handlers: dict[str, int] | None


class _Rate(TypedDict):
    count: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
    per: Annotated[float, Meta(gt=0, le=1e12)]


class _Definition(TypedDict, total=False):
    version: int
    retries: int
    max_concurrency: Number | None
    rate_limit: _Rate | None


class _Said(TypedDict, total=False):
    """`data` of all other events: what one name means is the same in all of them."""

    slot: Ms | None
    due: Ms | None
    first: Ms
    last: Ms
    until: Ms
    least_until: Ms
    retry_at: Ms
    since: Ms
    before: Ms
    count: Number | None
    held: Number
    late_ms: Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)]
    version: int
    inc: Number
    source: str
    reason: str
    outcome: str
    was: str
    by: str
    lock: str
    key: str
    status: str
    catch_up: str
    force: bool
    definition: dict[str, Any] | str


class _Event(msgspec.Struct):
    id: EventId
    at: Seconds
    attempt: Number | None
    token: Number | None
    epoch: Number | None


class _Member(_Facts):
    incarnation: Number


class _Held(TypedDict):
    owner: str
    token: Number
    until: Ms


class _Leads(TypedDict):
    instance: str
    epoch: Number
    until: Ms


class _RunSoFar(TypedDict, total=False):
    attempt: Number | None
    token: Number | None
    instance: str | None
    slot: Ms | None


class _Run(_RunSoFar):
    state: State
    task: str


class _Task(TypedDict, total=False):
    status: str | None
    watermark: Ms | None
    definition: dict[str, Any] | str | None


class _Snapshot(TypedDict, total=False):
    executions: dict[str, _Run]
    tasks: dict[str, _Task]
    locks: dict[str, _Held]
    leader: _Leads | None
    instances: dict[str, _Member]
    at: Ms | None
    last_event: EventId | None


class _FaultMore(TypedDict, total=False):
    target: str | None
    by: str | None
    direction: str | None
    down: Span | None
    lost: int | None
    keep: bool | None


class _Fault(_FaultMore):
    at: Seconds
    kind: str


class _EntryMore(TypedDict, total=False):
    instance: str
    incarnation: int | None
    lease: Span | None
    lease_margin: Span | None
    cancel_grace: Span | None
    sent: Mono
    server: Ms | None
    runs: list[int]
    deadline: Mono | None
    running: list[str] | None
    by: str | None
    execution: str | None
    token: int | None
    stage: str | None
    took: Span | None


class _Entry(_EntryMore):
    kind: str
    mono: Mono


class _Stopped(_Entry):
    how: str


class _Ends(msgspec.Struct):
    started: Seconds
    ended: Seconds


def check_shapes(rec: Recording) -> None:
    """Raises msgspec.ValidationError, which names the place, for what no check or frame could read."""
    joined = [event for event in rec.history if event.kind == Kind.INSTANCE_JOINED]
    others = [event for event in rec.history if event.kind != Kind.INSTANCE_JOINED]
    stopped = [entry for entry in rec.journals if entry.get("kind") == "stopped"]
    _fit("the recording", rec, _Ends)
    _fit("snapshot", rec.snapshot, _Snapshot)
    _fit("final", rec.final or {}, _Snapshot)
    _fit("faults", rec.fault_log, list[_Fault])
    _fit("journals", rec.journals, list[_Entry])
    _fit("journals, what was stopped", stopped, list[_Stopped])
    _fit("events", rec.history, list[_Event])
    _fit_data(joined, _Facts)
    _fit_data(others, _Said)
    for place, definition in _definitions(rec):
        try:
            msgspec.convert(definition_of(definition), _Definition)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise msgspec.ValidationError(f"{place}, definition: {error}") from None


def _fit_data(events: list[Event], shape: Any) -> None:
    try:
        # All at once is several times as fast, and one by one tells which it was.
        msgspec.convert([event.data for event in events], list[shape])
    except msgspec.ValidationError:
        for event in events:
            _fit(f"data of event {event.id} ({event.kind})", event.data, shape)


def _fit(place: str, value: Any, shape: Any) -> None:
    try:
        msgspec.convert(value, shape, from_attributes=True)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"{place}: {error}") from None


def _definitions(rec: Recording) -> Iterator[tuple[str, Any]]:
    for name, snap in (("snapshot", rec.snapshot), ("final", rec.final or {})):
        for task, known in (snap.get("tasks") or {}).items():
            yield f"{name}, task {task}", known.get("definition")
    for n, event in enumerate(rec.history):
        if event.kind == Kind.TASK_DEFINED:
            yield f"events[{n}].data", event.data.get("definition")
