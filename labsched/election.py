"""Leader election: a lease on leadership, fenced by its epoch.

Several instances may believe that they lead; every dispatch carries the epoch, and only the newest one
can act. A leader stops believing `renew_deadline` after the last renewal that it could prove, by its own
monotonic clock, well before the lease ends on the server.
"""

from __future__ import annotations

from .clock import Host
from .config import Settings
from .store import Store, text


class Election:
    """One instance's view of who leads. With `enabled` off everybody may coordinate, without an epoch."""

    def __init__(self, store: Store, host: Host, settings: Settings, name: str) -> None:
        self._store, self._host, self._settings, self._name = store, host, settings, name
        self.enabled = settings.leader_election
        self.incarnation = ""
        self._epoch = ""
        self._proved = float("-inf")

    @property
    def epoch(self) -> str:
        """The fence that goes with every act of coordination; '' without election."""
        return self._epoch

    def believes(self) -> bool:
        """Whether this instance may try to coordinate now."""
        if not self.enabled:
            return True
        return bool(self._epoch) and self._host.clock.monotonic() < self.deadline()

    def deadline(self) -> float:
        """Monotonic time at which this leader gives up unless it renews."""
        return self._proved + self._settings.leader_renew_deadline

    def forget(self) -> None:
        """Stop believing, without telling anybody (the epoch was refused, or its time is over)."""
        self._epoch = ""

    async def campaign(self) -> float | None:
        """Try to become leader. None: we lead. Else seconds until the present leader's lease can end."""
        return await self._lead("")

    async def renew(self) -> bool:
        """Prolong our leadership; False when it is lost."""
        if not self._epoch:
            return False
        return await self._lead(self._epoch) is None

    async def _lead(self, epoch: str) -> float | None:
        lease = round(self._settings.leader_lease * 1000)
        # Not a campaign: a copy of it that comes late would elect one who does not know.
        first_try = self._settings.first_leader_try if epoch else None
        reply, sent, _ = await self._store.timed(
            "lead", self._name, self.incarnation, epoch, lease, first_try=first_try
        )
        verdict = text(reply[0])
        if verdict == "leader":
            self._epoch, self._proved = text(reply[1]), sent
            return None
        self._epoch = ""
        return int(reply[1]) / 1000 if verdict == "follower" else self._settings.leader_retry

    async def resign(self) -> None:
        """Step down, so that another leads at once."""
        if self._epoch:
            await self._store.call("resign", self._name, self.incarnation, self._epoch)
            self._epoch = ""
