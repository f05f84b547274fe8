"""`explore`: every order of a small program's server commands, one after another, counted exactly.

Stateless search: each order is run anew from an empty server, and the next one differs from it as late as possible.
Godefroid, "Model checking for programming languages using VeriSoft", POPL 1997; bounding the crashes and pauses of
one order instead of its length is after Musuvathi and Qadeer, "Iterative context bounding for systematic testing of
multithreaded programs", PLDI 2007 (CHESS). Nothing is left out, so the counts are those of a textbook.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

from labsched.errors import ConfigError

from .explorer_outcome import Exploration, Invariant, Outcome, judged, length, one_holder
from .explorer_redis import StepRedis
from .explorer_run import DIES, NAMES, PASSES, Program, Run, Step
from .explorer_watch import BadProgram
from .simulated.threads import in_thread

__all__ = ["BadProgram", "Exploration", "Outcome", "Step", "explore", "one_holder", "play"]

EXPIRE = 3600.0
LIMIT = 100_000


def explore(
    program: Program,
    clients: int = 2,
    *,
    invariant: Invariant | None = None,
    crashes: bool = False,
    pauses: bool = False,
    expire: float = EXPIRE,
    limit: int = LIMIT,
    decode_responses: bool = True,
) -> Exploration:
    """Every order in which the server can do the commands of `clients` copies of `program`.

    `await program(client, redis)`: `client` is its name, "A", "B", ..., a text; `redis` a `redis.asyncio.Redis`.
    Between two commands of a client any commands of others may come; a script, and MULTI to EXEC, is one command.
    `crashes`: also every order in which one client dies after one of its commands, before it hears the reply.
    `pauses`: also every order in which, between two commands, `expire` seconds pass. Otherwise no time passes.
    `invariant(outcome)` says why an outcome is bad: a text, False, or a failed assertion; None, True and "" are good.

    ConfigError beyond `limit` orders; BadProgram, which names client and line, when the program raises, waits for a
    clock, does 10,000 commands without return, or does not do the same when the same order is run again.
    """
    _check(clients, expire)
    search = _Search(program, clients, crashes, pauses, expire, decode_responses)
    judge = invariant or one_holder
    return cast(Exploration, _beside(lambda: _explored(search, judge, clients, limit), search.stop))


def play(
    program: Program,
    order: str,
    clients: int = 2,
    *,
    invariant: Invariant | None = None,
    expire: float = EXPIRE,
    decode_responses: bool = True,
) -> Outcome:
    """That one order ("ABBA", "A!B", "A~BA"), to be looked at. Who is named after its end is passed over; what the
    order leaves open is done in the order of names. ConfigError for what is no order; otherwise as `explore`.
    """
    _check(clients, expire)
    search = _Search(program, clients, False, False, expire, decode_responses)
    choices = _choices_of(order, clients)

    def played() -> Outcome:
        run = search.run()
        for choice in choices:
            if choice == PASSES or choice[0] in run.going:
                run.do(choice)
        while run.going:
            run.do(run.going[0])
        return judged(run, invariant or one_holder)

    return cast(Outcome, _beside(played, search.stop))


def _choices_of(order: str, clients: int) -> list[str]:
    found = re.findall(f"[{NAMES[:clients]}]{DIES}?|{PASSES}", order)
    if "".join(found) != order:
        names = ", ".join(NAMES[:clients])
        raise ConfigError(
            f"order {order!r} is not made of {names}, each perhaps with {DIES!r} behind it, and {PASSES!r}"
        )
    return found


class _Search:
    """All runs, depth first."""

    def __init__(
        self,
        program: Program,
        clients: int,
        crashes: bool,
        pauses: bool,
        expire: float,
        decode_responses: bool,
    ) -> None:
        self._program, self._expire = program, expire
        self._crashes, self._pauses = crashes, pauses
        self._handles = [StepRedis(decode_responses=decode_responses) for _ in range(clients + 1)]
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> Run:
        """A new one, at its beginning."""
        return Run(self._program, self._handles, self._expire)

    def runs(self) -> Iterator[Run]:
        """One run for each order, at its end."""
        path: list[tuple[list[str], int]] = []  # the choices at each point, and which is taken
        while not self._stopped:
            run, depth = self.run(), 0
            while choices := self._choices(run):
                if depth == len(path):
                    path.append((choices, 0))
                elif path[depth][0] != choices:
                    raise _strayed(run, path[depth][0])
                run.do(choices[path[depth][1]])
                depth += 1
            if depth < len(path):
                raise _strayed(run, path[depth][0])
            yield run
            while path and path[-1][1] + 1 == len(path[-1][0]):
                path.pop()
            if not path:
                return
            path[-1] = (path[-1][0], path[-1][1] + 1)

    def _choices(self, run: Run) -> list[str]:
        going = run.going
        choices = list(going)
        if self._crashes and not run.crashed:
            choices += [name + DIES for name in going]
        if self._pauses and going and run.order and PASSES not in run.order:
            choices.append(PASSES)
        return choices


def _explored(search: _Search, judge: Invariant, clients: int, limit: int) -> Exploration:
    found: list[tuple[str, str]] = []
    shortest: Outcome | None = None
    for run in search.runs():
        if len(found) == limit:
            raise ConfigError(
                f"there are more than {limit:,} orders: fewer clients or commands, or a higher limit="
            )
        outcome = judged(run, judge)
        found.append((outcome.order, outcome.why))
        if outcome.why and (shortest is None or length(outcome.order) < length(shortest.order)):
            shortest = outcome
    return Exploration(clients, found, shortest)


def _strayed(run: Run, before: list[str]) -> BadProgram:
    name = (run.going or before)[0].rstrip(DIES)
    run.over()
    what = (
        "did something else when the same order was run again: a program may keep nothing but on the server"
    )
    return BadProgram(what, name, None, run.order)


def _beside(call: Callable[[], Any], interrupt: Callable[[], None]) -> Any:
    """`call()`, in a thread of its own where an event loop runs: a program must not meet that loop."""
    return call() if asyncio._get_running_loop() is None else in_thread(call, interrupt=interrupt)


def _check(clients: int, expire: float) -> None:
    if isinstance(clients, bool) or not isinstance(clients, int) or not 1 <= clients < len(NAMES):
        raise ConfigError(f"clients is {clients!r}: allowed are 1 to {len(NAMES) - 1}")
    if not expire > 0:
        raise ConfigError(f"expire is {expire!r}: seconds, above 0")
