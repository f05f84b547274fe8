"""A server to which nobody else can write: types of keys are not looked at, and nothing else is different."""

from __future__ import annotations

from typing import Any

import pytest
from cluster import Cluster, ServerClock
from servers import Server
from steps import STEPS, Scene

from labsched.worlds.simulated.fakeserver import SimServer
from labsched.worlds.simulated.network import Network

# What these read beyond what they do is for the checks.
READING = ("finish a slot", "finish a slot badly", "cancel by force", "dispatch", "recover", "leave", "join")


async def commands(server: Server, step: str, *, trusted: bool) -> dict[str, int]:
    """How often that step calls each command."""
    cluster = Cluster(server, trusted=trusted)
    await cluster.redis.flushall()
    scene = await Scene().set(cluster)
    await cluster.redis.config_resetstat()
    await STEPS[step](cluster, scene)
    stats: dict[str, Any] = await cluster.redis.info("commandstats")
    # Whether the server knows a script already depends on who ran before.
    loading = ("cmdstat_eval", "cmdstat_evalsha", "cmdstat_script|load")
    return {name: entry["calls"] for name, entry in stats.items() if name not in loading}


@pytest.mark.parametrize("step", STEPS)
async def test_types_are_looked_at_wherever_others_may_write_and_only_there(
    realserver: Server, step: str
) -> None:
    trusted, other = [await commands(realserver, step, trusted=trust) for trust in (True, False)]
    looked, own = other.pop("cmdstat_type", 0), trusted.pop("cmdstat_type", 0)
    assert own == (1 if step.startswith("enqueue") else 0)  # whether the id is new
    assert looked > own or step == "watch"
    spared = sum(other.values()) - sum(trusted.values())
    assert spared > 0 if step in READING else spared >= 0, (trusted, other)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_on_a_trusted_server_leaves_behind_what_it_does_on_others(sim_loop: Any, step: str) -> None:
    async def left(trusted: bool) -> Any:
        server = Server("simulated", simulated=SimServer(Network(sim_loop)))
        assert server.simulated is not None
        server.simulated.clock.jump(1_750_000_000 - server.simulated.clock.now())
        cluster = Cluster(server, ServerClock(server.simulated), trusted=trusted)
        scene = await Scene().set(cluster)
        await STEPS[step](cluster, scene)
        keys = (await cluster.dump()).keys
        await server.close()
        return keys

    async def both() -> None:
        assert await left(True) == await left(False)

    sim_loop.run(both())
