"""A namespace at one moment, in a number of commands that does not grow with its tasks or its history: for dashboards.

Two pipelines. What a dashboard knows from events already (who runs what, which locks are held) is not read here.
"""

from __future__ import annotations

import msgspec

from .model import InstanceInfo, State
from .registry import Registry

WAITING = (State.READY, State.RETRYING, State.BUFFERED)


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """`at`: Unix seconds by the server's clock. `counts`: totals by kind since the namespace began. `due`: of each
    task that has one, its next slot in Unix ms. `states`: how many are RUNNING, READY, RETRYING, BUFFERED."""

    at: float
    instances: tuple[InstanceInfo, ...]
    states: dict[str, int]
    counts: dict[str, int]
    due: dict[str, int]

    @property
    def leader(self) -> InstanceInfo | None:
        return next((i for i in self.instances if i.leader), None)


async def overview(registry: Registry) -> Overview:
    """Read it: about 12 commands, and three for each instance. Raises as any read does."""
    (clock, due, counts), sizes = await registry.heads(), await registry.sizes((State.RUNNING, *WAITING))
    instances = await registry.instances()
    return Overview(
        at=clock / 1000,
        instances=tuple(instances),
        states={str(state): size for state, size in sizes.items()},
        counts=counts,
        due=due,
    )
