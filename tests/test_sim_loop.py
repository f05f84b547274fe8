"""The loop of the simulated world: its time, and the ways to run it."""

# ruff: noqa: ASYNC110  (loops that sleep are what is tested)

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from contextlib import closing

import pytest
from simkit import forever, sleeper

from labsched.worlds.simulated.errors import NothingLeft
from labsched.worlds.simulated.loop import SimLoop
from labsched.worlds.simulated.node import Node, current_node

# ---------------------------------------------------------------------------------- time


def test_an_hour_passes_in_no_time_and_every_clock_of_it_agrees(sim_loop):
    began = time.monotonic()
    sim_loop.run(sleeper(3600))
    assert sim_loop.time() == sim_loop.env.now == 3600
    assert time.monotonic() - began < 5


def test_the_running_loop_is_this_one_while_it_runs_and_none_afterwards(sim_loop):
    async def main():
        return asyncio.get_running_loop()

    assert sim_loop.run(main()) is sim_loop
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_timers_fall_due_at_whole_microseconds(sim_loop):
    async def main():
        await asyncio.sleep(0.1 + 0.2)
        first = sim_loop.time()
        await asyncio.sleep(1 / 3)
        return first, sim_loop.time()

    assert sim_loop.run(main()) == (0.3, 0.633333)


def test_a_rest_of_time_below_a_microsecond_still_passes(sim_loop):
    async def main():
        while sim_loop.time() < 1.0000001:
            await asyncio.sleep(1.0000001 - sim_loop.time())

    sim_loop.run(main())
    assert sim_loop.time() == 1.000001


def test_a_timer_of_now_or_the_past_runs_in_turn_and_one_of_never_does_not_run(sim_loop):
    seen = []

    async def main():
        await asyncio.sleep(5)
        sim_loop.call_at(3, seen.append, "past")
        sim_loop.call_later(0, seen.append, "now")
        sim_loop.call_later(float("inf"), seen.append, "never")
        sim_loop.call_soon(seen.append, "soon")
        await asyncio.sleep(100)

    sim_loop.run(main())
    assert seen == ["past", "now", "soon"]


def test_timers_of_one_instant_run_in_the_order_of_their_setting(sim_loop):
    seen = []
    for i in range(50):
        sim_loop.call_at(7 - 1e-9 * i, seen.append, i)  # one microsecond, whatever the rest says
    sim_loop.run(until=8)
    assert seen == list(range(50))


def test_a_cancelled_timer_does_not_run_and_does_not_stop_time(sim_loop):
    sim_loop.call_later(50, pytest.fail, "ran").cancel()
    with pytest.raises(NothingLeft):
        sim_loop.run(forever())
    assert sim_loop.time() == 0


def test_a_cancelled_timer_leaves_the_others_of_its_instant_alone(sim_loop):
    seen = []
    timers = [sim_loop.call_at(3, seen.append, i) for i in range(4)]
    timers[1].cancel()
    timers[1].cancel()
    sim_loop.call_at(3, seen.append, "late")
    sim_loop.run(until=4)
    assert seen == [0, 2, 3, "late"]


def test_cancelled_timers_are_swept_out(sim_loop):
    async def main():
        for _ in range(5000):
            async with asyncio.timeout(1800):
                await asyncio.sleep(0.001)

    sim_loop.run(main())
    assert len(sim_loop.env._queue) < 300


# ---------------------------------------------------------------------------------- run


def test_run_until_stops_at_the_time_and_goes_on_from_there(sim_loop):
    ticks = []

    async def tick():
        for _ in range(10):
            ticks.append(sim_loop.time())
            await asyncio.sleep(1)

    sim_loop.create_task(tick())
    sim_loop.run(until=3)
    assert (ticks, sim_loop.time()) == ([0, 1, 2], 3)  # what is due at 3 belongs to the next run
    sim_loop.run(until=5.5)
    assert (ticks, sim_loop.time()) == ([0, 1, 2, 3, 4, 5], 5.5)


def test_run_without_an_end_ends_when_nothing_is_left(sim_loop):
    sim_loop.create_task(sleeper(12))
    sim_loop.run()
    assert sim_loop.time() == 12


def test_run_returns_and_raises_what_its_coroutine_does(sim_loop):
    async def boom():
        await asyncio.sleep(1)
        raise KeyError("boom")

    assert sim_loop.run(sleeper(2, "value")) == "value"
    with pytest.raises(KeyError, match="boom"):
        sim_loop.run(boom())
    assert sim_loop.time() == 3


def test_a_task_that_is_not_done_in_time_says_where_it_is_and_can_be_run_on(sim_loop):
    task = sim_loop.create_task(sleeper(10, "value"), name="slow")
    with pytest.raises(TimeoutError, match=r"not done by 4 s: outside: slow waits at .*\.py:\d+ in sleep"):
        sim_loop.run(task, until=4)
    assert sim_loop.time() == 4
    assert sim_loop.run(task) == "value"
    assert sim_loop.time() == 10


def test_a_time_limit_that_was_not_needed_leaves_no_trace(sim_loop):
    sim_loop.run(sleeper(1), until=50)
    sim_loop.run()
    assert sim_loop.time() == 1


def test_the_past_cannot_be_run_to(sim_loop):
    sim_loop.run(until=5)
    with pytest.raises(ValueError, match=r"until=4 lies before now, 5\.0"):
        sim_loop.run(until=4)
    with pytest.raises(ValueError, match="until=nan"):
        sim_loop.run(until=float("nan"))


def test_stop_ends_a_run_that_can_be_continued(sim_loop):
    task = sim_loop.create_task(sleeper(10, "value"))
    sim_loop.call_at(3, sim_loop.stop)
    with pytest.raises(RuntimeError, match=r"stopped at 3\.0+ s before it was done"):
        sim_loop.run(task)
    assert sim_loop.run(task) == "value"


def test_stop_leaves_what_is_ready_in_that_instant_to_the_next_run(sim_loop):
    seen = []
    sim_loop.call_soon(sim_loop.stop)
    sim_loop.call_soon(seen.append, "ready")
    sim_loop.run()
    assert seen == []
    sim_loop.run()
    assert seen == ["ready"]


def test_a_second_run_inside_the_first_is_refused(sim_loop):
    async def main():
        with pytest.raises(RuntimeError, match="runs already"):
            sim_loop.run(until=5)

    sim_loop.run(main())


def test_asyncios_own_ways_to_run_a_loop_work_too(sim_loop):
    assert sim_loop.run_until_complete(sleeper(1, "value")) == "value"
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        assert runner.run(sleeper(5, "again")) == "again"
        assert runner.get_loop().time() == 5


def test_a_simulation_runs_in_a_thread_of_its_own_while_another_loop_runs():
    var = contextvars.ContextVar("var", default="none")

    async def cell():  # as in a notebook
        with closing(SimLoop()) as loop:
            first = loop.run(sleeper(5, threading.current_thread().name))
            var.set("cell")
            inside = loop.run(whose_thread())
            with pytest.raises(ZeroDivisionError):
                loop.run(divide())
            loop.run(until=20)
            return first, inside, loop.time(), asyncio.get_running_loop()

    async def whose_thread():
        return threading.current_thread().name, var.get()

    async def divide():
        return 1 / 0

    async def outer():
        result = await cell()
        assert result[3] is asyncio.get_running_loop()
        return result[:3]

    assert asyncio.run(outer()) == ("MainThread", ("labsched-simulation", "cell"), 20)


def test_two_simulations_take_turns_in_one_process_and_know_nothing_of_each_other():
    def world(loop, log):
        async def tick(name):
            while True:
                await asyncio.sleep(1)
                log.append((name, loop.time(), asyncio.current_task().get_name()))

        return [Node(loop, name, order).create_task(tick(name)) for order, name in enumerate("ab")]

    alone, first, second = [], [], []
    with closing(SimLoop()) as loop:
        world(loop, alone)
        loop.run(until=10)
    with closing(SimLoop()) as one, closing(SimLoop()) as two:
        world(one, first)
        world(two, second)
        for t in range(1, 11):
            one.run(until=t)
            two.run(until=t)
    assert first == second == alone != []


def test_a_simulation_inside_a_simulation_starts_outside_of_the_others_nodes(sim_loop):
    async def outer():
        with closing(SimLoop()) as inner:
            task = inner.create_task(sleeper(3, "inner"))
            assert inner.run(task) == "inner"
            return task.node, inner.run(whose()), inner.time()

    async def whose():
        return current_node()

    node = Node(sim_loop, "i1")
    assert sim_loop.run(node.create_task(outer())) == (None, None, 3)
