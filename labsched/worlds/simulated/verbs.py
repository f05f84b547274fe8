"""What can be done to a simulated cluster, by name; when it happens is the matter of whoever inherits this.

sim.kill("i1")                       now
sim.at(12).kill("leader")            at 12 s
sim.press("kill", "leader")          as soon as the running simulation gets to it, from any thread
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from labsched.durations import seconds
from labsched.errors import ConfigError

from ..relay import sides

Direction = Literal["both", "requests", "replies"]


def number(value: object, what: str, least: float = -math.inf, most: float = math.inf) -> float:
    """`value` as a finite float from `least` to `most`; else ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{what} is {value!r}: allowed are finite numbers")
    if not least <= value <= most:
        to = f" to {most:g}" if math.isfinite(most) else ""
        raise ConfigError(f"{what} is {value!r}: allowed are numbers from {least:g}{to}")
    return float(value)


def _drift(value: object) -> float:
    drift = number(value, "drift")
    if drift <= -1:
        raise ConfigError(
            f"drift is {value!r}: a clock that loses a second or more per second runs backwards"
        )
    return drift


class Verbs:
    """Each verb takes the name of an instance or "leader", whoever leads then, or "server" where that makes
    sense. Durations are seconds or text ("250ms"). Each returns the object, so that calls can be chained.
    ConfigError, at once, for what no verb can mean.
    """

    def _do(self, kind: str, target: str, **args: Any) -> Self:
        raise NotImplementedError

    # --- instances (and the server, where it says so)

    def kill(self, name: str) -> Self:
        """SIGKILL: no `finally` runs, sockets close. "server": it is gone until `restart_server`."""
        return self._do("kill", name)

    def restart(self, name: str) -> Self:
        """A new process under that name; a living one is killed first."""
        return self._do("restart", name)

    def pause(self, name: str) -> Self:
        """SIGSTOP, or a garbage collection that takes its time. "server" as well."""
        return self._do("pause", name)

    def resume(self, name: str) -> Self:
        """SIGCONT: it goes on where it was, not knowing."""
        return self._do("resume", name)

    def terminate(self, name: str) -> Self:
        """SIGTERM: it drains and leaves. Recorded as "drain"."""
        return self._do("drain", name)

    def hog(self, name: str, duration: float | str) -> Self:
        """Its event loop is blocked for so long, by code that never awaits."""
        return self._do("hog", name, duration=seconds(duration, "duration"))

    def skew(self, name: str, offset: float = 0.0, *, drift: float | None = None) -> Self:
        """Its wall clock jumps by `offset` seconds (negative: back); with `drift` it gains so many seconds per second
        from now on. "server": the clock by which leases are judged."""
        lag = number(offset, "offset")
        return self._do("skew", name, offset=lag, drift=None if drift is None else _drift(drift))

    # --- links

    def partition(self, name: str, direction: Direction = "both") -> Self:
        """Nothing gets through between it and the server, and nobody is told. One-way: "requests" or "replies"."""
        sides(direction)
        return self._do("partition", name, direction=direction)

    def heal(self, name: str = "all") -> Self:
        """The inverse of `partition`, `slow`, `lossy`, `lose`, `fill` and `make_read_only`."""
        return self._do("heal", name)

    def slow(self, name: str, added: float | str = 0.0, *, factor: float = 1.0) -> Self:
        """Each message of its link takes `factor` times as long and `added` more. "server": each command takes
        `added` of its time."""
        many = number(factor, "factor", 0.0)
        return self._do("slow", name, added=seconds(added, "added"), factor=many)

    def lossy(self, name: str, probability: float, direction: Direction = "both") -> Self:
        """Each message of its link is lost with that probability."""
        sides(direction)
        share = number(probability, "probability", 0.0, 1.0)
        return self._do("lossy", name, probability=share, direction=direction)

    def lose(self, name: str, direction: Direction = "replies", count: int = 1) -> Self:
        """The next `count` requests never arrive, or the next replies never return: nobody knows what happened."""
        sides(direction)
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ConfigError(f"count is {count!r}: allowed are whole numbers from 0")
        return self._do("lose", name, direction=direction, count=count)

    # --- the server

    def restart_server(self, name: str = "server", *, keep: bool = True, down: float | str = 0.0) -> Self:
        """Stop it, and start it `down` seconds later; with `keep=False` it has lost its data."""
        return self._do("restart_server", name, keep=keep, down=seconds(down, "down"))

    def failover(
        self,
        lag: float | str = 0.0,
        *,
        name: str = "server",
        offset: float | None = None,
        down: float | str = 0.0,
    ) -> Self:
        """A replica takes over that knows what the server knew `lag` ago; `offset` is by how much its clock is
        wrong."""
        wrong = None if offset is None else number(offset, "offset")
        return self._do("failover", name, lag=seconds(lag, "lag"), offset=wrong, down=seconds(down, "down"))

    def fill(self, name: str = "server") -> Self:
        """maxmemory is reached: what needs memory is refused, until `heal`."""
        return self._do("out_of_memory", name)

    def make_read_only(self, name: str = "server") -> Self:
        """Writes are refused, as by a replica, until `heal`."""
        return self._do("read_only", name)


class _Asked(Verbs):
    """Keeps what a verb would do."""

    def _do(self, kind: str, target: str, **args: Any) -> Self:
        self.what = kind, target, args
        return self


VERBS = {name: verb for name, verb in vars(Verbs).items() if not name.startswith("_")}


def meant(verb: str, *args: Any, **options: Any) -> tuple[str, str, dict[str, Any]]:
    """What that verb, called with these arguments, does: kind, target and arguments of a fault. ConfigError, in one
    line, for a verb that does not exist and for arguments that it does not take."""
    if verb not in VERBS:
        raise ConfigError(f"there is no verb {verb!r}, there are {', '.join(VERBS)}")
    one = _Asked()
    try:
        getattr(one, verb)(*args, **options)
    except TypeError as error:
        raise ConfigError(f"{verb}: {str(error).replace('Verbs.', '')}") from None
    return one.what
