"""What the simulated loop does when nothing is left, when something fails, and when it is closed."""

# ruff: noqa: ASYNC110  (loops that sleep are what is tested)

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import weakref
from contextlib import closing
from pathlib import Path

import pytest
from simkit import forever, sleeper

from labsched.worlds.simulated import turns
from labsched.worlds.simulated.errors import NothingLeft, Spinning
from labsched.worlds.simulated.loop import SimLoop
from labsched.worlds.simulated.node import Node

# ---------------------------------------------------------------------------------- nothing left, no end


def test_waiting_for_what_can_never_happen_names_who_waits_and_where(sim_loop):
    async def main():
        await inner()

    async def inner():
        await asyncio.Event().wait()

    Node(sim_loop, "i1").create_task(forever(), name="heartbeat")
    sim_loop.create_task(sleeper(7))
    with pytest.raises(NothingLeft) as caught:
        sim_loop.run(main())
    lines = str(caught.value).splitlines()
    assert lines[0] == "nothing will ever happen after 7.000000 s, and these wait:"
    assert "outside: Task-2 waits at locks.py:" in lines[1]  # the innermost line
    assert "i1 (running): heartbeat waits at simkit.py:" in lines[2]
    assert "in forever" in lines[2]
    assert len(lines) == 3


def test_a_long_list_of_waiters_is_cut(sim_loop):
    async def main():
        await asyncio.gather(*(forever() for _ in range(100)))

    with pytest.raises(NothingLeft, match="and 81 more") as caught:
        sim_loop.run(main())
    assert len(str(caught.value).splitlines()) == 22


def test_an_instant_that_does_not_end_is_an_error_that_names_who_spins(sim_loop, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", range(1000))

    async def spin():
        while True:
            await asyncio.sleep(0)

    Node(sim_loop, "i1").create_task(spin(), name="spinner")
    with pytest.raises(
        Spinning, match=r"i1 ran 1,000 handles at 0\.0+ s .*: i1 \(running\): spinner waits at"
    ):
        sim_loop.run(until=1)


# ---------------------------------------------------------------------------------- troubles


def test_an_exception_that_nobody_catches_is_kept_with_its_time_and_place(caplog):
    async def fails():
        await asyncio.sleep(3)
        raise KeyError("lost")

    with closing(SimLoop()) as loop, caplog.at_level(logging.ERROR):
        Node(loop, "i1").create_task(fails(), name="worker")
        loop.call_later(5, lambda: 1 / 0)
        loop.run(until=10)
        first, second = loop.troubles
        assert (first.at, first.node, first.task, repr(first.exception)) == (
            3,
            "i1",
            "worker",
            "KeyError('lost')",
        )
        assert (second.at, second.node) == (5, None)
        assert isinstance(second.exception, ZeroDivisionError)
        with pytest.raises(ExceptionGroup, match=r"at 3\.0+ s, i1, worker: .*lost"):
            loop.check()
    assert len(caplog.records) == 2


def test_a_failed_task_that_somebody_holds_but_never_asked_is_told_once(caplog):
    async def fails():
        raise KeyError("lost")

    with closing(SimLoop()) as loop:
        task = loop.create_task(fails(), name="held")
        loop.run(until=10)
        assert [(trouble.at, trouble.task) for trouble in loop.troubles] == [(0, "held")]
        assert len(loop.troubles) == 1
    del task
    assert len(caplog.records) == 1


def test_an_exception_that_was_caught_is_no_trouble(sim_loop):
    async def fails():
        raise KeyError("caught")

    async def main():
        task = asyncio.create_task(fails())
        await asyncio.sleep(1)
        with pytest.raises(KeyError):
            await task
        await asyncio.gather(fails(), return_exceptions=True)

    sim_loop.run(main())
    assert sim_loop.troubles == []


def test_an_exception_handler_takes_the_troubles_instead(sim_loop):
    seen = []
    sim_loop.set_exception_handler(lambda loop, context: seen.append(context["message"]))
    sim_loop.call_soon(lambda: 1 / 0)
    sim_loop.run(until=1)
    assert len(seen) == 1
    assert sim_loop.troubles == []


# ---------------------------------------------------------------------------------- the end


LEAVING = """
import asyncio, contextlib, sys
from labsched.worlds.simulated.loop import SimLoop
from labsched.worlds.simulated.node import Node

@contextlib.contextmanager
def guarded():
    try:
        yield
    finally:
        print("FINALLY")

async def wait():
    with guarded():
        try:
            await inner()
        except BaseException:
            print("EXCEPT")
        finally:
            print("FINALLY")

async def inner():
    async for _ in numbers():
        await asyncio.get_running_loop().create_future()

async def numbers():
    try:
        yield 1
    finally:
        print("FINALLY")

async def unstarted():
    print("NEVER")

def world():
    loop = SimLoop()
    node = Node(loop, "i1")
    node.create_task(wait())
    loop.create_task(wait())
    loop.run(until=1)
    node.create_task(unstarted())
    node.kill()
    loop.create_task(unstarted())
    return loop

loop = world()
{end}
import gc
gc.collect()
print("end")
"""


@pytest.mark.parametrize("end", ["loop.close(); del loop", "del loop", "kept = loop"])
def test_the_end_of_a_world_runs_none_of_its_code_and_says_nothing(end):
    process = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "always", "-c", LEAVING.replace("{end}", end)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert (process.stdout, process.stderr, process.returncode) == ("end\n", "", 0)


def test_a_closed_loop_takes_no_work(sim_loop):
    sim_loop.close()
    sim_loop.close()
    for use in (sim_loop.call_soon, sim_loop.call_soon_threadsafe):
        with pytest.raises(RuntimeError, match="closed"):
            use(print)
    with pytest.raises(RuntimeError, match="closed"):
        sim_loop.call_later(1, print)
    with pytest.raises(RuntimeError, match="closed"):
        sim_loop.run(until=1)


def test_a_closed_loop_is_let_go_of():
    loop = SimLoop()
    loop.run(sleeper(1))
    loop.close()
    ref = weakref.ref(loop)
    del loop
    gc.collect()
    assert ref() is None
