"""The same run again: from a recording, or twice from its seed. Equal seeds have to tell equal stories."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import msgspec

from labsched.app import Scheduler
from labsched.errors import ConfigError

from .recording import Recording
from .simulated.given import versions
from .simulated.rebuild import lasted, rebuild
from .swarm_tasks import known_app

# Not Python's own version: equal digests on 3.11 to 3.13 are tested.
PINNED = ("labsched", "redis-py", "fakeredis", "simpy")


class Difference(msgspec.Struct, frozen=True):
    """Where two runs part: the number of the event (from 1), and what each tells there, None past its end."""

    number: int
    first: str | None
    second: str | None

    def __str__(self) -> str:
        return (
            f"the runs differ from event {self.number} on\n  first:  {self.first or 'nothing more'}\n"
            f"  second: {self.second or 'nothing more'}"
        )


def replay(rec: Recording, app: Scheduler | None = None) -> Recording:
    """`Recording.replay`."""
    check_versions(rec.versions)
    own = rec.options.get("unrecorded")
    if own:
        raise ConfigError(
            f"the run had code of its own (sim.{', sim.'.join(own)}), which no recording holds: run its script again"
        )
    if app is None and not rec.options.get("tasks"):
        app = known_app()
    with rebuild(rec, app, messages=bool(rec.message_log)) as sim:
        return sim.run(until=lasted(rec))


def check_versions(recorded: Mapping[str, str]) -> None:
    """ConfigError when what a digest depends on has another version here."""
    here = versions()
    other = [
        f"{name} {recorded.get(name, 'unknown')} (here {here[name]})"
        for name in PINNED
        if recorded.get(name) != here[name]
    ]
    if other:
        raise ConfigError(f"the recording is of {', '.join(other)}: only the same versions give the same run")


def difference(first: Recording, second: Recording) -> Difference | None:
    """The first event that two recordings do not share; None when they tell the same story."""
    pairs = itertools.zip_longest(first.story(), second.story())
    for number, (one, other) in enumerate(pairs, 1):
        if one != other:
            return Difference(number, *(None if line is None else line.decode() for line in (one, other)))
    return None


def twice(scenario: Callable[[int], Recording], seed: int) -> tuple[Recording, Difference | None]:
    """Run a seed twice in this process: the first recording, and where the second one differs, which is a defect of
    the simulated world or draws of luck that a body took from elsewhere."""
    first, second = scenario(seed), scenario(seed)
    if not isinstance(first, Recording):
        raise ConfigError(f"the scenario returned {type(first).__name__}, not a Recording")
    return first, difference(first, second)
