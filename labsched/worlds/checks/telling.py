"""`lease-loss-is-told`: judged by the journals, since a cut-off instance cannot append events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ...model import Kind
from .nouns import Life
from .result import CheckResult, Finder

if TYPE_CHECKING:
    from ..recording import Recording

Entry = dict[str, Any]
_OVER = frozenset({Kind.SUCCEEDED, Kind.FAILED, Kind.RETRYING, Kind.CANCELLED})


class _Journal(msgspec.Struct):
    """What one incarnation wrote. Times are seconds on its monotonic clock; `after` is when its process is known
    to have run last, `cut` says that it ran on while it was cut off."""

    name: str
    life: Life | None
    entries: list[Entry]
    stops: dict[Any, Entry]  # by execution and by token
    awake: list[float]  # when its loop wrote something, from here to the journal's end
    lasts: float  # from sending a renewal to the deadline: lease - lease_margin
    slack: float
    grace: float
    pause: float  # the longest time for which a fault stopped it
    after: float
    cut: bool


class _Term(msgspec.Struct):
    """The time that one proof bought: until the next proof, or the end."""

    proof: Entry
    told: Entry | None = None
    until: float | None = None


def lease_loss_is_told(rec: Recording) -> CheckResult:
    """Once `sent of the last proved renewal + lease - lease_margin` passed without another proof, the journal
    says `lease-lost`, not later, and every attempt that was told is `stopped` within `cancel_grace`, or of when the
    loop ran again that a body had blocked.

    An instance that a fault paused may be late by that pause; of one that was killed, or whose journal simply
    ends, nothing is demanded. Tested: deadlines that passed.
    """
    find = Finder("lease-loss-is-told")
    over = {(e.execution, e.instance) for e in rec.history if e.kind in _OVER}
    ignored = 0
    for journal in _journals(rec):
        for term in _terms(journal.entries):
            _judge(find, rec, journal, term)
            if term.told is not None:
                ignored += _stopped(find, rec, journal, term.told, over)
    if ignored:
        find.note = f"{ignored} bodies went on past their cancel_grace, after they had been told"
    return find.result()


def _terms(entries: list[Entry]) -> list[_Term]:
    terms: list[_Term] = []
    for entry in entries:
        if entry["kind"] in ("joined", "proved"):
            if terms:
                terms[-1].until = float(entry["mono"])
            terms.append(_Term(entry))
        elif entry["kind"] == "lease-lost" and terms and terms[-1].told is None:
            terms[-1].told = entry
    return terms


def _judge(find: Finder, rec: Recording, journal: _Journal, term: _Term) -> None:
    sent = float(term.proof["sent"] if "sent" in term.proof else term.proof["mono"])
    deadline = sent + journal.lasts
    told, name = term.told, journal.name
    at = _wall(rec, journal)
    if told is None:
        heard: float = journal.after if term.until is None else term.until
        late = heard - deadline > journal.slack + journal.pause
        if late or (term.until is None and journal.cut):
            find.tested += 1
            proof = f"the renewal that it had sent at {sent:.3f} lasted until {deadline:.3f}"
            find.found(at, f"{name} was never told that its lease was lost; {proof} (monotonic)")
        return
    find.tested += 1
    # A join whose answer waited behind a blocked loop may grant what is over: nobody knows before hearing of it.
    late_by = float(told["mono"]) - max(deadline, float(term.proof["mono"]))
    if late_by > journal.slack + journal.pause:
        find.found(at, f"{name} was told of its lost lease {late_by:.3f} s after the deadline {deadline:.3f}")
    elif told.get("deadline") is not None and told["deadline"] - deadline > 0.001:
        more = told["deadline"] - deadline
        find.found(at, f"{name} counted on its lease for {more:.3f} s more than its last proved renewal gave")


def _stopped(
    find: Finder, rec: Recording, journal: _Journal, told: Entry, over: set[tuple[str | None, str | None]]
) -> int:
    """Judges the bodies that were told; returns how many went on nevertheless."""
    limit = _heard(journal, told) + journal.grace + journal.slack + journal.pause
    ignored, at = 0, _wall(rec, journal)
    for key in told.get("running") or ():
        end = journal.stops.get(key)
        if end is None:
            if journal.after > limit and (key, journal.name) not in over:
                find.found(at, f"{journal.name} told {key} that its lease was lost and never stopped it")
        elif end["how"] == "ignored":
            ignored += 1
        elif end["mono"] > limit:
            late = end["mono"] - told["mono"]
            find.found(at, f"{journal.name} stopped {key} only {late:.3f} s after its lease was lost")
    return ignored


def _heard(journal: _Journal, told: Entry) -> float:
    """When the loop can first have cancelled anything. While a body blocks it nothing can be stopped, and only the
    alarm's thread tells; what the loop writes shows that it runs again, and it hears of the loss at once."""
    mono, reach = float(told["mono"]), journal.grace + journal.slack + journal.pause
    awake = min((t for t in journal.awake if t >= mono), default=mono)
    loop = [float(e["mono"]) for e in journal.entries if e["kind"] == "lease-lost" and e.get("by") == "loop"]
    return awake if any(0 <= t - awake <= reach for t in loop) else mono


def _wall(rec: Recording, journal: _Journal) -> int:
    # The journal's wall clock may be wrong by hours, so a violation is dated by the server.
    life = journal.life
    return rec.facts.end if life is None or life.ended is None else life.ended


def _journals(rec: Recording) -> Iterator[_Journal]:
    by_name: dict[str, list[Entry]] = defaultdict(list)
    for entry in rec.journals:
        by_name[str(entry.get("instance"))].append(entry)
    for name, entries in by_name.items():
        starts = [i for i, e in enumerate(entries) if e["kind"] == "joined" and e.get("lease") is not None]
        # No start at all when the recording began later than the process.
        for start, end in zip(starts, [*starts[1:], len(entries)], strict=False):
            yield _journal(rec, name, entries, start, end)


def _journal(rec: Recording, name: str, entries: list[Entry], start: int, end: int) -> _Journal:
    joined = entries[start]
    incarnation = joined.get("incarnation")
    # Between two lives an instance has no incarnation (0); what it writes then belongs to the last one.
    own = [e for i, e in enumerate(entries) if _belongs(e, incarnation, start <= i < end)]
    life = next((x for x in rec.facts.lives if (x.name, x.incarnation) == (name, incarnation)), None)
    margin = float(joined.get("lease_margin") or 0)
    # An execution may come back to a later process of that name, and be stopped there.
    others = {t.token for t in rec.facts.tries if t.instance == name and t.incarnation != incarnation}
    stopped = [e for e in entries[start:] if e["kind"] == "stopped" and e.get("token") not in others]
    return _Journal(
        name,
        life,
        own,
        # The first stop counts.
        {key: e for e in reversed(stopped) for key in (e.get("execution"), e.get("token"))},
        [float(e["mono"]) for e in entries[start:] if e.get("by") != "alarm"],
        lasts=joined["lease"] - margin,
        slack=min(rec.health.timing.allowance / 1000, margin / 2),
        grace=float(joined.get("cancel_grace") or 0),
        pause=_longest_pause(rec, name),
        after=_after(rec, life, own, entries),
        cut=_cut(rec, life, float(joined["lease"])),
    )


def _belongs(entry: Entry, incarnation: int | None, here: bool) -> bool:
    return entry.get("incarnation") == incarnation or (here and not entry.get("incarnation"))


def _longest_pause(rec: Recording, name: str) -> float:
    end = rec.facts.end
    pauses = [s for s in rec.health.down if s.target == name and s.kind == "pause"]
    return max((((s.end or end) - s.start) / 1000 for s in pauses), default=0.0)


def _after(rec: Recording, life: Life | None, own: list[Entry], entries: list[Entry]) -> float:
    """When the process is known to have run: its own entries, and the next incarnation's when it is the same
    process (same pid) and no kill lies between."""
    last = float(own[-1]["mono"])
    if life is None or life.how not in ("lost", "superseded"):
        return last
    later = [x for x in rec.facts.lives if x.name == life.name and x.joined > life.joined]
    if not later or later[0].data.get("pid") is None or later[0].data["pid"] != life.data.get("pid"):
        return last
    killed = any(s.target == life.name and s.kind == "kill" for s in rec.health.down)
    monos = [float(e["mono"]) for e in entries if e.get("incarnation") == later[0].incarnation]
    return last if killed or not monos else max(last, monos[0])


def _cut(rec: Recording, life: Life | None, lease: float) -> bool:
    """Whether it lost its lease while only its connection was cut, so that it must have been told."""
    if life is None or life.how != "lost" or life.ended is None:
        return False
    spans = [s for s in rec.health.down if s.target == life.name and s.kind != "lost"]
    slack = rec.health.timing.allowance
    for span in spans:
        until = rec.facts.end if span.end is None else span.end
        if span.kind == "partition" and span.meets(life.joined, life.ended):
            others = any(s.kind in ("kill", "pause") and s.meets(span.start, until) for s in spans)
            if until - span.start > lease * 1000 + slack and not others:
                return True
    return False
