"""`shrink`: from a run that violates a guarantee to a small one that still violates the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from labsched.app import Scheduler
from labsched.errors import ConfigError

from .checks.result import Violation
from .recording import Recording
from .shrinker_ddmin import ddmin
from .shrinker_words import cured_by, in_words
from .simulated.rebuild import arguments, lasted, performed, rebuild
from .simulated.simulation import Simulation

__all__ = ["Shrunk", "ddmin", "shrink"]

LIMIT = 500
Fault = dict[str, Any]


class Shrunk(msgspec.Struct, frozen=True):
    """What `shrink` returns: the small `recording`, after how many `runs`, and what it shows in one `sentence`."""

    recording: Recording
    guarantee: str
    runs: int
    sentence: str

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Of that guarantee, in the small recording."""
        return self.recording.check()[self.guarantee].violations

    def __repr__(self) -> str:
        return f"<Shrunk in {self.runs} runs: {self.sentence}>"

    def __str__(self) -> str:
        options = self.recording.options
        who = f"{', '.join(options['instances'])} run {', '.join(options['handlers']) or 'nothing'}"
        head = f"seed {self.recording.seed}, {who} for {lasted(self.recording):g} s"
        return f"{head}: {self.sentence}\n{self.violations[0].sentence}"


def shrink(
    rec: Recording,
    guarantee: str | None = None,
    *,
    app: Scheduler | None = None,
    prepare: Callable[[Simulation], object] | None = None,
    limit: int = LIMIT,
) -> Shrunk:
    """The smallest run found that violates `guarantee` (by default the first that `rec` violates) like `rec` does.

    Faults go first, then instances, tasks and time, and in the end numbers become short. Each step is proved by a
    run; no more than `limit` are made. `app` brings the functions of the tasks, and `prepare(sim)` what else was in
    the world (calls, SimPy processes), as for `rebuild`. ConfigError when `rec` violates nothing, or when running it
    again does not: then the code, or something outside of the recording, is not what it was.
    """
    if not isinstance(rec, Recording):
        raise ConfigError(f"shrink takes a recording and got {rec!r}: load(path) reads one")
    violated = [result.id for result in rec.check() if not result.ok]
    guarantee = guarantee or next(iter(violated), None)
    if guarantee is None or guarantee not in violated:
        found = ", ".join(violated) or "nothing"
        raise ConfigError(
            f"the recording does not violate {guarantee or 'any guarantee'}; it violates {found}"
        )
    search = _Search(rec, guarantee, app, prepare, limit)
    if not search.violates(search.best):
        raise ConfigError(
            f"run again, the recording does not violate {guarantee}: its code or its calls are gone"
        )
    for step in (_fewer_faults, _fewer_instances, _fewer_tasks, _fewer_faults, _less_time, _short_numbers):
        step(search)
    small = search.record(messages=True)
    return Shrunk(small, guarantee, search.runs, f"{in_words(performed(small))}; violated: {guarantee}")


class Candidate(msgspec.Struct, frozen=True):
    """A run that might fail."""

    faults: list[Fault]
    instances: list[str]
    tasks: list[str]
    until: float


class _Search:
    """Runs candidates, each once, and keeps the last that failed as the `best`."""

    def __init__(
        self, rec: Recording, guarantee: str, app: Scheduler | None,
        prepare: Callable[[Simulation], object] | None, limit: int,
    ) -> None:  # fmt: skip
        self._rec, self._guarantee, self._limit = rec, guarantee, limit
        self._app, self._prepare = app, prepare
        options = rec.options
        self.best = Candidate(
            performed(rec), list(options["instances"]), list(options["handlers"]), lasted(rec)
        )
        self._known: dict[bytes, bool] = {}
        self.runs = 0

    def better(self, **change: Any) -> bool:
        """Whether the best with that change still fails; it is the best then."""
        candidate = msgspec.structs.replace(self.best, **change)
        key = msgspec.json.encode(candidate)
        if key not in self._known:
            if self.runs >= self._limit:
                return False
            try:
                self._known[key] = self.violates(candidate)
            except (ConfigError, ExceptionGroup):  # another failure than the one that is looked for
                self._known[key] = False
        return self._known[key]

    def violates(self, candidate: Candidate) -> bool:
        """Run it. If it violates the guarantee it is the best from now on."""
        self.runs += 1
        rec = self._run(candidate)
        if rec.check()[self._guarantee].ok:
            return False
        # What could do nothing when its time came is in the plan, but no fault.
        self.best = msgspec.structs.replace(candidate, faults=performed(rec))
        return True

    def record(self, *, messages: bool) -> Recording:
        """The best, with all that a recording has."""
        return self._run(self.best, messages=messages)

    def _run(self, candidate: Candidate, *, messages: bool = False) -> Recording:
        sim = rebuild(
            self._rec, self._app, faults=candidate.faults, instances=candidate.instances, tasks=candidate.tasks,
            prepare=self._prepare, messages=messages,
        )  # fmt: skip
        with sim:
            return sim.run(until=candidate.until)


def _fewer_faults(search: _Search) -> None:
    # A fault and its end first: neither may be superfluous alone.
    pairs = _pairs(search.best.faults)
    ddmin(pairs, lambda some: search.better(faults=_in_order(itertools.chain.from_iterable(some))))
    ddmin(search.best.faults, lambda some: search.better(faults=some))


def _pairs(faults: list[Fault]) -> list[list[Fault]]:
    pairs, taken = [], set[int]()
    for i, fault in enumerate(faults):
        if i in taken:
            continue
        end = cured_by(fault, faults[i + 1 :])
        later = next((j for j in range(i + 1, len(faults)) if faults[j] is end), None)
        if later is None or later in taken:
            pairs.append([fault])
        else:
            taken.add(later)
            pairs.append([fault, faults[later]])
    return pairs


def _fewer_instances(search: _Search) -> None:
    def fails(names: list[str]) -> bool:
        gone = set(search.best.instances) - set(names)
        return search.better(
            instances=names, faults=[fault for fault in search.best.faults if fault["target"] not in gone]
        )

    ddmin(search.best.instances, fails, least=1)


def _fewer_tasks(search: _Search) -> None:
    ddmin(search.best.tasks, lambda names: search.better(tasks=names), least=1)


def _less_time(search: _Search) -> None:
    """No more at the end than the violation needs; and the first fault as early as can be."""
    low, high = 0.0, search.best.until
    while high - low > max(0.5, high / 50):
        middle = (low + high) / 2
        if search.better(until=middle):
            high = middle
        else:
            low = middle
    first = min((fault["t"] for fault in search.best.faults), default=0.0)
    for start in (1, 2, 3, 5, 8, 13, 21, 34):
        shift = first - start
        if shift <= 0:
            return
        earlier = [{**fault, "t": fault["t"] - shift} for fault in search.best.faults]
        if search.better(faults=earlier, until=search.best.until - shift):
            return


def _short_numbers(search: _Search) -> None:
    for digits in range(4):
        if search.better(until=_up(search.best.until, digits)):
            break
    for i in range(len(search.best.faults)):
        for name in ("t", *arguments(search.best.faults[i])):
            _shorten(search, i, name)


def _shorten(search: _Search, i: int, name: str) -> None:
    value = search.best.faults[i].get(name)
    if not isinstance(value, float):
        return
    for digits in range(4):
        if round(value, digits) == value:
            return
        shorter = [dict(fault) for fault in search.best.faults]
        shorter[i][name] = round(value, digits)
        # Order is part of what is kept: faults of one moment happen in the order of the list.
        if _in_order(shorter) == shorter and search.better(faults=shorter):
            return


def _up(seconds: float, digits: int) -> float:
    step: float = 10.0**-digits
    return round(-(-seconds // step) * step, digits)


def _in_order(faults: Iterable[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: float(fault["t"]))
