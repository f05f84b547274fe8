"""What the store and the worker do when the server refuses for a moment, or a reply never comes."""

from __future__ import annotations

import asyncio

import pytest
from redis import exceptions as rex
from servers import Server

from labsched import Scheduler, Settings, State, manual
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
