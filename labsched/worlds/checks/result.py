"""What a check says: violations as sentences, and a report in the order of the guarantees table. Pure values."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

# id -> what "held" means, in the order of the README's table.
GUARANTEES: dict[str, str] = {
    "one-holder": "no lock had two holders, and tokens only grew",
    "no-stale-write": "nothing superseded changed a state",
    "one-execution-per-slot": "every slot became one execution",
    "nothing-lost": "every slot and trigger that was owed is accounted for",
    "effect-once": "no result and no fenced effect was committed twice",
    "bounded-recovery": "what lost instances held was recovered in time",
    "lease-loss-is-told": "lost leases were told in time, and the work stopped",
    "history-complete": "the events explain the final state",
    "legal-transitions": "every execution walked the table of transitions",
    "one-leader-per-epoch": "every epoch had one leader, one at a time",
    "pool-respected": "no pool, concurrency or rate limit was passed",
    "clean-drain": "drained instances claimed nothing and left nothing running",
}
RESET = "history reset"


class Violation(msgspec.Struct, frozen=True):
    """One broken promise. `at` is Unix seconds by the server's clock; `events` are the ids that show it."""

    guarantee: str
    sentence: str
    at: float
    events: tuple[str, ...] = ()


class CheckResult(msgspec.Struct, frozen=True):
    """What one check found. `tested` counts only the occasions on which the guarantee could have been broken."""

    id: str
    tested: int
    violations: tuple[Violation, ...] = ()
    note: str = ""

    @property
    def status(self) -> str:
        """`VIOLATED`, `history reset`, `not exercised` or `held`."""
        if self.violations:
            return "VIOLATED"
        if self.note.startswith(RESET):
            return RESET
        return "held" if self.tested else "not exercised"

    @property
    def ok(self) -> bool:
        return not self.violations

    def sentence(self) -> str:
        """What happened, for people."""
        if self.violations:
            more = len(self.violations) - 1
            return self.violations[0].sentence + (f" (and {more} more)" if more else "")
        if self.status == "held":
            return GUARANTEES[self.id] + (f"; {self.note}" if self.note else "")
        return self.note or "nothing in this run could have broken it"


class Report(msgspec.Struct, frozen=True):
    """All checks on one recording. `history_reset` says that acknowledged writes were lost or are not recorded:
    then most checks claim nothing."""

    results: tuple[CheckResult, ...]
    history_reset: bool = False

    @property
    def ok(self) -> bool:
        """No check found a violation. What was not exercised counts as fine: look at `tested`."""
        return all(result.ok for result in self.results)

    @property
    def violations(self) -> list[Violation]:
        return [violation for result in self.results for violation in result.violations]

    def __getitem__(self, guarantee: str) -> CheckResult:
        for result in self.results:
            if result.id == guarantee:
                return result
        raise KeyError(f"no guarantee {guarantee!r}; there are {', '.join(r.id for r in self.results)}")

    def __iter__(self) -> Iterator[CheckResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __str__(self) -> str:
        head = f"{'guarantee':<24}{'tested':>7}  {'verdict':<15}what was seen"
        rows = (f"{r.id:<24}{r.tested:>7}  {r.status:<15}{r.sentence()}" for r in self.results)
        return "\n".join((head, *rows))


class Finder:
    """Collects what one check finds; `result()` is what the check returns."""

    def __init__(self, guarantee: str) -> None:
        self.guarantee, self.tested, self.note = guarantee, 0, ""
        self.violations: list[Violation] = []

    def found(self, at_ms: float, sentence: str, *events: str | None) -> None:
        named = tuple(event for event in events if event)
        self.violations.append(Violation(self.guarantee, sentence, at_ms / 1000, named))

    def result(self) -> CheckResult:
        return CheckResult(self.guarantee, self.tested, tuple(self.violations), self.note)
