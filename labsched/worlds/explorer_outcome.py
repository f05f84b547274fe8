"""What an order comes to, and what all of them come to together."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .explorer_run import NAMES, Run, Step

if TYPE_CHECKING:
    import pandas as pd

Invariant = Callable[["Outcome"], Any]


class Outcome:
    """One order at its end, for an invariant to judge and for people to read. `why` it is bad, or "".

    `order`     "ABBA": who did a command; "A!" that A died after it, "~" that time passed
    `steps`     the story: (who, what, reply)
    `results`   what each client returned; those who died are not in it
    `crashed`   who died
    `got`       who ever believed that it held; `holders` who still does
    `clash`     who believed so at once, as a sentence, or ""
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.order, self.why = run.order, ""
        self.results, self.crashed = dict(run.results), tuple(run.crashed)
        self.got, self.holders, self.clash = frozenset(run.got), tuple(run.holders), run.clash

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(self._run.steps)

    @cached_property
    def newcomer(self) -> bool:
        """Whether a fresh client that comes `expire` seconds later, alone, gets it. From the first look on its steps
        are part of the story, and `ask` speaks of the time after it."""
        return self._run.newcomer()

    def ask(self, *words: Any) -> Any:
        """What the server answers at the end: `outcome.ask("PTTL", "lock")`. Bytes come as text."""
        return self._run.ask(*words)

    def __repr__(self) -> str:
        return f"<Outcome {self.order}: {self.why or 'good'}>"

    def __str__(self) -> str:
        width = max((len(step.what) for step in self.steps), default=0)
        lines = (
            f"  {step.who:<5}{step.what:<{width}}" + (f"  -> {step.reply}" if step.reply else "")
            for step in self.steps
        )
        return "\n".join((f"{self.order}: {self.why or 'good'}", *(line.rstrip() for line in lines)))


def one_holder(outcome: Outcome) -> str:
    """What `explore` asks of a lock: somebody gets it, never two at once, and a death blocks nobody for good.

    A client gets it by returning True, for ever; or, if it says so itself, from `client.holds()` to
    `client.lets_go()`. Why the outcome is bad, or "".
    """
    if outcome.clash:
        return outcome.clash
    if outcome.holders or not outcome.crashed:
        return "" if outcome.got else "nobody got it"
    dead = " and ".join(outcome.crashed)
    return "" if outcome.newcomer else f"{dead} died, and it is never freed: who comes later does not get it"


class Exploration:
    """What `explore` returns. Counts are exact: of all orders, `total`, so many are `good` and `bad`.

    `shortest` is the bad Outcome with the fewest commands, of these the one that changes least between clients;
    None when all are good.
    """

    def __init__(self, clients: int, all_judged: list[tuple[str, str]], shortest: Outcome | None) -> None:
        self.clients, self.shortest, self._judged = clients, shortest, all_judged
        self.total = len(all_judged)
        self.bad = sum(1 for _, why in all_judged if why)
        self.good = self.total - self.bad

    @cached_property
    def orders(self) -> pd.DataFrame:
        """One row per order, in the order of the search: `order`, `bad`, `why`."""
        import pandas as pd  # only who looks at frames needs it

        frame = pd.DataFrame(self._judged, columns=["order", "why"])
        frame.insert(1, "bad", frame.why != "")
        return frame

    def __repr__(self) -> str:
        worst = "" if self.shortest is None else f", the shortest {self.shortest.order}: {self.shortest.why}"
        return f"<Exploration of {self.clients} clients: {self.bad} of {self.total} orders bad{worst}>"

    def __str__(self) -> str:
        clients = f"{self.clients} client{'s' * (self.clients != 1)}"
        head = f"{self.total} order{'s' * (self.total != 1)} of {clients}: {self.good} good, {self.bad} bad"
        return head if self.shortest is None else f"{head}; the shortest bad one:\n{self.shortest}"


def judged(run: Run, judge: Invariant) -> Outcome:
    """The outcome of a run that is at its end, with what the invariant says."""
    outcome = Outcome(run)
    try:
        said = judge(outcome)
    except AssertionError as error:
        said = str(error) or False
    outcome.why = said if isinstance(said, str) else "the invariant does not hold" if said is False else ""
    run.over()
    return outcome


def length(order: str) -> tuple[int, int]:
    """Commands, deaths and pauses; then changes between clients."""
    names = [word for word in order if word in NAMES]
    return len(order), sum(1 for a, b in itertools.pairwise(names) if a != b)
