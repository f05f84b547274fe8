"""What a timeline shows, as plain values: attempts, memberships, leaderships, locks and faults with a start and an end.

Times are seconds since the recording began. Nothing here draws; the frame of these bars is the picture's `.data`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from ...errors import ConfigError
from ...worlds.checks.health import Span, is_server, spans
from ...worlds.checks.nouns import Life, Reign, Run, Try

if TYPE_CHECKING:
    import pandas as pd

    from ...worlds.recording import Recording

LEADERS, SERVER = "leaders", "server"  # bands that are not named after an instance or a lock
STOPS = frozenset({"kill", "pause"})  # faults after which an instance runs no line of code
_CURES = frozenset({"resume", "heal"})  # they end another fault's bar, and have none of their own
_AT_ONCE = frozenset({"kill", "lose", "skew"})  # drawn as moments, whatever they leave behind


class Bar(msgspec.Struct, kw_only=True):
    """One thing drawn. docs/pictures.md says what each field means for each `kind`."""

    band: str
    kind: str  # alive, attempt, leader, lock, rest, fault
    start: float
    end: float
    halt: float | None = None  # from here on it was held by somebody who could not act
    row: int = 0
    task: str | None = None
    execution: str | None = None
    attempt: int | None = None
    outcome: str | None = None
    token: int | None = None
    rank: int | None = None
    count: int = 1
    duplicate: bool = False
    label: str = ""

    @property
    def acted(self) -> float:
        """Until when its holder could act."""
        return self.end if self.halt is None else self.halt


_DTYPES = {
    "band": "string", "kind": "string", "start": "float64", "end": "float64", "halt": "float64", "row": "int64",
    "task": "string", "execution": "string", "attempt": "Int64", "outcome": "string", "token": "Int64",
    "rank": "Int64", "count": "int64", "duplicate": "bool", "label": "string",
}  # fmt: skip


def frame(bars: Iterable[Any], dtypes: dict[str, str] = _DTYPES) -> pd.DataFrame:
    """The bars as a data frame; columns and types are the same when there are none."""
    import pandas as pd

    rows = list(bars)
    columns: dict[str, Any] = {
        name: pd.Series([getattr(bar, name) for bar in rows], dtype=dtype) for name, dtype in dtypes.items()
    }
    return pd.DataFrame(columns)


class Reading:
    """The bars of one recording from `start` to `end` (seconds), by kind, before anything is packed or merged."""

    def __init__(self, rec: Recording, start: float = 0.0, end: float | None = None) -> None:
        self.rec, self.facts = rec, rec.facts
        self.lasted = max(rec.ended - rec.started, 0.001)
        self.start, self.end = max(start, 0.0), self.lasted if end is None else min(end, self.lasted)
        if not self.start < self.end:
            raise ConfigError(
                f"nothing lies between start {start:g} s and end {self.end:g} s of a recording of {self.lasted:g} s"
            )
        self.span = self.end - self.start
        self.faults = spans(rec.fault_log)
        self.attempts = [self._attempt(tried) for tried in self.facts.tries]
        self._ring_duplicates()
        self.attempts = self._seen(self.attempts)
        self.alive = self._seen(self._alive(life) for life in self.facts.lives)
        self.leaders = self._seen(self._leader(reign, n) for n, reign in enumerate(self.facts.reigns, 1))
        self.locks = self._seen(self._locks())
        self.marks = self._seen(bar for fault in rec.fault_log for bar in self._mark(fault))

    @property
    def instances(self) -> list[str]:
        """Everybody who was a member, ran something or was hit by a fault: i2 before i10."""
        return by_number({bar.band for bar in (*self.alive, *self.attempts, *self.marks)} - {SERVER})

    @property
    def tasks(self) -> list[str]:
        return sorted({bar.task for bar in self.attempts if bar.task})

    def seconds(self, at_ms: float | None) -> float:
        """Seconds since the beginning, within the recording; its end for what had none."""
        return self.lasted if at_ms is None else min(max((at_ms - self.facts.start) / 1000, 0.0), self.lasted)

    def _seen(self, bars: Iterable[Bar]) -> list[Bar]:
        """Those that meet the stretch to be drawn. They keep their true times: the axes cut them."""
        return [bar for bar in bars if bar.start <= self.end and bar.end >= self.start]

    @property
    def runs(self) -> list[Run]:
        """The executions that were not over when the stretch began, and existed before it ended."""
        return [
            run for run in self.facts.runs.values()
            if (run.ended is None or (run.last and self.seconds(run.ended) >= self.start))
            and self.seconds(run.created) <= self.end
        ]  # fmt: skip

    def _attempt(self, tried: Try) -> Bar:
        hit = self._hit(tried.instance, tried.started, tried.ended, STOPS)
        lost = tried.outcome == "LOST" or (tried.ended is None and hit is not None and hit.kind == "kill")
        return Bar(
            band=tried.instance, kind="attempt", start=self.seconds(tried.started), end=self.seconds(tried.ended),
            halt=self.seconds(hit.start) if hit is not None and lost else None, task=tried.task,
            execution=tried.execution, attempt=tried.number, outcome=tried.outcome or "RUNNING", token=tried.token,
        )  # fmt: skip

    def _alive(self, life: Life) -> Bar:
        hit = self._hit(life.name, life.joined, life.ended, frozenset({"kill"}))
        return Bar(
            band=life.name, kind="alive", start=self.seconds(life.joined), end=self.seconds(life.ended),
            halt=None if hit is None else self.seconds(hit.start), token=life.incarnation, outcome=life.how,
        )  # fmt: skip

    def _leader(self, reign: Reign, number: int) -> Bar:
        hit = self._hit(reign.instance, reign.elected, reign.ended, STOPS | {"partition"})
        over = reign.ended or self.facts.end
        if hit is not None and hit.kind != "kill" and hit.end is not None and hit.end < over:
            hit = None  # it came back in time and went on leading
        return Bar(
            band=LEADERS, kind="leader", start=self.seconds(reign.elected), end=self.seconds(reign.ended),
            halt=None if hit is None else self.seconds(hit.start), token=reign.epoch, rank=number, outcome=reign.how,
            label=reign.instance,
        )  # fmt: skip

    def _hit(self, name: str, start: int, end: int | None, kinds: frozenset[str]) -> Span | None:
        """The fault that stopped what this instance held from `start` to `end`: the last that lasted, or a kill."""
        until = self.facts.end if end is None else end
        hits = [
            fault for fault in self.faults
            if fault.target == name and fault.kind in kinds and start <= fault.start < until
        ]  # fmt: skip
        kills = [fault for fault in hits if fault.kind == "kill"]
        return kills[0] if kills else hits[-1] if hits else None

    def _locks(self) -> Iterator[Bar]:
        grants: Counter[str] = Counter()
        holds = self.facts.holds
        after = {}
        for earlier, later in pairwise(sorted(holds, key=lambda hold: (hold.lock, hold.granted))):
            if earlier.lock == later.lock:
                after[earlier.lock, earlier.token] = later.granted
        for hold in holds:
            grants[hold.lock] += 1
            end = min(hold.free, after.get((hold.lock, hold.token), hold.free))
            over = end if hold.released is None else min(hold.released, end)
            hit = self._hit(hold.owner, hold.granted, over, STOPS)
            bar = Bar(
                band=hold.lock, kind="lock", start=self.seconds(hold.granted), end=self.seconds(over),
                halt=self.seconds(hit.start) if hit is not None and (hit.end is None or hit.end >= over) else None,
                task=hold.task, execution=hold.execution, token=hold.token, rank=grants[hold.lock], label=hold.owner,
            )  # fmt: skip
            yield bar
            if over < end:
                rest = {"kind": "rest", "start": bar.end, "end": self.seconds(end), "halt": None}
                yield msgspec.structs.replace(bar, **rest)

    def _mark(self, fault: dict[str, Any]) -> Iterator[Bar]:
        if fault["kind"] in _CURES:
            return
        at = round(fault["at"] * 1000)
        found = [span for span in self.faults if span.fault is fault]
        end = found[0].end if found else at
        # That nobody is there after a kill is the background's to show; a server has none.
        if fault["kind"] in _AT_ONCE and not (fault["kind"] == "kill" and is_server(fault)):
            end = at
        elif fault["kind"] == "hog":
            end = at + round(fault.get("duration", 0) * 1000)
        yield Bar(
            band=SERVER if is_server(fault) else str(fault.get("target") or SERVER), kind="fault",
            start=self.seconds(at), end=self.seconds(end), outcome=fault["kind"], label=_detail(fault),
        )  # fmt: skip

    def _ring_duplicates(self) -> None:
        """One slot that ran as several executions, or one execution whose success was counted twice."""
        ran = {bar.execution for bar in self.attempts}
        runs = [run for run in self.facts.runs.values() if run.slot and run.id in ran]
        slots = Counter((run.task, run.slot) for run in runs)
        wins = Counter(bar.execution for bar in self.attempts if bar.outcome == "SUCCEEDED")
        for bar in self.attempts:
            run = self.facts.runs[bar.execution or ""]
            bar.duplicate = slots[run.task, run.slot] > 1 or wins[bar.execution] > 1


def by_number(names: Iterable[str]) -> list[str]:
    """As people count: i2 before i10."""
    return sorted(names, key=lambda name: (name.rstrip("0123456789"), len(name), name))


def server_of(mark: Bar) -> str:
    """Which of several servers a fault hit, or ""."""
    found = re.search(r"\((\w+\d)\)$", mark.label) if mark.band == SERVER else None
    return found[1] if found else ""


def _detail(fault: dict[str, Any]) -> str:
    """What the label of a fault says beside its kind: of several servers, which."""
    target = str(fault.get("target") or "")
    if is_server(fault) and target[-1:].isdigit():
        return f"{_more(fault)} ({target})".strip()
    return _more(fault)


def _more(fault: dict[str, Any]) -> str:
    if fault["kind"] == "partition" and fault.get("direction", "both") != "both":
        return f"({fault['direction']} only)"
    if fault["kind"] == "skew":
        drift = f"{fault['drift']:+g} s/s" if fault.get("drift") else ""
        jump = f"{fault['offset']:+g} s" if fault.get("offset") or not drift else ""
        return " ".join(filter(None, (jump, drift)))
    return ""


def merged(bars: list[Bar], least: float, longest: float) -> list[Bar]:
    """Plain successes of one task in one lane that lie closer than `least` seconds, drawn as one bar of `count`.

    They must begin within the same stretch of `longest` seconds, and be shorter than that. What failed, was lost,
    retried or doubled stays on its own.
    """
    done: list[Bar] = []
    open_: dict[tuple[str, str | None], Bar] = {}
    for bar in sorted(bars, key=lambda bar: bar.start):
        plain = bar.outcome == "SUCCEEDED" and bar.attempt == 1 and not bar.duplicate
        if not plain or bar.end - bar.start > longest:
            done.append(bar)
            continue
        last = open_.get((bar.band, bar.task))
        together = last is not None and last.start // longest == bar.start // longest
        if together and last is not None and bar.start <= last.end + least:
            last.end, last.count = max(last.end, bar.end), last.count + bar.count
            last.execution = last.token = None
        else:
            open_[bar.band, bar.task] = last = msgspec.structs.replace(bar)
            done.append(last)
    return sorted(done, key=lambda bar: bar.start)


def pack(bars: Iterable[Bar], least: float, first: int = 0) -> int:
    """Give each bar the first row, from `first` on, that is free; none counts as shorter than `least`. Rows used."""
    ends: list[float] = []
    for bar in sorted(bars, key=lambda bar: (bar.start, bar.token or 0)):
        free = next((row for row, end in enumerate(ends) if end <= bar.start), len(ends))
        # Merged bars stand end to end and overlap by parts of a run, which nobody can see.
        end = bar.end - least if bar.count > 1 else bar.end
        ends[free:] = [max(end, bar.start + least), *ends[free + 1 :]]
        bar.row = first + free
    return len(ends)
