"""When the cluster was fit to keep its promises: timings, faults, and windows in which nothing was wrong.

Liveness can only be demanded of a healthy cluster. What counts as unhealthy is taken from the faults that the
world recorded and from the INSTANCE_LOST events, so that a production history without faults works as well.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from ...model import Kind
from .nouns import Life, ms

if TYPE_CHECKING:
    from ..recording import Recording

# Time for requests and scheduling that no lease covers, ms. A real machine under load is less punctual.
ALLOWANCE = {"simulated": 500, "real": 1500}
# ms: a real server reads its clock for a step and for the ids of its events at different moments.
CLOCKS = {"simulated": 0, "real": 100}
WAKE = 1000  # ms: `wake_fallback`, what a lost hint may cost

_ENDS = {
    "kill": frozenset({"restart", "restart_server"}),
    "pause": frozenset({"resume", "restart", "kill"}),
    "partition": frozenset({"heal"}),
}
_SERVER_KINDS = frozenset({"restart_server", "failover"})
_MOMENTS = _SERVER_KINDS | {"skew"}  # over at once, or after `down` seconds
# What leases must bear, or cures.
_HARMLESS = frozenset({"heal", "resume", "restart", "start", "stop", "drain", "hog"})
_EVERYWHERE = (None, "", "*", "all")


class Timing(msgspec.Struct, frozen=True):
    """The longest timings that any instance of the recording declared, ms."""

    lease: int
    leader_lease: int
    sweep: int
    allowance: int

    @property
    def recovery(self) -> int:
        """`max(instance lease, leader takeover) + sweep_every` and the allowance for requests."""
        return max(self.lease, self.leader_lease) + self.sweep + self.allowance

    @property
    def settle(self) -> int:
        """How long an undisturbed cluster may need to decide what was due before."""
        return self.lease + self.leader_lease + self.sweep + WAKE + self.allowance

    @property
    def start(self) -> int:
        """How long READY work may lie beside a free slot: a blocked loop is noticed only by its lease."""
        return self.lease + WAKE + self.allowance


class Span(msgspec.Struct, frozen=True):
    """A fault in effect on one target; `end` is None when nothing ended it."""

    target: str
    kind: str
    start: int
    end: int | None
    fault: dict[str, Any]

    def meets(self, start: float, end: float) -> bool:
        """Whether it was in effect at any moment of [start, end]."""
        return self.start <= end and (self.end is None or self.end >= start)


def is_server(fault: dict[str, Any]) -> bool:
    """Whether the fault hit the server (of which there may be several), not an instance."""
    return fault["kind"] in _SERVER_KINDS or str(fault.get("target") or "").startswith(("server", "redis"))


def is_elsewhere(fault: dict[str, Any]) -> bool:
    """Whether the fault hit a server that the cluster does not use: of several it uses the first."""
    return re.fullmatch(r"server([2-9]|\d{2,})", str(fault.get("target") or "")) is not None


def spans(faults: list[dict[str, Any]]) -> list[Span]:
    """The recorded faults as stretches of time, in order. A client's wrong clock is none: leases do not read it."""
    ordered = sorted(faults, key=lambda fault: float(fault["at"]))
    return [
        Span(
            str(fault.get("target") or ""),
            fault["kind"],
            round(fault["at"] * 1000),
            _end(fault, ordered[i + 1 :]),
            fault,
        )
        for i, fault in enumerate(ordered)
        if fault["kind"] not in _HARMLESS and (fault["kind"] != "skew" or is_server(fault))
    ]


def _end(fault: dict[str, Any], later: list[dict[str, Any]]) -> int | None:
    if fault["kind"] in _MOMENTS:
        return _ms(fault["at"] + (fault.get("down") or 0))
    # A fault of a kind not known here lasts until it is healed.
    cures = _ENDS.get(fault["kind"], _ENDS["partition"])
    for other in later:
        # All links lead to the server: healing those of it heals everybody's.
        everywhere = other["kind"] == "heal" and (other.get("target") in _EVERYWHERE or is_server(other))
        if other["kind"] in cures and (everywhere or other.get("target") == fault.get("target")):
            return _ms(other["at"])
    return None


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


class Health:
    """Answers whether, and since when, a recorded cluster was healthy."""

    def __init__(self, rec: Recording) -> None:
        self.facts = rec.facts
        self.clocks = CLOCKS[rec.world]
        every = spans(rec.fault_log)
        self.server = [span for span in every if is_server(span.fault) and not is_elsewhere(span.fault)]
        self.down = [self._until_joined(span) for span in every if not is_server(span.fault)]
        self.slow = [span for span in self.down if span.kind not in _ENDS]  # it goes on, but late
        self.timing = self._timing(rec)
        self.election = any(life.data.get("election", True) for life in self.facts.lives)
        # An instance whose lease ended had been silent since it last renewed, whatever the reason.
        lost = [life for life in self.facts.lives if life.how == "lost" and life.until is not None]
        self.down += [
            Span(life.name, "lost", self.renewed(life), life.ended, {"kind": "lost", "target": life.name})
            for life in lost
        ]
        resigned = [ms(e) for e in rec.history if e.kind == Kind.LEADER_RESIGNED]
        superseded = [
            life.ended for life in self.facts.lives if life.how == "superseded" and life.ended is not None
        ]
        self.shocks = sorted({span.start for span in self.down} | set(resigned) | set(superseded))

    def lease(self, life: Life) -> int:
        """The instance lease of that incarnation, ms."""
        given = life.data.get("lease")
        return self.timing.lease if given is None else round(given * 1000)

    def renewed(self, life: Life) -> int:
        """When the lease of an incarnation that was lost had last been renewed."""
        return (life.until if life.until is not None else self.facts.end) - self.lease(life)

    def server_ok(self, start: int, end: int) -> bool:
        """Nothing was wrong with the server in [start, end]."""
        return not any(span.meets(start, end) for span in self.server)

    def fit(self, life: Life, start: int, end: int) -> bool:
        """That incarnation took part from start to end: joined, not draining, reachable, awake."""
        if life.joined > start or (life.ended is not None and life.ended <= end):
            return False
        if life.draining is not None and life.draining <= end:
            return False
        return not any(span.target == life.name and span.meets(start, end) for span in self.down)

    def healthy(self, start: int, end: int, but: Life | None = None) -> bool:
        """The server and one instance (other than `but`) were fine all through [start, end]."""
        if not self.server_ok(start, end):
            return False
        return any(life is not but and self.fit(life, start, end) for life in self.facts.lives)

    def horizon(self, upto: int, settle: int) -> int | None:
        """The latest h such that (h, h + settle) was undisturbed and healthy and ended by `upto`."""
        ends = {upto} | {t for t in self.shocks if t <= upto}
        ends |= {span.start - 1 for span in (*self.server, *self.slow) if span.start <= upto}
        for end in sorted(ends, reverse=True):
            start = end - settle
            if start < self.facts.start:
                return None
            if self._quiet(start, end) and self.healthy(start, end - 1):
                return start
        return None

    def window(self, life: Life, since: int, length: int) -> tuple[int, int] | None:
        """The first stretch from `since` on in which the server, an instance other than `life` and whoever led were
        healthy for `length` ms, and for the takeovers that began in it; None when there is none before the end."""
        cured = [span.end + 1 for span in (*self.server, *self.down) if span.end is not None]
        elected = [reign.elected for reign in self.facts.reigns] if self.election else []
        fresh = {since, *cured, *(other.joined for other in self.facts.lives), *elected}
        for start in sorted(at for at in fresh if at >= since):
            end = self.takeovers(start + length)
            if end <= self.facts.end and self.healthy(start, end, but=life) and self._led_well(start, end):
                return start, end
        return None

    def _led_well(self, start: int, end: int) -> bool:
        """No leader of [start, end] was on a bad link: it would go on leading, and sweep late."""
        reigns = self.facts.reigns if self.election else []
        ends = [*(reign.elected - 1 for reign in reigns[1:]), end]
        return not any(
            span.target == reign.instance and max(start, reign.elected) <= min(end, last)
            and span.meets(max(start, reign.elected), min(end, last))
            for reign, last in zip(reigns, ends, strict=False)
            for span in self.slow if span.kind != "lose"  # which ends by itself after a few requests
        )  # fmt: skip

    def takeovers(self, deadline: int) -> int:
        """`deadline` moved on for every leader that was hit or stepped down before, one after the other."""
        lasts = self.timing.leader_lease + self.timing.sweep + self.timing.allowance
        for hit, last_word in self._leaders_hit if self.election else ():
            if hit > deadline:
                break
            deadline = max(deadline, last_word + lasts)
        return deadline

    @cached_property
    def _leaders_hit(self) -> list[tuple[int, int]]:
        """When a leader was hit or stepped down, and when it can last have renewed its leadership."""
        hits = [at for at in self.shocks if self._hits_leader(at)]
        return [
            (at, max([at, *(self._last_word(span) for span in self.down if span.start == at)])) for at in hits
        ]

    def _last_word(self, span: Span) -> int:
        """When a leader that was hit can last have renewed its leadership, by the server's clock."""
        if span.kind != "partition":
            return span.start
        lapsed = span.start + self.timing.leader_lease
        if span.fault.get("direction") == "replies":
            return min(lapsed, span.end or lapsed)  # it goes on asking until its renew deadline, unheard
        # What a cut held back arrives when it is healed, and counts if the leadership has not lapsed.
        return span.end if span.end is not None and span.end < lapsed else span.start

    def _quiet(self, start: int, end: int) -> bool:
        return not any(start < t < end for t in self.shocks) and not any(
            s.meets(start, end - 1) for s in self.slow
        )

    def _hits_leader(self, at: int) -> bool:
        reign = self.facts.leader_at(at)
        if reign is None or (reign.ended is not None and reign.ended <= at):
            return True
        return any(span.target == reign.instance and span.start == at for span in self.down)

    def _until_joined(self, span: Span) -> Span:
        # Whoever joins under a killed instance's name is alive, recorded restart or not.
        joined = [
            life.joined for life in self.facts.lives if life.name == span.target and life.joined > span.start
        ]
        if span.kind != "kill" or not joined or (span.end is not None and span.end < joined[0]):
            return span
        return msgspec.structs.replace(span, end=joined[0])

    def _timing(self, rec: Recording) -> Timing:
        def longest(name: str, default: float) -> int:
            found = [life.data[name] for life in self.facts.lives if life.data.get(name) is not None]
            return round(max(found, default=default) * 1000)

        # The defaults of Settings, for snapshots that name no timings.
        allowance = ALLOWANCE[rec.world]
        return Timing(
            longest("lease", 4.0), longest("leader_lease", 5.0), longest("sweep_every", 1.0), allowance
        )
