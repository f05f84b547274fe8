"""The network: every request and every reply is a message that takes its time, or is lost.

Each direction of each link has its own latency, faults and random stream, so that one draw more on one link
moves nothing on another. Messages travel outside of all nodes: what was sent arrives though its sender is
dead. All durations are virtual seconds, times are the loop's.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any, Protocol

from labsched.errors import ConfigError
from labsched.scripts import script

from ..messages import Message

US = 1_000_000


def stream(seed: object, purpose: str, node: str) -> random.Random:
    """A random stream of its own for each purpose and node; the same in every process."""
    return random.Random(f"{seed}/{purpose}/{node}")


class Latency(Protocol):
    """How long a message is on its way."""

    def draw(self, rng: random.Random) -> float: ...


@dataclass(frozen=True)
class Constant:
    seconds: float

    def draw(self, rng: random.Random) -> float:
        return self.seconds


@dataclass(frozen=True)
class Uniform:
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ConfigError(f"uniform from {self.low!r} to {self.high!r}: allowed is 0 <= low <= high")

    def draw(self, rng: random.Random) -> float:
        return self.low + (self.high - self.low) * rng.random()


@dataclass(frozen=True)
class Exponential:
    """`least`, and on top of it an exponential with mean `mean`."""

    mean: float
    least: float = 0.0

    def draw(self, rng: random.Random) -> float:
        return self.least + rng.expovariate(1 / self.mean)


@dataclass(frozen=True)
class Recorded:
    """Drawn from measured samples."""

    samples: tuple[float, ...]

    def draw(self, rng: random.Random) -> float:
        return self.samples[int(rng.random() * len(self.samples))]


class Way:
    """One direction of one link, with its faults. Change them at any time; what is on its way is not touched."""

    __slots__ = ("added", "cut", "factor", "latency", "lose_next", "loss", "rng", "rng_loss")

    def __init__(self, latency: Latency, seed: object, name: str) -> None:
        self.latency = latency
        self.rng, self.rng_loss = stream(seed, "latency", name), stream(seed, "loss", name)
        self.cut = False
        self.lose_next = 0
        self.loss = 0.0
        self.factor, self.added = 1.0, 0.0

    def lost(self) -> str:
        """Why the next message is lost, "" when it is not."""
        if self.lose_next:
            self.lose_next -= 1
            return "lost"
        # Drawn also while the way is cut: a partition must not move what is lost after it.
        unlucky = self.loss > 0 and self.rng_loss.random() < self.loss
        return "partition" if self.cut else "lossy" if unlucky else ""

    def delay(self) -> float:
        """Whole microseconds."""
        return round((self.latency.draw(self.rng) * self.factor + self.added) * US) / US


DEFAULT = Uniform(0.000_1, 0.000_3)
ANY = "*"


class Network:
    """Carries messages between nodes and servers, which are names here.

    Faults apply between two names, or with "*" to all on that side, those yet to come included; "*" replaces
    what was set for one. Each fault has an inverse: call it again with its defaults, or `heal`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seed: object = 0,
        latency: Latency = DEFAULT,
        *,
        record: bool = True,
    ) -> None:
        self.loop, self.seed, self.latency = loop, seed, latency
        self.recording = record
        self.names: dict[bytes, str] = {}  # of scripts that are not the scheduler's own, by their SHA-1
        self._log: list[tuple[Any, ...]] = []
        self._ways: dict[tuple[str, str], Way] = {}
        self._settings: list[tuple[str, str, Callable[[Way], None]]] = []
        self._context = loop._outside_context  # type: ignore[attr-defined]

    # --- faults ---------------------------------------------------------------------------------------

    def partition(self, a: str, b: str = ANY, *, both: bool = True) -> None:
        """Nothing gets from `a` to `b`, and unless `both` is false nothing back. Nobody is told."""
        self._cut(a, b, both, True)

    def heal(self, a: str = ANY, b: str = ANY, *, both: bool = True) -> None:
        """The inverse of `partition`."""
        self._cut(a, b, both, False)

    def lose_next(self, source: str, destination: str, count: int = 1) -> None:
        """The next `count` messages of that direction are lost; 0 takes it back."""
        if count < 0:
            raise ConfigError(f"count is {count}: a number of messages, 0 or more")
        self._set(source, destination, lambda way: setattr(way, "lose_next", count))

    def lossy(self, source: str, destination: str, probability: float = 0.0) -> None:
        """Each message of that direction is lost with that probability."""
        if not 0 <= probability <= 1:
            raise ConfigError(f"probability is {probability}: a number from 0 to 1")
        self._set(source, destination, lambda way: setattr(way, "loss", probability))

    def slow(self, source: str, destination: str, *, factor: float = 1.0, added: float = 0.0) -> None:
        """Messages of that direction take `factor` times as long and `added` seconds more."""
        if not (factor >= 0 and added >= 0):
            raise ConfigError(f"factor is {factor} and added {added}: both must be 0 or more")

        def change(way: Way) -> None:
            way.factor, way.added = factor, added

        self._set(source, destination, change)

    def set_latency(self, source: str, destination: str, latency: Latency | None = None) -> None:
        """The distribution of that direction; None is the network's own."""
        self._set(source, destination, lambda way: setattr(way, "latency", latency or self.latency))

    def way(self, source: str, destination: str) -> Way:
        """That direction of that link."""
        found = self._ways.get((source, destination))
        if found is None:
            name = f"{source}>{destination}"
            found = self._ways[source, destination] = Way(self.latency, self.seed, name)
            for a, b, change in self._settings:
                if a in (source, ANY) and b in (destination, ANY):
                    change(found)
        return found

    def _cut(self, a: str, b: str, both: bool, cut: bool) -> None:
        self._set(a, b, lambda way: setattr(way, "cut", cut))
        if both:
            self._set(b, a, lambda way: setattr(way, "cut", cut))

    def _set(self, source: str, destination: str, change: Callable[[Way], None]) -> None:
        if ANY not in (source, destination):
            change(self.way(source, destination))
            return
        self._settings.append((source, destination, change))
        for (a, b), way in self._ways.items():
            if source in (a, ANY) and destination in (b, ANY):
                change(way)

    # --- messages -------------------------------------------------------------------------------------

    def send(
        self, source: str, destination: str, kind: str, what: tuple[Any, ...], size: int, not_before: float,
        deliver: Callable[..., object], *args: Any,
    ) -> float:  # fmt: skip
        """Put a message on its way; `deliver(*args)` is called when it arrives, outside of all nodes.

        Returns when that will be, for the next message of a connection: none overtakes another (`not_before`).
        """
        now = self.loop.time()
        way = self._ways.get((source, destination)) or self.way(source, destination)
        lost = way.lost()
        at = max(now + way.delay(), not_before)
        if self.recording:
            self._log.append((now, None if lost else at, source, destination, kind, what, size, lost))
        if not lost:
            self.loop.call_at(at, deliver, *args, context=self._context)
        return at

    def messages(self, since: int = 0) -> list[Message]:
        """What was sent, in order, from the `since`th on."""
        return [
            Message(sent, arrived, source, destination, kind, self._name(what), size, lost)
            for sent, arrived, source, destination, kind, what, size, lost in self._log[since:]
        ]

    def forget(self) -> None:
        """Drop what was recorded."""
        self._log.clear()

    def _name(self, what: tuple[Any, ...]) -> str:
        if not what:
            return ""
        head, word, more = what
        command = head.decode("ascii", "replace").upper()
        if command == "EVAL":
            word = hashlib.sha1(word).hexdigest().encode()
        if command in ("EVAL", "EVALSHA"):
            command = self.names.get(word) or _script_names().get(word, command)
        return f"{command} +{more}" if more else command


@functools.cache
def _script_names() -> dict[bytes, str]:
    """The scheduler's own scripts, by their SHA-1."""
    found = (resources.files("labsched") / "lua").iterdir()
    names = sorted(file.name[:-4] for file in found if file.name.endswith(".lua"))
    return {script(name, trusted)[1].encode(): name for name in names for trusted in (True, False)}


def recorded(samples: Iterable[float]) -> Recorded:
    """Latencies as measured (seconds). ConfigError when there are none, or one is below 0."""
    found = tuple(samples)
    if not found or min(found) < 0:
        raise ConfigError("recorded latencies must be one or more numbers of seconds, none below 0")
    return Recorded(found)
