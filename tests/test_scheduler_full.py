"""A server at maxmemory: leases and retention go on, all else is refused as a whole until there is room again."""

from __future__ import annotations

import contextlib
import itertools
import logging

import pytest
from apps import eventually, new_app, serving
from cluster import Cluster
from steps import GO_ON_WHEN_FULL, STEPS, Scene

from labsched import coordinator, every, instance
from labsched.errors import ServerUnsuitable


@contextlib.asynccontextmanager
async def full(cluster: Cluster):
    await cluster.redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        await cluster.redis.config_set("maxmemory", 0)


@pytest.mark.parametrize("step", sorted(GO_ON_WHEN_FULL))
async def test_leases_and_retention_go_on_when_the_server_is_full(realserver, step):
    cluster = Cluster(realserver)
    scene = await Scene().set(cluster)
    async with full(cluster):
        reply = await STEPS[step](cluster, scene)
    assert not isinstance(reply, list) or reply[0] in ("ok", "leader")
    await cluster.dump()


async def test_a_full_server_elects_and_forgets(realserver):
    cluster = Cluster(realserver)
    await cluster.define()
    member = await cluster.join()
    await cluster.trigger(n=300)
    await member.finish(*await member.claim(300))
    await cluster.passes(200)
    async with full(cluster):
        assert (await member.lead())[0] == "leader"
        reply = await member.trim(max_events=1)
        with pytest.raises(ServerUnsuitable):
            await cluster.trigger()
    assert reply[:2] == ["ok", "300"] and int(reply[2]) > 500
    assert (await cluster.events("FORGOTTEN"))[0]["data"]["count"] == 300


async def test_a_full_server_forgets_events_although_no_execution_is_old_enough(realserver):
    cluster = Cluster(realserver)
    await cluster.define()
    member = await cluster.join()
    await cluster.trigger(n=300)
    await member.finish(*await member.claim(300))
    await cluster.passes(200)
    async with full(cluster):
        reply = await member.trim(age=60_000, max_events=1)
    assert reply[:2] == ["ok", "0"] and int(reply[2]) > 500


async def test_retention_makes_room_although_slots_are_due_that_a_full_server_refuses(valkey, monkeypatch):
    """Dispatch comes first and is refused: that must not keep the leader from retention."""
    monkeypatch.setattr(coordinator, "TRIM_EVERY", 3600)
    cluster = Cluster(valkey)
    app = new_app(valkey, keep_executions=0.05)

    @app.task("a", every("1s"))
    async def body(ctx):
        return None

    async with serving(app):
        await eventually(lambda: app.executions(state="SUCCEEDED"))
        async with full(cluster):
            await eventually(lambda: cluster.events("FORGOTTEN"))


async def test_what_the_server_refuses_is_a_warning_a_second_at_most_and_its_end_is_told(
    valkey, caplog, monkeypatch
):
    monkeypatch.setattr(instance, "CALM", 0.0)
    cluster, app = Cluster(valkey), new_app(valkey)

    @app.task("a", every("200ms"))
    async def body(ctx):
        return None

    def told() -> list[logging.LogRecord]:
        return [r for r in caplog.records if "out of memory" in r.getMessage()]

    with caplog.at_level(logging.INFO, "labsched"):
        async with serving(app):
            await eventually(lambda: app.executions(state="SUCCEEDED"))
            async with full(cluster):
                await eventually(lambda: len(told()) >= 3)
                assert "no more trouble" not in caplog.text
            await eventually(lambda: "no more trouble for 2 s" in caplog.text)
    assert {r.levelname for r in told()} == {"WARNING"}
    at = [r.created for r in told()]
    assert all(later - earlier > 0.9 for earlier, later in itertools.pairwise(at))
