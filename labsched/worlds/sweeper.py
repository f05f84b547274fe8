"""`sweep`: one scenario under many seeds, on as many processors as there are.

    result = sweep(lambda seed: swarm(seed), seeds=1000)
    result.guarantees        # how often each was exercised and violated, and how sure that is
    result.frame             # a row per seed

What comes back for a seed is a short summary: a recording exists only while it is judged. Seeds that fail can be
saved as recordings. One that raises is a result of its own and stops nothing; Ctrl-C returns what is there.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import TypeAlias

from labsched.errors import ConfigError

from .outcomes import SeedOutcome, SweepResult, failed, judged
from .recording import Recording

Scenario: TypeAlias = Callable[[int], Recording]
Measure: TypeAlias = Callable[[Recording], Mapping[str, float]]
Progress: TypeAlias = Callable[[int, int, int], object]  # done, of how many, failed

AHEAD = 3  # seeds handed out per processor before their results are awaited: bounds what lies in memory
ELSEWHERE = 64  # the same for an executor whose processors we cannot count


def sweep(
    scenario: Scenario,
    seeds: int | Iterable[int] = 100,
    executor: Executor | None = None,
    *,
    jobs: int | None = None,
    save: str | os.PathLike[str] | None = None,
    measure: Measure | None = None,
    progress: Progress | None = None,
    stop_after: int | None = None,
) -> SweepResult:
    """`scenario(seed)` for each seed (a number means 0 to seeds - 1), every guarantee judged on each recording.

    Runs on `executor`, which stays open: a Dask client's `get_executor()`, say. Without one, `jobs` processes of this
    machine (default: one per processor; 1: in this process) are spawned. Functions travel by cloudpickle, so those of
    a notebook or a lambda will do; a script's call of `sweep` belongs under `if __name__ == "__main__":`.

    `save`: a folder for the recordings of seeds that violate something. `measure(rec)`: figures that become columns.
    `progress(done, total, failed)` is called after each seed; by default a line on stderr if that is a terminal.
    `stop_after`: so many failures are enough. ConfigError for seeds that are none, a scenario that cannot be pickled.
    """
    todo = _seeds(seeds)
    folder = None if save is None else _folder(save)
    tell = progress or (_line if sys.stderr.isatty() else lambda done, total, failed: None)
    work = _pickled(scenario, measure, folder is not None)
    began, outcomes, stopped = time.monotonic(), [], ""
    with _Crew(executor, jobs, len(todo)) as crew:
        try:
            for outcome in crew.each(work, todo):
                outcomes.append(_kept(outcome, folder))
                bad = sum(not one.ok for one in outcomes) if stop_after else 0
                tell(len(outcomes), len(todo), sum(not one.ok for one in outcomes))
                if stop_after and bad >= stop_after:
                    stopped = f"{bad} failures were enough"
                    break
        except KeyboardInterrupt:
            stopped = "interrupted"
        except BrokenExecutor as error:
            if not outcomes:
                raise ConfigError(
                    "the processes of the sweep ended at once: a script has to call sweep under"
                    ' `if __name__ == "__main__":`, as each of them imports it'
                ) from error
            stopped = f"a process of the sweep died: {error}"
    outcomes.sort(key=lambda one: one.seed)
    return SweepResult(tuple(outcomes), len(todo), stopped, time.monotonic() - began)


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    found = list(range(seeds)) if isinstance(seeds, int) else list(dict.fromkeys(seeds))
    wrong = [seed for seed in found if isinstance(seed, bool) or not isinstance(seed, int)]
    if not found or wrong or isinstance(seeds, bool):
        raise ConfigError(f"seeds is {seeds!r}: allowed are a number of 1 or more, or whole numbers")
    return found


def _folder(path: str | os.PathLike[str]) -> Path:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder {path} cannot be made: {error.strerror or error}") from None
    return Path(path)


def _pickled(scenario: Scenario, measure: Measure | None, keep: bool) -> bytes:
    import cloudpickle

    try:
        body: bytes = cloudpickle.dumps((scenario, measure, keep))
    except Exception as error:
        raise ConfigError(f"the scenario cannot be sent to another process: {error}") from error
    return body


def _kept(outcome: SeedOutcome, folder: Path | None) -> SeedOutcome:
    """The recording of a failed seed goes into its file here, since workers may be on other machines."""
    if folder is None or not outcome.recording:
        return outcome
    path = folder / f"seed-{outcome.seed}.json.gz"
    path.write_bytes(outcome.recording)
    return outcome.replace(recording=b"", saved=str(path))


def _line(done: int, total: int, failed: int) -> None:
    end = "\n" if done == total else ""
    print(f"\rsweep: {done} of {total} seeds, {failed} failed", end=end, file=sys.stderr, flush=True)


# --- in the workers


@functools.lru_cache(maxsize=4)
def _unpickled(work: bytes) -> tuple[Scenario, Measure | None, bool]:
    import cloudpickle

    found: tuple[Scenario, Measure | None, bool] = cloudpickle.loads(work)
    return found


def run_seed(work: bytes, seed: int) -> SeedOutcome:
    """One seed, wherever this runs. Never raises what the scenario raises."""
    began = time.monotonic()
    try:
        scenario, measure, keep = _unpickled(work)
        rec = scenario(seed)
        if not isinstance(rec, Recording):
            raise TypeError(f"the scenario returned {type(rec).__name__}, not a Recording")
        return judged(seed, rec, measure, keep, began)
    except Exception as error:
        return failed(seed, error, traceback.format_exc(), began)


# --- who does the work


class _Crew:
    """Hands out seeds, a few ahead of the results, and leaves no process behind."""

    def __init__(self, executor: Executor | None, jobs: int | None, count: int) -> None:
        if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
            raise ConfigError(f"jobs is {jobs!r}: allowed are whole numbers from 1")
        self._jobs = min(jobs or _processors(), count)
        self._given = executor
        self._own: ProcessPoolExecutor | None = None
        self._open: set[Future[SeedOutcome]] = set()

    def __enter__(self) -> _Crew:
        if self._given is None and self._jobs > 1:
            # Spawned: a fork would copy the threads and locks of a notebook's kernel in whatever state they are.
            context = multiprocessing.get_context("spawn")
            self._own = ProcessPoolExecutor(self._jobs, mp_context=context, initializer=_as_worker)
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._open:
            future.cancel()
        if self._own is not None:
            self._own.shutdown(cancel_futures=True)

    def each(self, work: bytes, seeds: list[int]) -> Iterator[SeedOutcome]:
        """Results as they come."""
        pool = self._given or self._own
        if pool is None:
            yield from (run_seed(work, seed) for seed in seeds)
            return
        ahead = AHEAD * self._jobs if self._given is None else ELSEWHERE
        todo = iter(seeds)
        while True:
            while len(self._open) < ahead and (seed := next(todo, None)) is not None:
                self._open.add(pool.submit(run_seed, work, seed))
            if not self._open:
                return
            done, self._open = wait(self._open, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _as_worker() -> None:
    """Of SIGINT a terminal tells all processes, and only the one that was called decides what becomes of it. When
    that one is gone nobody else would end this one: it waits for work on a pipe that it holds open itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
