"""The scheduler without asyncio: the same calls, from plain threads."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator

import pytest
from servers import Server

import labsched
from labsched import ConfigError, Kind, State, UnknownTask, manual
from labsched.sync import Scheduler


@pytest.fixture
def worker(realserver: Server) -> Iterator[str]:
    """An instance on a loop of its own thread; gives the server's URL."""
    import asyncio

    app = labsched.Scheduler(realserver.url, namespace="sync")

    @app.task("double", manual())
    async def double(ctx: object, *, n: int) -> int:
        return 2 * n

    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with app.instance("w1"):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield realserver.url
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    loop.close()


def test_a_script_triggers_waits_and_looks_without_asyncio(worker: str) -> None:
    with Scheduler(worker, namespace="sync") as app:
        done = app.wait(app.trigger("double", n=21), timeout="10s")
        assert (done.state, done.result) == (State.SUCCEEDED, 42)
        assert [x.id for x in app.executions("double")] == [done.id]
        assert app.why(done.id)[0].code == "succeeded"
        assert [t.name for t in app.tasks()] == ["double"] and app.metrics().succeeded == 1


def test_many_threads_share_one_scheduler(worker: str) -> None:
    results: list[int] = []
    with Scheduler(worker, namespace="sync") as app:

        def work(n: int) -> None:
            results.append(app.wait(app.trigger("double", n=n), timeout=10).result)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(results) == [2 * n for n in range(16)]


def test_events_are_followed_by_a_plain_loop(worker: str) -> None:
    with Scheduler(worker, namespace="sync") as app:
        xid = app.trigger("double", n=1)
        kinds = []
        for event in app.events("-"):
            if event.execution == xid:
                kinds.append(event.kind)
                if event.kind is Kind.SUCCEEDED:
                    break
    assert kinds == [Kind.READY, Kind.RUNNING, Kind.SUCCEEDED]


def test_errors_are_those_of_the_asyncio_scheduler(worker: str) -> None:
    app = Scheduler(worker, namespace="sync")
    with pytest.raises(ConfigError, match="not open: use it inside `with app:`"):
        app.tasks()
    with app, pytest.raises(UnknownTask, match="no task 'nobody'"):
        app.trigger("nobody")


def test_every_public_call_of_the_scheduler_has_its_twin() -> None:
    def public(kind: type) -> set[str]:
        return {n for n, m in inspect.getmembers(kind, inspect.isfunction) if not n.startswith("_")}

    only_async = {"configure", "define", "instance", "serve", "now", "snapshot", "registry_open", "own_name"}
    assert public(labsched.Scheduler) - public(Scheduler) == only_async
    for name in public(Scheduler) - {"events", "run"}:
        ours, theirs = (
            list(inspect.signature(getattr(k, name)).parameters) for k in (Scheduler, labsched.Scheduler)
        )
        assert ours == theirs, name
