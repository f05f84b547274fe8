"""What a sweep keeps of a seed, and what it says of all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from .checks.result import GUARANTEES, Violation
from .proportions import rule_of_three, wilson
from .recording import Recording, packed

if TYPE_CHECKING:
    import pandas as pd

MOST_VIOLATIONS = 5  # kept of one seed: the first ones explain it


class SeedOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One seed. `error` is what the scenario raised, in one line; `seconds` are virtual, `took` real ones."""

    seed: int
    tested: dict[str, int] = {}
    broken: tuple[str, ...] = ()  # ids of violated guarantees
    violations: tuple[Violation, ...] = ()
    reset: bool = False
    events: int = 0
    seconds: float = 0.0
    digest: str = ""
    figures: dict[str, float] = {}
    error: str = ""
    trace: str = ""
    saved: str = ""
    recording: bytes = b""
    took: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.broken and not self.error

    def replace(self, **changes: Any) -> SeedOutcome:
        return msgspec.structs.replace(self, **changes)

    def sentence(self) -> str:
        """What went wrong, for people; empty when nothing did."""
        if self.error:
            return self.error
        more = f" (and {len(self.broken) - 1} more broken)" if len(self.broken) > 1 else ""
        return "".join(f"{v.guarantee}: {v.sentence}{more}" for v in self.violations[:1])


def judged(
    seed: int,
    rec: Recording,
    measure: Callable[[Recording], Mapping[str, float]] | None,
    keep: bool,
    began: float,
) -> SeedOutcome:
    """The summary of a recording; with `keep`, and the recording itself if it violates something."""
    report = rec.check()
    return SeedOutcome(
        seed=seed,
        tested={result.id: result.tested for result in report},
        broken=tuple(result.id for result in report if not result.ok),
        violations=tuple(report.violations[:MOST_VIOLATIONS]),
        reset=report.history_reset,
        events=len(rec.history),
        seconds=round(rec.ended - rec.started, 6),
        digest=rec.digest,
        figures=dict(measure(rec)) if measure else {},
        recording=packed(rec, gzipped=True) if keep and not report.ok else b"",
        took=time.monotonic() - began,
    )


def failed(seed: int, error: BaseException, trace: str, began: float) -> SeedOutcome:
    """The summary of a scenario that raised."""
    return SeedOutcome(seed=seed, error=in_one_line(error), trace=trace, took=time.monotonic() - began)


def in_one_line(error: BaseException) -> str:
    """Its type and what it says; of a group or a traceback inside, the beginning and the end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    first = lines[0].removesuffix("Traceback (most recent call last):").strip(" :")
    if isinstance(error, BaseExceptionGroup) and len(lines) > 1:
        first, lines = lines[1], lines[:1]
    last = f": {lines[-1]}" if lines[-1] != lines[0] else ""
    return f"{type(error).__name__}: {first}{last}" if first else type(error).__name__


class SweepResult(msgspec.Struct, frozen=True, dict=True):
    """All that a sweep found. `asked`: how many seeds it was to run; `stopped`: why it ran fewer, or empty."""

    outcomes: tuple[SeedOutcome, ...]
    asked: int
    stopped: str
    took: float

    @property
    def ok(self) -> bool:
        """No seed violated a guarantee or raised."""
        return not self.failures

    @property
    def failures(self) -> tuple[SeedOutcome, ...]:
        return tuple(outcome for outcome in self.outcomes if not outcome.ok)

    def __len__(self) -> int:
        return len(self.outcomes)

    def __iter__(self) -> Iterator[SeedOutcome]:
        return iter(self.outcomes)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row per seed: ok, violated (ids of guarantees), events, seconds (virtual), digest, error, reset, saved,
        took (real seconds), the figures of `measure`, and `tested NAME` for each guarantee."""
        import pandas as pd

        rows = [
            {
                "ok": one.ok, "violated": ", ".join(one.broken), "events": one.events, "seconds": one.seconds,
                "digest": one.digest, "error": one.error, "reset": one.reset, "saved": one.saved, "took": one.took,
                **one.figures, **{f"tested {name}": one.tested.get(name, 0) for name in GUARANTEES},
            }
            for one in self.outcomes
        ]  # fmt: skip
        return pd.DataFrame(rows, index=pd.Index([one.seed for one in self.outcomes], name="seed"))

    @cached_property
    def guarantees(self) -> pd.DataFrame:
        """A row per guarantee: `violated` (k seeds) of `exercised` (n: seeds in which it could have been broken), the
        Wilson interval `low` to `high` of that share at 95 %, and `at_most`: 3/n where none was violated (else NaN).
        `tested` counts the occasions of all seeds. Seeds that raised are in none of these."""
        import pandas as pd

        return pd.DataFrame([_row(self.outcomes, name) for name in GUARANTEES]).set_index("guarantee")

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """The verdict, then what failed."""
        n, bad = len(self.outcomes), len(self.failures)
        raised = sum(bool(one.error) for one in self.outcomes)
        most = rule_of_three(n)
        sure = (
            f"with 95 % certainty under {most * 100:.2g} % of all do" if most < 1 else "too few to say more"
        )
        yield (
            f"{bad} of {n} seed{'s' * (n != 1)} failed" + (f" ({raised} raised)" if raised else "")
            if bad
            else f"{n} seed{'s' * (n != 1)}, no guarantee violated: {sure}"
        )
        if self.stopped:
            yield f"stopped after {n} of {self.asked} seeds: {self.stopped}"
        for one in self.failures[:10]:
            yield f"  seed {one.seed}: {one.sentence()}" + (f" [{one.saved}]" if one.saved else "")
        if bad > 10:
            yield f"  and {bad - 10} more"


def _row(outcomes: tuple[SeedOutcome, ...], name: str) -> dict[str, Any]:
    k = sum(name in one.broken for one in outcomes)
    n = sum(one.tested.get(name, 0) > 0 or name in one.broken for one in outcomes)
    low, high = wilson(k, n)
    return {
        "guarantee": name, "violated": k, "exercised": n,
        "tested": sum(one.tested.get(name, 0) for one in outcomes),
        "low": low, "high": high, "at_most": float("nan") if k else rule_of_three(n),
    }  # fmt: skip
