"""A Redis server of the simulated world: fakeredis behind a network, on a clock of its own, with faults."""

from __future__ import annotations

from collections.abc import Callable

from labsched.errors import ConfigError

from .answering import Answering
from .clocks import SimClock
from .mending import MendedServer


class SimServer(Answering):
    """`name` is where it is reached. `service`: seconds of work per command. `history` is what a failover needs:
    each changing command is kept, until data is lost on purpose.

    Faults are methods and attributes, each with its inverse: `stop`/`start`, `pause`/`resume`, `full`, `read_only`,
    `service`, `clock`; `restart` and `failover` are done when they return or `down_for` seconds later, at `back_at`.
    """

    back_at: float | None = None  # virtual seconds; None while it is up, or when nobody will start it

    @property
    def full(self) -> bool:
        """maxmemory is reached: what may need memory is refused (OOM)."""
        return self.data.full

    @full.setter
    def full(self, full: bool) -> None:
        self.data.full = full

    @property
    def read_only(self) -> bool:
        """Writes are refused, as by a replica."""
        return self.data.read_only

    @read_only.setter
    def read_only(self, read_only: bool) -> None:
        self.data.read_only = read_only

    def stop(self) -> None:
        """The process ends: connections are closed, new ones refused. Its data stays for `start`."""
        self._life += 1  # also when it is down
        self.back_at = None
        if not self.up:
            return
        self.up = False
        self._held.clear()
        self._talking.clear()
        for peer in list(self._peers.values()):
            self._drop(peer, tell=True)
        if self._history is not None:
            self._history.learn(self.data.script_cache)
        self.data.script_cache.clear()

    def start(self, *, keep: bool = True) -> None:
        """It is there again, with its data or (`keep=False`) empty. Scripts are forgotten either way."""
        if self.up:
            return
        if not keep:
            if self._history is not None:
                self._history.clear()
            self._replace(self._fresh())
        self.up, self.paused, self._free_at, self.back_at = True, False, 0.0, None

    def restart(self, *, keep: bool = True, down_for: float = 0.0) -> None:
        """Stop, and start `down_for` seconds later."""
        self.stop()
        self._later(down_for, lambda: self.start(keep=keep))

    def failover(self, lag: float = 0.0, *, offset: float | None = None, down_for: float = 0.0) -> int:
        """The replica takes the server's place: it has what the server had `lag` seconds ago. With `offset` its
        clock is that wrong (seconds), and true apart from that. Returns how many changing commands are lost."""
        if self._history is None:
            raise ConfigError(f"server {self.name!r} keeps no history: there is no replica to fail over to")
        if lag < 0:
            raise ConfigError(f"lag is {lag}: seconds, 0 or more")
        self.stop()
        lost = self._history.cut(self._loop.time() - lag)
        replica = self._fresh()
        self._history.repeat(replica)
        self._replace(replica)
        if offset is not None:
            self.clock = SimClock(self._loop, offset=offset)
        self._later(down_for, self.start)
        return lost

    def pause(self) -> None:
        """SIGSTOP: requests are taken in by the kernel and wait, and so do time limits."""
        self.paused = True

    def resume(self) -> None:
        """SIGCONT."""
        self.paused = False
        held, self._held = self._held, []
        for act in held:
            act()

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        if seconds <= 0:
            act()
            return
        life, self.back_at = self._life, self._loop.time() + seconds

        def still() -> None:
            if self._life == life and not self.up:
                act()

        self._loop.call_at(self.back_at, still, context=self._outside)

    def _replace(self, data: MendedServer) -> None:
        data.full, data.read_only = self.data.full, self.data.read_only
        self.data = data
