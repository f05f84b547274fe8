"""One thing that is broken must not stop what is not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

from apps import eventually
from servers import Server

from labsched import Scheduler, Settings, State, cron, every, manual


async def test_a_definition_that_cannot_be_planned_here_does_not_stop_the_other_tasks(
    realserver: Server,
) -> None:
    app = Scheduler(realserver.url, namespace="poison", settings=Settings(pool_size=4))

    @app.task("tick", every("100ms"), overlap="ALLOW")
    async def tick(ctx: object) -> None:
        return None

    @app.task("bad", cron("* * * * * *", tz="Europe/Berlin"))
    async def bad(ctx: object) -> None:
        return None

    async with app:
        key, due = app._client.key("task", "bad"), app._client.key("due", "")
        definition = (await realserver.client().hget(key, "def")).replace(b"Europe/Berlin", b"Mars/Olympus")
        await realserver.client().hset(key, mapping={"def": definition, "rev": "1"})
        await realserver.client().zadd(due, {"bad": 1})
        async with app.instance("i1"):
            await realserver.client().hset(key, mapping={"def": definition, "rev": "1"})
            before = (await app.metrics()).succeeded
            await eventually(lambda: _more(app, before + 5))


async def _more(app: Scheduler, wanted: int) -> bool:
    return (await app.metrics()).succeeded >= wanted


async def test_a_server_that_forgot_everything_learns_the_tasks_again(realserver: Server) -> None:
    times = {"heartbeat_every": 0.2, "instance_lease": 2.0, "lease_margin": 0.5, "cancel_grace": 0.1}
    app = Scheduler(realserver.url, namespace="flushed", settings=Settings(**times))

    @app.task("job", manual())
    async def job(ctx: object) -> int:
        return 7

    async with app, app.instance("i1"):
        await realserver.client().flushall()
        await eventually(lambda: app.tasks())
        assert (await app.wait(await app.trigger("job"), timeout=10)).result == 7


async def test_payloads_of_many_megabytes_are_claimed_in_parts(realserver: Server) -> None:
    app = Scheduler(realserver.url, namespace="large", settings=Settings(pool_size=50))

    @app.task("job", manual())
    async def job(ctx: object, *, blob: str) -> int:
        return len(blob)

    async with app:
        ids = [await app.trigger("job", blob="x" * 1_000_000) for _ in range(30)]
        async with app.instance("i1"):
            done = [await app.wait(xid, timeout=20) for xid in ids]
    assert {(x.state, x.result, x.attempt) for x in done} == {(State.SUCCEEDED, 1_000_000, 1)}


def test_a_body_in_a_thread_does_not_hold_up_the_end_of_its_process(
    realserver: Server, tmp_path: Path
) -> None:
    script = tmp_path / "slow.py"
    script.write_text(
        "import time\n"
        "from labsched import Scheduler, Settings, every\n"
        f"app = Scheduler({realserver.url!r}, namespace='slow', settings=Settings(drain_timeout='0.2s'))\n"
        "@app.task('slow', every('100ms'))\n"
        "def slow(ctx):\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(60)\n"
        "app.run('i1')\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"begun\n"
    process.terminate()
    began = time.monotonic()
    assert process.wait(30) == 0 and time.monotonic() - began < 25


async def test_versions_beyond_what_the_scripts_can_count_are_refused() -> None:
    import pytest

    from labsched import ConfigError

    with pytest.raises(ConfigError, match="version is 20261124143000123"):
        Scheduler("redis://localhost").add("x", manual(), _body, version=20261124143000123)


async def _body(ctx: object) -> None:
    await asyncio.sleep(0)


async def test_a_task_at_its_max_concurrency_goes_on_as_soon_as_one_of_its_runs_has_ended(
    realserver: Server,
) -> None:
    app = Scheduler(realserver.url, namespace="crowded", settings=Settings(pool_size=10))

    @app.task("job", manual(), max_concurrency=1)
    async def job(ctx: object) -> None:
        await asyncio.sleep(0.001)

    async with app:
        ids = await app.trigger_many("job", [{} for _ in range(30)])
        async with app.instance("i1"):
            began = time.monotonic()
            for xid in ids:
                await app.wait(xid, timeout=30)
    # One run a heartbeat (1 s) would take half a minute.
    assert time.monotonic() - began < 15


async def test_a_thread_body_that_raises_stop_iteration_has_failed(realserver: Server) -> None:
    app = Scheduler(realserver.url, namespace="stop")

    @app.task("job", manual())
    def job(ctx: object) -> int:
        return next(iter(()))

    async with app, app.instance("i1"):
        done = await app.wait(await app.trigger("job"), timeout=10)
    assert done.state is State.FAILED and done.error is not None and "StopIteration" in done.error.message


async def test_a_late_copy_of_an_older_claim_is_given_nothing(realserver: Server) -> None:
    app = Scheduler(realserver.url, namespace="latecopy")
    app.add("job", manual(), _body)
    async with app:
        store = app._client
        inc, _ = await store.call("join", "w", "p", 1, 60_000, "", "{}", 10, "h", 1, "job", 1)
        await app.trigger_many("job", [{} for _ in range(4)])
        assert len(await store.call("claim", "w", inc, 0, "2", 2)) == 4 + 2 * 9
        assert await store.call("claim", "w", inc, 0, "1", 2) == [b"over"]
        assert len(await store.call("claim", "w", inc, 0, "3", 2)) == 4 + 2 * 9


async def test_a_script_that_runs_unguarded_may_have_bodies_in_processes(
    realserver: Server, tmp_path: Path
) -> None:
    """The body's process imports the script again: `run()` there must not become one more instance."""
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from labsched import Scheduler, manual\n"
        f"app = Scheduler({realserver.url!r}, namespace='unguarded')\n"
        "@app.task('double', manual(), runner='process')\n"
        "def double(ctx, n=1):\n"
        "    return 2 * n\n"
        "app.run('i1')\n"
    )
    process = _started(script)
    try:
        app = Scheduler(realserver.url, namespace="unguarded")
        async with app:
            await eventually(lambda: app.tasks())
            done = await app.wait(await app.trigger("double", n=21), timeout=30)
            joins = [e for e in await app.history() if e.kind == "INSTANCE_JOINED"]
        assert (done.state, done.result, len(joins)) == (State.SUCCEEDED, 42, 1)
    finally:
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert b"joined as incarnation" in said


def test_loading_a_script_that_runs_unguarded_is_refused_with_what_to_do(tmp_path: Path) -> None:
    import pytest

    from labsched import ConfigError
    from labsched.cli.usercode import load_app

    (tmp_path / "eager_app.py").write_text(
        "from labsched import Scheduler\napp = Scheduler('redis://localhost')\napp.run()\n"
    )
    with pytest.raises(ConfigError, match=r"calls run\(\) when it is loaded: put that under"):
        load_app(f"{tmp_path / 'eager_app.py'}:app")


def _started(script: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE)
