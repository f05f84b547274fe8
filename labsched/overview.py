"""A namespace at one moment, in a number of commands that does not grow with its tasks or its history: for dashboards.

What a dashboard knows from events already (who runs what since when, who holds which lock) is not read here; ids and
names are, so that what was missed of the events can be told.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from .model import InstanceInfo, State
from .registry import Registry
from .replies import Roll

WAITING = (State.READY, State.RETRYING, State.BUFFERED)
# Read in full by an overview that knows the one before; of the others only leases and the leader are new.
MOST_MEMBERS = 2


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """`at`: Unix seconds by the server's clock. `counts`: totals by kind since the namespace began. `due`: of each
    task that has one, its next slot in Unix ms. `states`: how many are RUNNING, READY, RETRYING, BUFFERED. `running`:
    ids. `locks`: when each that is held ends, in Unix ms. Instances come without their handlers; `leases`: how long
    those of the incarnations are, in ms, and which were read longest ago, first."""

    at: float
    instances: tuple[InstanceInfo, ...]
    states: dict[str, int]
    counts: dict[str, int]
    due: dict[str, int]
    running: tuple[str, ...]
    locks: dict[str, int]
    leases: dict[str, float]

    @property
    def leader(self) -> InstanceInfo | None:
        return next((i for i in self.instances if i.leader), None)


async def overview(
    registry: Registry, before: Overview | None = None, first: Collection[str] = ()
) -> Overview:
    """Read it: 11 commands, and two for each instance; given the one `before`, for each of two instances: those in
    `first`, then those it did not know, then those that were read longest ago. How many attempts the others run, and
    whether they drain, is what it was; their leases, heartbeats and the leader are new. Raises as any read does.
    """
    heads = await registry.heads(WAITING)
    known = {str(i.incarnation): i for i in before.instances} if before else {}
    leases = before.leases if before else {}
    anew = _turn(heads.roll, leases, first)[: MOST_MEMBERS if before else None]
    read = {
        str(info.incarnation): (info, lease)
        for info, lease in await registry.members(heads.roll, anew, with_handlers=False)
    }
    kept = {
        inc: (_aged(known[inc], leases[inc], heads.roll), leases[inc])
        for inc in leases
        if inc in heads.roll.names.values() and inc in known and inc not in read
    }
    members = {**kept, **read}
    return Overview(
        at=heads.now / 1000,
        instances=tuple(sorted((info for info, _ in members.values()), key=lambda info: info.name)),
        states={"RUNNING": len(heads.running), **{str(state): size for state, size in heads.sizes.items()}},
        counts=heads.counts,
        due=heads.due,
        running=heads.running,
        locks=heads.locks,
        leases={inc: lease for inc, (_, lease) in members.items()},
    )


def _turn(roll: Roll, leases: Collection[str], first: Collection[str]) -> list[str]:
    """Incarnations in the order in which they should be read."""
    waited = {inc: place for place, inc in enumerate(leases)}
    named = {inc: name in first for name, inc in roll.names.items()}
    return sorted(named, key=lambda inc: (not named[inc], waited.get(inc, -1)))


def _aged(info: InstanceInfo, lease: float, roll: Roll) -> InstanceInfo:
    """What was read of a member, with what the roll says now."""
    inc = str(info.incarnation)
    left = roll.until[inc] - roll.now
    leads = roll.lead is not None and roll.lead[0] == inc
    return msgspec.structs.replace(
        info,
        state="EXPIRED" if left <= 0 else "ACTIVE" if info.state == "EXPIRED" else info.state,
        leader=leads,
        epoch=roll.lead[1] if roll.lead and leads else None,
        heartbeat=round(roll.until[inc] - lease),
        lease_left=left / 1000,
    )
