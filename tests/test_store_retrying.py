"""What the store and the worker do when the server refuses for a moment, or a reply never comes."""

from __future__ import annotations

import asyncio

import pytest
from apps import eventually
from redis import exceptions as rex
from servers import Server

from labsched import ConfigError, ScheduleError, Scheduler, Settings, State, manual
from labsched.store import Store


@pytest.mark.parametrize(
    "said", ["BUSY Redis is busy running a script.", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN"]
)
async def test_a_refusal_that_passes_by_itself_is_asked_again(said: str) -> None:
    import fakeredis

    store, tries = Store(fakeredis.FakeAsyncRedis(), "busy", patience=5), 0

    async def send() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise rex.ResponseError(said)
        return "done"

    assert await store.retrying(send) == "done" and tries == 3


async def test_another_refusal_is_not_repeated() -> None:
    import fakeredis

    store, tries = Store(fakeredis.FakeAsyncRedis(), "busy", patience=5), 0

    async def send() -> str:
        nonlocal tries
        tries += 1
        raise rex.ResponseError("ERR unknown command")

    with pytest.raises(rex.ResponseError):
        await store.retrying(send)
    assert tries == 1


async def test_a_claim_whose_reply_is_lost_to_an_error_is_asked_again_and_its_work_runs(
    realserver: Server,
) -> None:
    """Else what it was granted would stay RUNNING, run by nobody, until its hard end."""
    app = Scheduler(realserver.url, namespace="lostclaim", settings=Settings(pool_size=4))

    @app.task("job", manual())
    async def job(ctx: object) -> None:
        return None

    async with app:
        ids = await app.trigger_many("job", [{} for _ in range(3)])
        async with app.instance("w1") as member:
            store, hurt = member._store, asyncio.Event()
            plain = store.calls

            async def once(*steps: tuple[str, list[str]]) -> list[object]:
                replies = await plain(*steps)
                if steps[-1][0] == "claim" and len(replies[-1]) > 4 and not hurt.is_set():
                    hurt.set()
                    raise RuntimeError("the reply was here, and something broke")
                return replies

            store.calls = once  # type: ignore[method-assign]
            done = [await app.wait(xid, timeout=10) for xid in ids]
            assert hurt.is_set()
    assert {x.state for x in done} == {State.SUCCEEDED} and {x.attempt for x in done} == {1}


async def test_a_lost_cancel_hint_is_made_good_by_the_next_heartbeat(realserver: Server) -> None:
    app = Scheduler(realserver.url, namespace="lostcancel", settings=Settings(heartbeat_every=0.3))

    @app.task("long", manual())
    async def long(ctx: object) -> None:
        await asyncio.sleep(60)

    async with app, app.instance("i1") as member:
        xid = await app.trigger("long")
        await eventually(lambda: member.worker.attempts)
        member._on_line = lambda line: None  # type: ignore[method-assign]
        assert member._mail is not None
        member._mail._on_line = member._on_line
        assert await app.cancel(xid) == "requested"
        assert (await app.wait(xid, timeout=10)).state is State.CANCELLED


async def test_a_lost_work_hint_costs_no_more_than_the_wake_fallback_however_rare_heartbeats_are(
    realserver: Server,
) -> None:
    times = {"heartbeat_every": 20, "instance_lease": 60, "wake_fallback": 0.2}
    app = Scheduler(realserver.url, namespace="losthint", settings=Settings(**times))

    @app.task("job", manual())
    async def job(ctx: object) -> int:
        return 1

    async with app, app.instance("i1"):
        assert (await app.wait(await app.trigger("job"), timeout=10)).result == 1
        await realserver.client().delete(app._client.key("idle"))  # nobody will be hinted
        assert (await app.wait(await app.trigger("job"), timeout=10)).result == 1


def test_misspelt_settings_and_forgotten_schedules_are_told_by_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting pool_sise=3; did you mean pool_size\?"):
        Settings(pool_sise=3)

    async def body(ctx: object) -> None:
        return None

    with pytest.raises(
        ScheduleError, match=r"schedule must come from every\(\), cron\(\), at\(\) or manual\(\)"
    ):
        Scheduler("redis://localhost").task("forgot")(body)
