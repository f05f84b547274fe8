"""One check for each guarantee of the README's table, named like it; each reads a recording and nothing else.

    result.py     what a check says           facts.py     what a history says, judged by nobody
    health.py     when promises are due       nouns.py     the words for it
    frames.py     the same as data frames     capacity.py  who could have run what
    shapes.py     what a file must look like  attempts.py  what the events of one execution must say
    definitions.py  what the tasks were
    locks.py      one-holder                  fencing.py   no-stale-write
    slots.py      one-execution-per-slot      lost.py      nothing-lost (with stuck.py, orphans.py)
    lives.py      legal-transitions, effect-once           recovery.py  bounded-recovery (with premature.py)
    telling.py    lease-loss-is-told          complete.py  history-complete
    leaders.py    one-leader-per-epoch        limits.py    pool-respected
    drain.py      clean-drain

docs/recording.md says what each one demands and how it counts `tested`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .complete import history_complete
from .drain import clean_drain
from .fencing import no_stale_write
from .leaders import one_leader_per_epoch
from .limits import pool_respected
from .lives import effect_once, legal_transitions
from .locks import one_holder
from .lost import nothing_lost
from .recovery import bounded_recovery
from .result import GUARANTEES, RESET, CheckResult, Report, Violation
from .slots import one_execution_per_slot
from .telling import lease_loss_is_told

if TYPE_CHECKING:
    from ..recording import Recording

__all__ = [
    "CHECKS", "GUARANTEES", "run", "CheckResult", "Report", "Violation",
    "one_holder", "no_stale_write", "one_execution_per_slot", "nothing_lost", "effect_once", "bounded_recovery",
    "lease_loss_is_told", "history_complete", "legal_transitions", "one_leader_per_epoch", "pool_respected",
    "clean_drain",
]  # fmt: skip

CHECKS: dict[str, Callable[[Recording], CheckResult]] = {
    "one-holder": one_holder,
    "no-stale-write": no_stale_write,
    "one-execution-per-slot": one_execution_per_slot,
    "nothing-lost": nothing_lost,
    "effect-once": effect_once,
    "bounded-recovery": bounded_recovery,
    "lease-loss-is-told": lease_loss_is_told,
    "history-complete": history_complete,
    "legal-transitions": legal_transitions,
    "one-leader-per-epoch": one_leader_per_epoch,
    "pool-respected": pool_respected,
    "clean-drain": clean_drain,
}
# What does not need one unbroken history: tokens, and what instances wrote down themselves.
_ALWAYS = frozenset({"one-holder", "lease-loss-is-told"})


def run(rec: Recording, settle: float | None = None) -> Report:
    """All checks, in the order of the table. `settle` (seconds) is for `nothing_lost`."""
    reset = rec.history_reset
    results = []
    for guarantee, check in CHECKS.items():
        if reset and guarantee not in _ALWAYS:
            results.append(CheckResult(guarantee, 0, (), f"{RESET}: {reset}"))
        elif guarantee == "nothing-lost":
            results.append(nothing_lost(rec, settle))
        else:
            results.append(check(rec))
    return Report(tuple(results), bool(reset))
