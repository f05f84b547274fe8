"""The shapes that checks rely on: a recording from a file is refused at the door, not in the middle of a check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from ...model import State
from .nouns import id_key

if TYPE_CHECKING:
    from ..recording import Recording


class _Held(TypedDict):
    owner: str
    token: int
    until: int


class _Member(TypedDict):
    incarnation: int


class _Leads(TypedDict):
    instance: str
    epoch: int
    until: int


class _Run(TypedDict):
    state: State
    task: str


class _Snapshot(TypedDict, total=False):
    """What checks rely on in a snapshot; more may be in it."""

    executions: dict[str, _Run]
    tasks: dict[str, dict[str, Any]]
    locks: dict[str, _Held]
    leader: _Leads | None
    instances: dict[str, _Member]
    at: int
    last_event: str | None


class _Fault(TypedDict):
    at: float
    kind: str


class _Entry(TypedDict):
    kind: str
    mono: float


def check_shapes(rec: Recording) -> None:
    """Raises msgspec.ValidationError or ValueError for what no check could read."""
    msgspec.convert(rec.snapshot, _Snapshot)
    msgspec.convert(rec.final or {}, _Snapshot)
    msgspec.convert(rec.fault_log, list[_Fault])
    msgspec.convert(rec.journals, list[_Entry])
    for event in rec.history:
        id_key(event.id)
