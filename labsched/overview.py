"""A namespace at one moment, in a number of commands that does not grow with its tasks or its history: for dashboards.

What a dashboard knows from events already (who runs what since when, who holds which lock) is not read here; ids and
names are, so that what was missed of the events can be told.
"""

from __future__ import annotations

import msgspec

from .model import InstanceInfo, State
from .registry import Registry

WAITING = (State.READY, State.RETRYING, State.BUFFERED)


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """`at`: Unix seconds by the server's clock. `counts`: totals by kind since the namespace began. `due`: of each
    task that has one, its next slot in Unix ms. `states`: how many are RUNNING, READY, RETRYING, BUFFERED. `running`:
    ids. `locks`: when each that is held ends, in Unix ms. Instances come without their handlers."""

    at: float
    instances: tuple[InstanceInfo, ...]
    states: dict[str, int]
    counts: dict[str, int]
    due: dict[str, int]
    running: tuple[str, ...]
    locks: dict[str, int]

    @property
    def leader(self) -> InstanceInfo | None:
        return next((i for i in self.instances if i.leader), None)


async def overview(registry: Registry) -> Overview:
    """Read it: 12 commands, and two for each instance. Raises as any read does."""
    heads = await registry.heads(WAITING)
    instances = await registry.instances(with_handlers=False)
    return Overview(
        at=heads.now / 1000,
        instances=tuple(instances),
        states={"RUNNING": len(heads.running), **{str(state): size for state, size in heads.sizes.items()}},
        counts=heads.counts,
        due=heads.due,
        running=heads.running,
        locks=heads.locks,
    )
