"""What graders of locks have in common: the learner's function in every order, on copies, under hidden names and times.

A grader is a function that refuses (`refuse`) or comes to its end with a sentence. `judged` makes the verdict of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from labsched.errors import ConfigError
from labsched.worlds.explorer import BadProgram, Exploration, Outcome, explore, one_holder, play

from .answers import rebuilt
from .grading import Grader, Verdict

ALL = 60  # commands of one client in one go: more than any answer sends
ORDERS = 2_500  # of one exploration: beyond it a check would take too long
PATIENCE = 40  # commands of two clients in one order: more than any answer needs that does not wait
BEFORE, AFTER = 0.8, 1.2  # of a lease: still closed, open again


@dataclass(frozen=True)
class Case:
    """A hidden variation: the lock's name, its life in ms, and what the clients call themselves."""

    name: str
    ms: int
    owners: tuple[str, ...]

    def owner(self, client: Any) -> str:
        number: int = client.number
        return self.owners[number % len(self.owners)]


CASES = (
    Case("nightly-report", 5_000, ("i1", "i2", "i3")),
    Case("lock:{7}/über nacht", 30_000, ("worker-b@host 2", "worker-a@host 2", "late")),
    Case("x", 90_000, ("10", "9", "1")),
)

Use = Callable[[Callable[..., Any], Any, Any], Awaitable[Any]]


class Refused(Exception):
    """A verdict on its way out of a grader."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.sentence)
        self.verdict = verdict


def refuse(guarantee: str, sentence: str, picture: Any = None) -> NoReturn:
    """End the grading: the answer is not right. Always raises."""
    raise Refused(Verdict(False, sentence, guarantee, picture))


def judged(judge: Callable[[Any], str]) -> Grader:
    """The grader that `judge` stands for. It returns the sentence of a right answer, and refuses others."""

    @functools.wraps(judge)
    def grade(answer: Any) -> Verdict:
        try:
            return Verdict(True, judge(answer))
        except Refused as refused:
            return refused.verdict
        except BadProgram as told:
            return Verdict(False, f"your code cannot be judged: {told}")

    return grade


class Each:
    """A program for `explore`: `use(copy, client, redis)`, where every client has a copy of the answer of its own."""

    def __init__(self, answer: Any, use: Use) -> None:
        if not inspect.iscoroutinefunction(answer):
            raise ConfigError(f"the answer has to be an `async def`, not {answer!r:.60}")
        self.func = answer  # explore looks here for the file whose lines it names
        self._use = use
        self._copies: dict[int, Callable[..., Any]] = {}

    async def __call__(self, client: Any, redis: Any) -> Any:
        if client.number not in self._copies:
            self._copies[client.number] = rebuilt(self.func)
        return await self._use(self._copies[client.number], client, redis)


def taking(case: Case) -> Use:
    """Each client asks for the lock once; what is true counts as True."""

    async def use(acquire: Callable[..., Any], client: Any, redis: Any) -> bool:
        return bool(await acquire(redis, case.name, case.owner(client), case.ms))

    return use


def every_order(
    program: Any, *, told: str, invariant: Callable[[Outcome], Any] = one_holder, **options: Any
) -> Exploration:
    """`explore`; refused in plain words when the answer waits, or sends so many commands that no check would end."""

    def patient(outcome: Outcome) -> Any:
        if len(outcome.order) > PATIENCE:
            refuse(
                "never-stuck",
                f"{told} asks again and again while another is at it; should that one die, for ever",
            )
        return invariant(outcome)

    try:
        return explore(program, limit=ORDERS, invariant=patient, **options)
    except BadProgram:
        raise
    except ConfigError:
        refuse(
            "", f"{told} takes so many commands that its orders cannot all be tried: it needs five at most"
        )


def every_pause(program: Any, seconds: float, invariant: Callable[[Outcome], Any]) -> Exploration:
    """A is held up for so long after each of its commands, while B gets as far as each of its own; then A goes on.

    Fewer than all orders with a pause, of which there may be thousands, and enough: who goes on first is tried too.
    """
    alone = len(play(program, "", clients=1, invariant=lambda outcome: None).order)
    outcomes: dict[str, Outcome] = {}
    for done in range(1, alone + 1):
        for far in range(alone + 2):
            order = "A" * done + "~" + "B" * far + "A" * ALL + "B" * ALL
            outcome = play(program, order, expire=seconds, invariant=invariant)
            outcomes[outcome.order] = outcome
    worst = min((o for o in outcomes.values() if o.why), key=lambda o: len(o.order), default=None)
    return Exploration(2, [(o.order, o.why) for o in outcomes.values()], worst)


def in_order(explored: Exploration, names: Callable[[Outcome], str]) -> None:
    """Refuse when an order is bad: `names` says which guarantee its shortest one breaks."""
    from ..pictures.lattices import lattice

    worst = explored.shortest
    if worst is not None:
        share = f"{explored.bad} of {explored.total} orders are bad"
        steps: dict[str, list[str]] = {}
        for step in filter(
            lambda step: step.reply, worst.steps
        ):  # without what they believed, and that they died
            steps.setdefault(step.who, []).append(step.what)
        refuse(names(worst), f"in the order {worst.order}: {worst.why} ({share})", lattice(explored, steps))


def after(program: Any, seconds: float, invariant: Callable[[Outcome], Any] = one_holder) -> Outcome:
    """A does all it does; `seconds` pass; B does all it does."""
    return play(program, "A" * ALL + "~" + "B" * ALL, expire=seconds, invariant=invariant)


def check_taking(acquire: Any) -> Exploration:
    """Refuse an `acquire(redis, name, owner, ms)` that is no lock with an end; else what came of all orders."""
    for case in CASES:
        _alone(acquire, case)
        _lasts(acquire, case)
        _by_name(acquire, case)
    alive = _orders(acquire, CASES[1], crashes=False)
    _orders(acquire, CASES[0], crashes=True)
    return alive


def _orders(acquire: Any, case: Case, *, crashes: bool) -> Exploration:
    lease = case.ms / 1000 * AFTER
    explored = every_order(Each(acquire, taking(case)), told="acquire", crashes=crashes, expire=lease)
    in_order(explored, _broken)
    return explored


def _broken(outcome: Outcome) -> str:
    return "one-holder" if outcome.clash else "never-stuck" if outcome.crashed else ""


def _alone(acquire: Any, case: Case) -> None:
    got = play(Each(acquire, taking(case)), "", clients=1, invariant=lambda outcome: None).results["A"]
    if not got:
        refuse("", "nobody ever gets it: alone, on an empty server, acquire said no")


def _lasts(acquire: Any, case: Case) -> None:
    """Closed before `ms` are over, open after."""
    lease = case.ms / 1000
    program = Each(acquire, taking(case))
    if after(program, lease * BEFORE).results["B"]:
        told = f"A took it for {lease:g} s, and {lease * BEFORE:g} s later B got it as well"
        refuse("one-holder", f"{told}: it has to last for all of `ms`")
    if not after(program, lease * AFTER).results["B"]:
        told = (
            f"A took it for {lease:g} s and was never heard of again; {lease * AFTER:g} s later B was refused"
        )
        refuse("never-stuck", f"{told}: it has to end by itself after `ms` milliseconds")


def _by_name(acquire: Any, case: Case) -> None:
    async def use(copy: Callable[..., Any], client: Any, redis: Any) -> bool:
        return bool(await copy(redis, f"{case.name}/{client.number}", case.owner(client), case.ms))

    results = play(Each(acquire, use), "", invariant=lambda outcome: None).results
    if not all(results.values()):
        refuse("", f"two names are two locks: while {case.name}/0 was held, {case.name}/1 was refused")
