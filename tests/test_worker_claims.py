"""How much a worker asks for: never more than it can run, with what is on its way counted, and no less for ever."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from labsched import Settings, manual
from labsched.clock import Host
from labsched.definition import define
from labsched.runners import AsyncRunner, Registered
from labsched.worker import Worker


class SlowStore:
    """A server that answers when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[list[Any], asyncio.Future[list[Any]]]] = []
        self._serial = itertools.count(1)

    async def calls(self, *steps: Any) -> list[Any]:
        reply: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        call = (list(steps), reply)
        self.waiting.append(call)
        try:
            return await reply
        except asyncio.CancelledError:
            self.waiting.remove(call)
            raise

    @property
    def claims(self) -> list[int]:
        """How much each call on its way asks for."""
        return [sum(args[-1] for name, args in steps if name == "claim") for steps, _ in self.waiting]

    async def answer(self, grants: int = 0) -> None:
        """Answer the oldest call, granting so many."""
        steps, reply = self.waiting.pop(0)
        claim = [b"ok", b"0", b"", b""]
        for _ in range(grants):
            n = b"%d" % next(self._serial)
            claim += [b"a~" + n, b"a", n, b"1", b"0", b"{}", b"", b"0", b"0"]
        reply.set_result([claim if name == "claim" else b"ok" for name, _ in steps])
        await settle()

    async def fail(self) -> None:
        self.waiting.pop(0)[1].set_exception(KeyError("a bug"))
        await settle()


async def settle() -> None:
    """Let everything happen that can happen without the server."""
    for _ in range(20):
        await asyncio.sleep(0)


class Scene:
    """A worker with two pumps and a pool of 20, on a server that answers by hand."""

    def __init__(self) -> None:
        self.store, self.over = SlowStore(), asyncio.Queue[None]()

        async def body(ctx: Any) -> None:
            await self.over.get()

        job = Registered(define("a", manual()), body)
        self.worker = Worker(
            self.store, Host(), Settings(pool_size=20), "i1", None,  # type: ignore[arg-type]
            {"a": job}, {"async": AsyncRunner()}, lambda: None,  # type: ignore[arg-type,return-value]
        )  # fmt: skip
        self.worker.incarnation, self.worker.claiming = "5", True
        self.pumping = asyncio.create_task(self.worker.run())

    async def hint(self) -> None:
        self.worker.hint()
        await settle()

    async def running(self, n: int) -> None:
        """So many bodies run (11 to 19), and nothing is on its way."""
        await self.hint()
        await self.store.answer(10)
        await self.store.answer(n - 10)
        assert len(self.worker.attempts) == n and self.store.waiting == []

    async def one_ends(self) -> None:
        self.over.put_nowait(None)
        await settle()

    async def again(self) -> None:
        """The pumps broke down, and are started again as the instance does."""
        await asyncio.wait([self.pumping])
        assert self.pumping.exception() is not None
        self.pumping = asyncio.create_task(self.worker.run())
        await settle()


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    made.worker.claiming = False
    made.worker.stop_all("lease")
    made.pumping.cancel()
    await asyncio.wait([made.pumping])


async def test_a_claim_leaves_out_what_another_claim_on_its_way_may_fill(scene):
    await scene.running(15)
    await scene.hint()
    await scene.hint()
    assert scene.store.claims == [5]


async def test_what_a_claim_asked_for_is_free_again_when_it_was_not_given(scene):
    await scene.running(15)
    for _ in range(5):
        await scene.hint()
        assert scene.store.claims == [5]
        await scene.store.answer(0)


async def returned(scene: Scene) -> list[str]:
    """Which executions the next call to the server gives back."""
    (steps, _) = scene.store.waiting[-1]
    return [args[1] for name, args in steps if name == "finish" and "RETURNED" in args]


async def test_what_the_server_says_twice_that_it_holds_is_given_back_also_while_there_is_always_a_claim_on_its_way(
    scene,
):
    await scene.hint()
    for _ in range(2):
        assert scene.store.claims, "a claim is on its way at every comparison"
        scene.worker.compare({"999": "a~999"})
        await settle()
        await scene.hint()
        await scene.store.answer()
        await scene.hint()
    assert await returned(scene) == ["a~999"]


async def test_what_a_claim_without_a_reply_may_have_brought_is_not_given_back(scene):
    await scene.hint()
    for _ in range(3):
        scene.worker.compare({"1": "a~1"})
        await settle()
    assert not any(name == "finish" for steps, _ in scene.store.waiting for name, _ in steps)
    await scene.store.answer(1)
    scene.worker.compare({"1": "a~1"})
    await settle()
    assert list(scene.worker.attempts) == ["1"]
    assert not any(name == "finish" for steps, _ in scene.store.waiting for name, _ in steps)


async def test_what_ends_just_now_is_not_given_back_however_long_the_server_takes_to_hear_of_it(scene):
    await scene.running(12)
    await scene.one_ends()
    for _ in range(3):
        scene.worker.compare({"1": "a~1"})
        await settle()
    while scene.store.waiting:
        assert await returned(scene) == []
        await scene.store.answer()


async def test_a_claim_leaves_out_what_the_server_has_yet_to_hear_the_end_of(scene):
    await scene.running(19)
    await scene.one_ends()
    assert scene.store.claims == [0]  # the end alone
    await scene.hint()
    assert scene.store.claims == [0, 1], "for the server 19 are running still"


async def test_what_the_server_has_heard_the_end_of_is_free(scene):
    await scene.running(19)
    for n in range(1, 6):
        await scene.one_ends()
        await scene.store.answer()
        await scene.hint()
        assert scene.store.claims == [n + 1]
        await scene.store.answer(0)


async def test_what_a_claim_that_broke_down_asked_for_does_not_count_for_ever(scene):
    await scene.hint()
    assert scene.store.claims == [10]
    await scene.store.fail()
    await scene.again()
    while scene.store.waiting:
        await scene.store.answer(0)
    await scene.hint()
    await scene.hint()
    assert scene.store.claims == [10, 10]


async def test_an_end_whose_telling_broke_down_is_told_again_and_then_free(scene):
    await scene.running(19)
    await scene.one_ends()
    await scene.store.fail()
    await scene.again()
    while scene.store.waiting:
        await scene.store.answer(0)
    await scene.hint()
    assert scene.store.claims == [2]
