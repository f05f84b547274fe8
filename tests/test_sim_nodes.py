"""Nodes of the simulated world: whose handle it is, and what kill, pause and busy do to it."""

from __future__ import annotations

import asyncio

import pytest
from simkit import Log, forever, ticking

from labsched.worlds.simulated.errors import Killed, NothingLeft
from labsched.worlds.simulated.node import Node, current_node


@pytest.fixture
def node(sim_loop):
    return Node(sim_loop, "i1", 1)


@pytest.fixture
def log(sim_loop):
    return Log(sim_loop)


# ---------------------------------------------------------------------------------- ownership


def test_whatever_code_of_a_node_starts_belongs_to_the_node(sim_loop, node):
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: seen.append(current_node()))
        loop.call_later(1, lambda: seen.append(current_node()))
        loop.call_soon_threadsafe(lambda: seen.append(current_node()))
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
        await asyncio.sleep(2)

    async def child():
        seen.append(current_node())

    sim_loop.run(node.create_task(main()))
    assert seen == [node] * 4
    assert current_node() is None


def test_code_outside_belongs_to_no_node(sim_loop, node):
    async def main():
        node.run(sim_loop.call_soon, lambda: seen.append(current_node()))
        sim_loop.call_soon(lambda: seen.append(current_node()))
        await asyncio.sleep(1)
        return current_node()

    seen = []
    assert sim_loop.run(main()) is None
    assert seen == [node, None] or seen == [None, node]


def test_run_gives_back_what_the_function_returns_and_raises(sim_loop, node):
    assert node.run(max, 1, 2) == 2
    assert node.run(current_node) is node
    with pytest.raises(ZeroDivisionError):
        node.run(lambda: 1 / 0)


def test_at_one_instant_outside_comes_first_and_then_nodes_by_their_order(sim_loop):
    seen = []
    names = ["c", "a", "b", "a2"]
    orders = {"a": 1, "b": 2, "c": 3, "a2": 1}
    for name in names:  # equal orders in the order of their making
        Node(sim_loop, name, orders[name]).run(sim_loop.call_at, 5, seen.append, name)
    sim_loop.call_at(5, seen.append, "outside")
    sim_loop.run(until=6)
    assert seen == ["outside", "a", "a2", "b", "c"]


def test_hops_within_an_instant_on_one_node_move_nothing_on_another(sim_loop):
    def trace(hops):
        seen = []
        base = sim_loop.time()

        async def work(name, hops):
            await asyncio.sleep(base + 5 - sim_loop.time())
            for _ in range(hops):
                await asyncio.sleep(0)
            seen.append(name)

        nodes = [Node(sim_loop, name, order) for order, name in enumerate("abc")]
        for node, count in zip(nodes, hops, strict=True):
            node.create_task(work(node.name, count))
        sim_loop.run(until=base + 10)
        return seen

    assert trace([0, 0, 0]) == trace([7, 0, 3]) == ["a", "b", "c"]


# ---------------------------------------------------------------------------------- kill


def test_a_killed_node_runs_nothing_any_more_not_even_finally(sim_loop, node, log):
    async def work():
        try:
            async with asyncio.timeout(2):
                await forever()
        except BaseException:
            log.note("except")
        finally:
            log.note("finally")

    node.create_task(work())
    node.create_task(ticking(log))
    node.run(sim_loop.call_at, 1.5, log.note, "timer")
    sim_loop.run(until=1.2)
    node.kill()
    assert node.state == "killed"
    sim_loop.run(until=20)
    assert log == [("tick", 1)]


def test_a_kill_reaches_what_is_ready_to_run_in_the_same_instant(sim_loop, node, log):
    node.run(sim_loop.call_soon, log.note, "ready")
    sim_loop.call_soon(node.kill)  # outside comes first
    sim_loop.run(until=1)
    assert log == []


def test_what_others_complete_for_a_dead_node_changes_nothing(sim_loop, node, log):
    future = sim_loop.create_future()

    async def wait():
        await future
        log.note("woken")

    task = node.create_task(wait())
    sim_loop.run(until=1)
    node.kill()
    future.set_result(None)
    task.cancel()
    sim_loop.run(until=5)
    assert log == []
    assert not task.done()


def test_a_node_that_kills_itself_runs_to_its_next_await(sim_loop, node, log):
    async def suicide():
        node.kill()
        log.note("still here")
        await asyncio.sleep(0)
        log.note("not here")

    node.create_task(suicide())
    sim_loop.run(until=5)
    assert log == [("still here", 0)]


def test_what_a_dead_node_still_schedules_is_nothing_to_wait_for(sim_loop, node, log):
    async def suicide():
        node.kill()
        sim_loop.call_later(1000, log.note, "not here")

    node.create_task(suicide())
    with pytest.raises(NothingLeft):
        sim_loop.run(forever())
    assert (log, sim_loop.time()) == ([], 0)


def test_a_kill_calls_back_once_at_once_and_outside_of_the_node(sim_loop, node):
    seen = []
    node.on_kill(lambda: seen.append((current_node(), node.alive)))
    node.run(node.kill)
    node.kill()
    assert seen == [(None, False)]


def test_a_dead_node_takes_no_work_and_says_what_to_do(sim_loop, node, recwarn):
    node.kill()
    with pytest.raises(Killed, match="'i1' was killed: make a new Node"):
        node.create_task(forever())
    with pytest.raises(Killed):
        node.run(print)
    assert [str(warning.message) for warning in recwarn] == []


def test_neither_kill_nor_pause_nor_resume_brings_a_dead_node_back(sim_loop, node, log):
    node.create_task(ticking(log))
    node.pause()
    node.kill()
    node.resume()
    node.pause()
    node.resume()
    sim_loop.run(until=5)
    assert (log, node.state) == ([], "killed")


def test_a_restarted_node_is_a_new_one_of_the_same_name(sim_loop, node, log):
    node.create_task(ticking(log, "old"))
    sim_loop.run(until=1.5)
    node.kill()
    Node(sim_loop, node.name, node.order).create_task(ticking(log, "new"))
    sim_loop.run(until=3)
    assert log == [("old", 1), ("new", 2.5)]


def test_timers_of_a_dead_node_are_nothing_to_wait_for(sim_loop, node):
    node.create_task(asyncio.sleep(1000))
    sim_loop.call_at(1, node.kill)
    with pytest.raises(NothingLeft) as caught:
        sim_loop.run(forever())
    assert sim_loop.time() == 1
    assert "i1" not in str(caught.value)


# ---------------------------------------------------------------------------------- pause


def test_what_falls_due_during_a_pause_runs_in_order_on_resume(sim_loop, node, log):
    for t in (1, 3, 2):
        node.run(sim_loop.call_at, t, log.note, t)
    node.run(sim_loop.call_at, 6, log.note, 6)
    sim_loop.run(until=1.5)
    node.pause()
    node.pause()
    sim_loop.run(until=5)
    assert (log, node.state) == ([(1, 1)], "paused")
    node.resume()
    node.resume()
    sim_loop.run(until=7)
    assert (log, node.state) == ([(1, 1), (2, 5), (3, 5), (6, 6)], "running")


def test_others_run_while_a_node_is_paused(sim_loop, node, log):
    other = Node(sim_loop, "i2", 2)
    node.create_task(ticking(log, "i1"))
    other.create_task(ticking(log, "i2"))
    node.pause()
    sim_loop.run(until=2.5)
    assert log == [("i2", 1), ("i2", 2)]


def test_waiting_for_a_paused_node_is_an_error_that_says_so(sim_loop, node):
    task = node.create_task(asyncio.sleep(1), name="work")
    node.pause()
    with pytest.raises(NothingLeft, match=r"i1 \(paused\): work waits at"):
        sim_loop.run(task)


def test_a_node_paused_and_resumed_within_an_instant_goes_on_where_it_was(sim_loop, node, log):
    for i in range(3):
        node.run(sim_loop.call_soon, log.append, i)
    sim_loop.call_soon(node.pause)
    sim_loop.call_soon(node.resume)
    sim_loop.run(until=1)
    assert log == [0, 1, 2]
