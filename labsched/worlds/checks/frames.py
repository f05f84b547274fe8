"""Recordings as data frames. The only file of the checks that imports pandas; it loads when a frame is asked for.

Times called `t` or ending in `_t` are seconds since the recording began. Columns and their types are the same
for an empty recording; docs/recording.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from .facts import Facts
from .nouns import Reign

if TYPE_CHECKING:
    from ..recording import Recording

_TEXT, _INT, _TIME, _ANY = "string", "Int64", "float64", "object"

EVENTS = {
    "id": _TEXT, "t": _TIME, "at": "datetime64[ms, UTC]", "kind": _TEXT, "task": _TEXT, "execution": _TEXT,
    "attempt": _INT, "token": _INT, "rank": _INT, "instance": _TEXT, "epoch": _INT, "data": _ANY,
}  # fmt: skip
EXECUTIONS = {
    "execution": _TEXT, "task": _TEXT, "slot": _INT, "source": _TEXT, "state": _TEXT, "created": _TIME, "due": _TIME,
    "started": _TIME, "ended": _TIME, "late": _TIME, "attempts": _INT, "losses": _INT, "reason": _TEXT,
}  # fmt: skip
ATTEMPTS = {
    "execution": _TEXT, "task": _TEXT, "attempt": _INT, "token": _INT, "rank": _INT, "instance": _TEXT,
    "incarnation": _INT, "started": _TIME, "ended": _TIME, "duration": _TIME, "outcome": _TEXT,
}  # fmt: skip
LOCKS = {
    "lock": _TEXT, "owner": _TEXT, "token": _INT, "rank": _INT, "task": _TEXT, "execution": _TEXT, "granted": _TIME,
    "until": _TIME, "released": _TIME, "free": _TIME,
}  # fmt: skip
LEADERS = {
    "instance": _TEXT, "incarnation": _INT, "epoch": _INT, "rank": _INT, "elected": _TIME, "until": _TIME,
    "ended": _TIME, "how": _TEXT,
}  # fmt: skip
MESSAGES = {
    "sent": _TIME, "arrived": _TIME, "source": _TEXT, "destination": _TEXT, "kind": _TEXT, "name": _TEXT, "size": _INT,
    "lost": _TEXT,
}  # fmt: skip
FAULTS = {"t": _TIME, "kind": _TEXT, "target": _TEXT, "by": _TEXT, "fault": _ANY}


def events(rec: Recording) -> pd.DataFrame:
    start, ranks = rec.facts.start, rec.facts.ranks
    rows = (
        (
            *(e.id, _t(round(e.at * 1000), start), round(e.at * 1000), str(e.kind), e.task, e.execution),
            *(e.attempt, e.token, ranks.get(e.token), e.instance, e.epoch, e.data),
        )
        for e in rec.history
    )
    return _frame(EVENTS, rows)


def executions(rec: Recording) -> pd.DataFrame:
    start = rec.facts.start
    rows = (
        (
            *(run.id, run.task, run.slot, run.source, run.state, _t(run.created, start), _t(run.due, start)),
            *(
                _t(run.started, start),
                _t(run.ended, start),
                None if run.late_ms is None else run.late_ms / 1000,
            ),
            *(run.tries, run.losses, run.reason),
        )
        for run in rec.facts.runs.values()
    )
    return _frame(EXECUTIONS, rows)


def attempts(rec: Recording) -> pd.DataFrame:
    facts = rec.facts
    rows = (
        (
            *(x.execution, x.task, x.number, x.token, facts.ranks.get(x.token), x.instance, x.incarnation),
            *(_t(x.started, facts.start), _t(x.ended, facts.start)),
            *(None if x.ended is None else (x.ended - x.started) / 1000, x.outcome),
        )
        for x in facts.tries
    )
    return _frame(ATTEMPTS, rows)


def locks(rec: Recording) -> pd.DataFrame:
    facts = rec.facts
    rows = (
        (
            *(hold.lock, hold.owner, hold.token, facts.ranks.get(hold.token), hold.task, hold.execution),
            *(_t(moment, facts.start) for moment in (hold.granted, hold.until, hold.released, hold.free)),
        )
        for hold in facts.holds
    )
    return _frame(LOCKS, rows)


def leaders(rec: Recording) -> pd.DataFrame:
    return _frame(LEADERS, (_leader(rec.facts, reign) for reign in rec.facts.reigns))


def _leader(facts: Facts, reign: Reign) -> tuple[Any, ...]:
    times = (_t(moment, facts.start) for moment in (reign.elected, reign.until, reign.ended))
    return (reign.instance, reign.incarnation, reign.epoch, facts.ranks.get(reign.epoch), *times, reign.how)


def faults(rec: Recording) -> pd.DataFrame:
    rows = (
        (f["at"] - rec.started, f["kind"], _text(f.get("target")), _text(f.get("by")), f)
        for f in sorted(rec.fault_log, key=lambda fault: float(fault["at"]))
    )
    return _frame(FAULTS, rows)


def messages(rec: Recording) -> pd.DataFrame:
    return _frame(MESSAGES, rec.message_log)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _t(at_ms: int | None, start: int) -> float | None:
    return None if at_ms is None else (at_ms - start) / 1000


def _frame(columns: dict[str, str], rows: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """Columns are built one by one: a frame made of rows would guess types, and guess otherwise when empty."""
    table = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pd.DataFrame(
        {name: _column(values, dtype) for (name, dtype), values in zip(columns.items(), table, strict=True)}
    )


def _column(values: Any, dtype: str) -> pd.Series[Any]:
    if dtype.startswith("datetime64"):
        moments: pd.Series[Any] = pd.Series(pd.to_datetime(list(values), unit="ms", utc=True))
        cut: pd.Series[Any] = moments.dt.as_unit("ms")
        return cut
    column: pd.Series[Any] = pd.Series(list(values), dtype=dtype)
    return column
