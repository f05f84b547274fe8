"""A busy node of the simulated world, and its alarms, which are a thread of their own."""

from __future__ import annotations

import asyncio
import functools

import pytest
from simkit import Log, forever, ticking

from labsched.worlds.simulated.alarm import SimAlarm
from labsched.worlds.simulated.errors import NothingLeft
from labsched.worlds.simulated.node import Node


class LoopClock:
    """A clock that is right, or runs at `rate`."""

    def __init__(self, loop, rate=1.0):
        self.loop, self.rate = loop, rate

    def now(self):
        return self.monotonic()

    def monotonic(self):
        return self.loop.time() * self.rate

    async def sleep(self, seconds):
        await asyncio.sleep(seconds / self.rate)


@pytest.fixture
def node(sim_loop):
    return Node(sim_loop, "i1", 1)


@pytest.fixture
def log(sim_loop):
    return Log(sim_loop)


# ---------------------------------------------------------------------------------- busy


def test_a_busy_node_runs_nothing_until_the_time_is_over(sim_loop, node, log):
    node.create_task(ticking(log))
    sim_loop.run(until=0.5)
    node.busy(2)
    assert node.state == "busy"
    sim_loop.run(until=4)
    assert (log, node.state) == ([("tick", 2.5), ("tick", 3.5)], "running")


def test_busy_twice_lasts_until_the_later_end(sim_loop, node, log):
    node.run(sim_loop.call_soon, log.note, "ran")
    node.busy(3)
    node.busy(2)
    sim_loop.run(until=5)
    assert log == [("ran", 3)]


def test_after_a_hog_its_own_coroutine_goes_on_before_all_that_waited(sim_loop, node, log):
    async def body():
        await asyncio.sleep(1)
        sim_loop.call_soon(log.note, "scheduled by the body")
        log.note("hogs")
        await node.hog(2)
        log.note("is done")

    node.create_task(body())
    node.run(sim_loop.call_at, 2, log.note, "waited")
    sim_loop.run(until=4)
    assert log == [("hogs", 1), ("is done", 3), ("scheduled by the body", 3), ("waited", 3)]


def test_a_hog_of_no_time_lets_nothing_else_run(sim_loop, node, log):
    async def body():
        sim_loop.call_soon(log.note, "other")
        await node.hog(0)
        log.note("body")

    node.create_task(body())
    sim_loop.run(until=1)
    assert log == [("body", 0), ("other", 0)]


def test_a_hog_that_ends_during_a_pause_goes_on_at_the_resume(sim_loop, node, log):
    async def body():
        await node.hog(2)
        log.note("done")

    node.create_task(body())
    sim_loop.run(until=1)
    node.pause()
    sim_loop.run(until=5)
    assert log == []
    node.resume()
    sim_loop.run(until=6)
    assert log == [("done", 5)]


def test_a_node_killed_while_busy_stays_dead(sim_loop, node, log):
    async def body():
        await node.hog(2)
        log.note("done")

    node.create_task(body())
    sim_loop.run(until=1)
    node.kill()
    sim_loop.run(until=5)
    assert log == []


# ---------------------------------------------------------------------------------- alarms


@pytest.fixture
def alarm(sim_loop, node, log):
    make = functools.partial(SimAlarm, node)  # as a Host has it
    return make(LoopClock(sim_loop), lambda: log.note("ring"))


def test_an_alarm_rings_once_at_its_deadline(sim_loop, alarm, log):
    alarm.set(3)
    sim_loop.run(until=10)
    assert log == [("ring", 3)]


@pytest.mark.parametrize(("moved_to", "rings"), [(7, 7), (2, 2), (0, 1)])
def test_a_deadline_can_be_moved(sim_loop, alarm, log, moved_to, rings):
    alarm.set(5)
    sim_loop.run(until=1)
    alarm.set(moved_to)
    sim_loop.run(until=20)
    assert log == [("ring", rings)]


def test_an_alarm_can_be_set_again_after_it_rang_but_not_after_it_was_stopped(sim_loop, alarm, log):
    alarm.set(1)
    sim_loop.run(until=2)
    alarm.set(3)
    sim_loop.run(until=4)
    alarm.set(5)
    alarm.stop()
    alarm.set(4.5)
    sim_loop.run(until=10)
    assert log == [("ring", 1), ("ring", 3)]


def test_an_alarm_rings_while_its_node_is_busy_and_what_it_schedules_waits(sim_loop, node, log):
    def ring():
        log.note("ring")
        sim_loop.call_soon_threadsafe(log.note, "told")

    SimAlarm(node, LoopClock(sim_loop), ring).set(2)
    sim_loop.run(until=1)
    node.busy(4)
    sim_loop.run(until=10)
    assert log == [("ring", 2), ("told", 5)]


def test_an_alarm_of_a_paused_node_rings_on_resume_before_the_rest(sim_loop, node, alarm, log):
    alarm.set(2)
    node.run(sim_loop.call_at, 2, log.note, "timer")
    node.pause()
    sim_loop.run(until=5)
    assert log == []
    node.resume()
    sim_loop.run(until=6)
    assert log == [("ring", 5), ("timer", 5)]


def test_an_alarm_of_a_dead_node_never_rings(sim_loop, node, alarm, log):
    alarm.set(2)
    node.kill()
    sim_loop.run(until=5)
    assert log == []


def test_an_alarm_set_on_a_dead_node_never_rings_and_is_nothing_to_wait_for(sim_loop, node, alarm, log):
    alarm.set(1000)
    sim_loop.run(until=1)
    node.kill()
    SimAlarm(node, LoopClock(sim_loop), lambda: log.note("late")).set(2)
    SimAlarm(node, LoopClock(sim_loop), lambda: log.note("now")).set(0)
    with pytest.raises(NothingLeft):
        sim_loop.run(forever())
    assert (log, sim_loop.time()) == ([], 1)


def test_an_alarm_goes_by_the_clock_of_its_node(sim_loop, node, log):
    SimAlarm(node, LoopClock(sim_loop, rate=0.5), lambda: log.note("slow")).set(2)
    SimAlarm(node, LoopClock(sim_loop, rate=2.0), lambda: log.note("fast")).set(2)
    sim_loop.run(until=5)
    assert [name for name, _ in log] == ["fast", "slow"]
    assert log[1] == ("slow", pytest.approx(4, abs=1e-3))
