"""Coroutines, threads and processes: results, timeouts, cancellation, and what each cannot do."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path

import bodies
import pytest
from apps import eventually, new_app, serving

from labsched import exponential, manual

QUICK = exponential("10ms", "10ms", 0)


def gone(pid: int) -> bool:
    """No such process, or one that only waits for its parent to notice."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:
        return Path("/proc/self").exists()  # else there is no /proc here, and it lives


async def run(app, name, **payload):
    return await app.wait(await app.trigger(name, **payload), "20s")


# Coroutines.


async def test_a_coroutine_over_its_timeout_is_cancelled_and_may_be_retried(app):
    ended = []

    @app.task("a", manual(), timeout="80ms", retries=1, backoff=QUICK)
    async def body(ctx):
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(ctx.cancelled)

    async with serving(app):
        done = await run(app, "a")
        assert done.state == "FAILED" and [a.outcome for a in done.attempts] == ["TIMED_OUT"] * 2
        assert done.error.type == "TimeoutError" and "longer than its timeout of 0.08 s" in done.error.message
        assert ended == [True, True]


async def test_a_coroutine_that_ignores_its_timeout_gets_its_verdict_but_keeps_its_slot(valkey):
    app, go = new_app(valkey, pool_size=1), asyncio.Event()

    @app.task("stubborn", manual(), timeout="50ms")
    async def stubborn(ctx):
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue
        return "ignored"

    @app.task("b", manual())
    async def body(ctx):
        return 1

    async with serving(app) as (member,):
        done = await run(app, "stubborn")
        assert done.state == "FAILED" and done.attempts[0].outcome == "TIMED_OUT"
        waiting = await app.trigger("b")
        await asyncio.sleep(0.3)
        assert (await app.execution(waiting)).state == "READY" and len(member.worker.attempts) == 1
        go.set()
        assert (await app.wait(waiting, "10s")).result == 1
        assert (await app.execution(done.id)).state == "FAILED", "what it returned at last counts no more"


async def test_a_cancelled_coroutine_may_clean_up_and_ends_cancelled(app):
    cleaned = []

    @app.task("a", manual(), retries=3)
    async def body(ctx):
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            cleaned.append(ctx.execution)

    async with serving(app):
        id = await app.trigger("a")
        await eventually(lambda: app.executions(state="RUNNING"))
        assert await app.cancel(id) == "requested"
        done = await app.wait(id, "10s")
        assert done.state == "CANCELLED" and cleaned == [id] and done.attempts[0].outcome == "CANCELLED"
        assert await app.cancel(id) == "already"


async def test_a_body_that_ends_while_it_is_asked_to_stop_has_ended(valkey):
    app = new_app(valkey)

    @app.task("a", manual())
    async def body(ctx):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "finished anyway"

    async with serving(app):
        id = await app.trigger("a")
        await eventually(lambda: app.executions(state="RUNNING"))
        await app.cancel(id)
        done = await app.wait(id, "10s")
        assert (done.state, done.result) == ("SUCCEEDED", "finished anyway")


async def test_force_takes_the_token_at_once_and_the_body_is_told(app):
    seen = []

    @app.task("a", manual())
    async def body(ctx):
        try:
            await asyncio.sleep(60)
        finally:
            seen.append(ctx.lease_lost)

    async with serving(app) as (member, *_):
        id = await app.trigger("a")
        await eventually(lambda: app.executions(state="RUNNING"))
        assert await app.cancel(id, force=True) == "cancelled"
        assert (await app.execution(id)).state == "CANCELLED"
        await eventually(lambda: not member.worker.attempts)
        assert seen == [True]
        assert "REFUSED" not in [e.kind for e in await app.history()], "it has nothing more to say"


async def test_a_body_that_was_superseded_cannot_write_its_effect(valkey):
    app, told = new_app(valkey), asyncio.get_running_loop().create_future()

    @app.task("a", manual())
    async def body(ctx):
        try:
            await app.cancel(ctx.execution, force=True)
            await ctx.fence.write("k", 1)
        except BaseException as error:
            told.set_result(type(error).__name__)
            raise

    async with serving(app):
        id = await app.trigger("a")
        assert (await app.wait(id, "10s")).state == "CANCELLED"
        assert await asyncio.wait_for(told, 5) in ("StaleToken", "CancelledError")


async def test_lines_and_progress_that_cannot_be_kept_do_not_stop_the_worker(valkey):
    app = new_app(valkey)

    @app.task("odd", manual())
    async def odd(ctx):
        ctx.log("\ud800 \u0000")
        ctx.log(object)
        return 1

    @app.task("bad", manual())
    async def bad(ctx, done):
        ctx.progress({"nan": float("nan"), "set": {1}, "text": "half"}[done], 1)

    async with serving(app):
        assert (await run(app, "odd")).result == 1
        for done in ("nan", "set", "text"):
            x = await run(app, "bad", done=done)
            assert x.state == "FAILED" and x.error.type == "PayloadError" and "progress" in x.error.message
        x = await app.execution((await run(app, "odd")).id)
        assert x.log[0] == "\\ud800 \u0000"


async def test_an_error_that_cannot_even_be_shown_is_a_failure(valkey):
    app = new_app(valkey)

    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("no")

    @app.task("a", manual())
    async def body(ctx):
        raise Broken

    async with serving(app):
        done = await run(app, "a")
        assert done.state == "FAILED" and done.error.type == "Broken"


# Threads.


async def test_a_plain_function_runs_in_a_thread_of_its_own(app):
    @app.task("a", manual())
    def body(ctx, x):
        assert threading.current_thread() is not threading.main_thread()
        ctx.log("from a thread")
        ctx.progress(1, 2)
        ctx.work(0.01)
        first = ctx.fence.write("k", x)
        return [first, ctx.fence.read("k"), ctx.attempt, ctx.now.tzinfo is not None, ctx.slot]

    async with serving(app):
        done = await run(app, "a", x=5)
        assert done.result == [True, 5, 1, True, None] and done.progress == (1, 2)
        assert (await app.execution(done.id)).log == ("from a thread",)


async def test_a_thread_cannot_be_stopped_its_verdict_is_given_and_its_slot_stays_taken(valkey):
    app, go = new_app(valkey, pool_size=1), threading.Event()

    @app.task("a", manual(), timeout="50ms")
    def body(ctx):
        while not ctx.cancelled:
            time.sleep(0.005)
        go.wait(10)

    @app.task("b", manual())
    async def other(ctx):
        return 1

    async with serving(app) as (member,):
        done = await run(app, "a")
        assert done.state == "FAILED" and done.attempts[0].outcome == "TIMED_OUT"
        waiting = await app.trigger("b")
        await asyncio.sleep(0.2)
        assert (await app.execution(waiting)).state == "READY" and len(member.worker.attempts) == 1
        go.set()
        assert (await app.wait(waiting, "10s")).state == "SUCCEEDED"


async def test_threads_run_side_by_side(valkey):
    app, meet = new_app(valkey, pool_size=3), threading.Barrier(3)

    @app.task("a", manual())
    def body(ctx):
        return meet.wait(10) >= 0

    async with serving(app):
        ids = await app.trigger_many("a", [{}] * 3)
        assert all([(await app.wait(id, "15s")).result for id in ids])


# Processes.

SHORT = {"short": "2s", "longer": "8s", "long": "30s"}  # task: timeout


@pytest.fixture
def processes(valkey):
    app = new_app(valkey)
    for function in vars(bodies).values():
        if callable(function) and getattr(function, "__module__", "") == "bodies":
            app.task(function.__name__, manual(), runner="process")(function)
    app.task("small", manual(), runner="process", memory_limit="256MiB", handler="small")(bodies.hungry)
    for name, timeout in SHORT.items():
        app.task(name, manual(), runner="process", timeout=timeout, handler=name)(bodies.sleep)
    return app


async def test_a_process_does_what_a_thread_does(processes):
    async with serving(processes) as (member,):
        done = await run(processes, "add", x=2, y=3)
        assert done.result == {
            "sum": 5,
            "pid": done.result["pid"],
            "attempt": 1,
            "slot": None,
            "instance": "i1",
        }
        assert done.result["pid"] != os.getpid() and done.progress == (1, 2)
        assert (await processes.execution(done.id)).log == (f"adding in {done.result['pid']}",)
        assert (await run(processes, "fenced")).result == [True, False, 1]
        assert (await run(processes, "waits")).result is True
        assert gone(done.result["pid"]) and not member.worker.attempts


@pytest.mark.parametrize(
    ("name", "type", "message"),
    [
        ("fail", "KeyError", "in another process"),
        ("leave", "SystemExit", "3"),
        ("vanish", "ProcessDied", "ended with exit code 7"),
        ("killed", "ProcessDied", "ended with signal SIGKILL"),
        ("wrong_result", "PayloadError", "result is not JSON"),
    ],
)
async def test_whatever_a_process_does_is_its_failure(processes, name, type, message):
    async with serving(processes):
        done = await run(processes, name)
        assert done.state == "FAILED" and done.error.type == type and message in done.error.message
        if name == "fail":
            assert "bodies.py" in done.error.traceback


@pytest.mark.skipif(sys.platform != "linux", reason="the memory limit works on Linux only")
async def test_a_process_cannot_take_more_memory_than_it_may(processes):
    async with serving(processes):
        assert (await run(processes, "small", mib=8)).result == 8 << 20
        done = await run(processes, "small", mib=1024)
        assert done.state == "FAILED" and done.error.type in ("MemoryError", "ProcessDied")
        if done.error.type == "MemoryError":
            assert done.error.message == "the body needed more than its memory_limit of 268435456 bytes"
        assert (await run(processes, "hungry", mib=300)).result == 300 << 20, "without a limit it may"


async def test_a_process_over_its_timeout_is_killed(processes, tmp_path):
    path = tmp_path / "pid"
    async with serving(processes):
        for name in SHORT:
            done = await run(processes, name, path=str(path))
            assert done.state == "FAILED" and done.attempts[0].outcome == "TIMED_OUT"
            if path.exists():
                break  # on a busy machine its process may not even have begun
        pid = int(path.read_text())
        await eventually(lambda: gone(pid))


@pytest.mark.parametrize("force", [False, True])
async def test_a_cancelled_process_is_killed(processes, tmp_path, force):
    async with serving(processes) as (member,):
        id = await processes.trigger("sleep", path=str(tmp_path / "pid"))
        pid = int(await eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
        await processes.cancel(id, force=force)
        assert (await processes.wait(id, "10s")).state == "CANCELLED"
        await eventually(lambda: gone(pid) and not member.worker.attempts)
