"""One instance's place in the cluster: its lease, and being told in time when that is over.

The lease is renewed by heartbeats and judged by the server's clock. The instance counts on its own
monotonic clock from the moment it *sent* the last renewal that was confirmed: `lease_margin` before the
lease could end on the server it gives its attempts up, so that a body never runs on while another may have
begun. A loop timer does that; an alarm on a thread flags the bodies when one of them blocks the loop.

A name belongs to the newest process that joined under it. A member whose lease ended joins again; one whose
name was taken in the meantime does not, or the two would evict each other for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from .clock import Alarm, Host
from .config import Settings
from .errors import StaleIncarnation
from .store import Store, text, texts


class Membership:
    """Joins, renews, notices the end, and joins again under a new incarnation."""

    def __init__(
        self,
        store: Store,
        host: Host,
        settings: Settings,
        name: str,
        scope: str,
        versions: list[str],
        *,
        on_joined: Callable[[str], None],
        on_lost: Callable[[], None],
        on_alarm: Callable[[], None],
        on_line: Callable[[str], None],
        running: Callable[[], int],
        runs: Callable[[], list[int]],
        on_held: Callable[[Mapping[str, str]], None],
    ) -> None:
        self._store, self._host, self._settings, self._name = store, host, settings, name
        self._scope, self._versions = scope, versions
        self._on_joined, self._on_lost, self._on_alarm = on_joined, on_lost, on_alarm
        self._on_line, self._running, self._runs, self._on_held = on_line, running, runs, on_held
        self.incarnation = ""
        self._process, self._serial = host.new_id(), 1  # whose join it is, and which
        self._rival = ("", "")  # who has our name, and its last heartbeat
        self._revoked: list[str] = []  # what the last heartbeat told, for the next one to acknowledge
        self._alarm: Alarm | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._leaving = False
        self._joining = asyncio.Lock()  # a join on its way must not end after we have left

    def _facts(self) -> str:
        s = self._settings
        return msgspec.json.encode(
            {
                "pool_size": s.pool_size, "lease": s.instance_lease, "lease_margin": s.lease_margin,
                "cancel_grace": s.cancel_grace, "drain_timeout": s.drain_timeout, "sweep_every": s.sweep_every,
                "leader_lease": s.leader_lease, "election": s.leader_election, "lock": s.distributed_lock,
                "pid": self._host.pid, "hostname": self._host.hostname,
                "handlers": dict(zip(self._versions[::2], map(int, self._versions[1::2]), strict=True)),
            }
        ).decode()  # fmt: skip

    async def join(self) -> bool:
        """Become a member under a new incarnation.

        The first time what an older one of this name held is lost at once. After that whoever has taken the name
        keeps it: False while it may live, `StaleIncarnation` once it has sent a heartbeat meanwhile.
        """
        reply, sent, _ = await self._store.timed(
            "join", self._name, self._process, self._serial, round(self._settings.instance_lease * 1000),
            self._scope, self._facts(), self._settings.pool_size, self._host.hostname, self._host.pid,
            *self._versions,
        )  # fmt: skip
        if text(reply[0]) == "taken":
            self._look_at(*texts(reply[1:]))
            return False
        self.incarnation, self._serial, self._revoked = text(reply[0]), self._serial + 1, []
        self._journal("joined", lease=self._settings.instance_lease, lease_margin=self._settings.lease_margin,
                      cancel_grace=self._settings.cancel_grace)  # fmt: skip
        self._alarm = self._host.alarm(self._host.clock, self._rang)
        self._prove(sent)
        self._on_joined(self.incarnation)
        return True

    def _look_at(self, incarnation: str, seen: str, hostname: str, pid: str) -> None:
        before, self._rival = self._rival, (incarnation, seen)
        if before[0] == incarnation and before[1] != seen:
            raise StaleIncarnation(
                f"instance {self._name!r} was superseded: a newer process runs under that name (pid {pid} on"
                f" {hostname}), so this one stops for good; stop either, or give each a name of its own"
            )

    def _journal(self, kind: str, **fields: Any) -> None:
        clock = self._host.clock
        self._host.journal(
            kind,
            {"at": clock.now(), "mono": clock.monotonic(), "instance": self._name,
             "incarnation": int(self.incarnation or 0), **fields},
        )  # fmt: skip

    def _prove(self, sent: float, server: int | None = None) -> None:
        """The server confirmed a renewal that was sent at `sent`, at `server` by its own clock (Unix ms)."""
        self._deadline = sent + self._settings.instance_lease - self._settings.lease_margin
        self._journal("proved", sent=sent, server=server, runs=self._runs())
        if self._alarm is not None:
            self._alarm.set(self._deadline)
        self._wait()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        left = max(self._deadline - self._host.clock.monotonic(), 0)
        self._timer = asyncio.get_running_loop().call_later(left, self._expire)

    def _rang(self) -> None:
        """On the alarm's thread: the deadline is over and the loop may be blocked."""
        self._on_alarm()

    def _expire(self) -> None:
        if self.incarnation and self._host.clock.monotonic() >= self._deadline:
            self._end()
        elif self.incarnation:
            self._wait()  # asyncio's timers may be early by the resolution of its clock

    def _end(self) -> None:
        """The lease is over as far as we can prove."""
        if self.incarnation:
            self.stop()
            self._on_lost()
            self.incarnation = ""

    def stop(self) -> None:
        """Forget the deadline: nothing runs on this lease any more."""
        if self._alarm is not None:
            self._alarm.stop()
            self._alarm = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def lost(self, running: list[str], by: str) -> None:
        """Note in the journal who was told."""
        self._journal("lease-lost", deadline=self._deadline, running=running, by=by)

    def note(self, kind: str, **fields: Any) -> None:
        self._journal(kind, **fields)

    async def run(self) -> None:
        """Heartbeats for ever; joins again whenever the lease was lost. `StaleIncarnation`: the name is another's."""
        clock, every = self._host.clock, self._settings.heartbeat_every
        # A heartbeat on its way while we leave is refused: that is no lost lease, and no reason to join again.
        while not self._leaving:
            began = clock.monotonic()
            if not await self._belongs() or await self._beat():
                await clock.sleep(max(every - (clock.monotonic() - began), every / 10))

    async def _belongs(self) -> bool:
        async with self._joining:
            return bool(self.incarnation) or self._leaving or await self.join()

    async def _beat(self) -> bool:
        """One heartbeat; False when this incarnation is over."""
        incarnation, settings = self.incarnation, self._settings
        reply, sent, _ = await self._store.timed(
            "heartbeat", self._name, incarnation, round(settings.instance_lease * 1000), self._running(),
            *self._revoked, first_try=settings.first_heartbeat_try,
        )  # fmt: skip
        if incarnation != self.incarnation or self._leaving:
            return False
        if text(reply[0]) == "refused":
            self._end()
            return False
        # A reply that comes after the deadline proves nothing any more: the bodies were told already.
        if self._host.clock.monotonic() < self._deadline:
            self._prove(sent, int(reply[1]))
        lines = texts(reply[2:])
        for line in lines:
            self._on_line(line)
        held = (line.split(" ", 2) for line in lines if line.startswith("held "))
        self._on_held({token: execution for _, token, execution in held})
        self._revoked = [line.partition(" ")[2] for line in lines if line.startswith("revoked ")]
        return True

    async def leave(self, returned: int) -> None:
        """Leave for good."""
        self._leaving = True
        async with self._joining:
            self.stop()
        if self.incarnation:
            await self._store.call("leave", self._name, self.incarnation, returned)
            self.incarnation = ""
