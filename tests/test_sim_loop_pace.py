"""The simulated loop and other threads; virtual time held back to real time."""

# ruff: noqa: ASYNC110  (loops that sleep are what is tested)

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from simkit import sleeper

from labsched.worlds.simulated import pacing


def test_what_another_thread_sends_is_taken_in_between_two_events(sim_loop):
    seen = []
    started = threading.Event()

    def other():
        started.wait()
        sim_loop.call_soon_threadsafe(lambda: seen.append(asyncio.get_running_loop()))
        sim_loop.call_soon_threadsafe(sim_loop.stop)

    async def tick():
        started.set()
        while True:
            await asyncio.sleep(1)

    sim_loop.create_task(tick())
    thread = threading.Thread(target=other)
    thread.start()
    sim_loop.run()
    thread.join()
    assert seen == [sim_loop]


def test_a_coroutine_may_be_handed_over_from_another_thread(sim_loop):
    sim_loop.pace = 1.0
    outcome = []

    def other():
        outcome.append(asyncio.run_coroutine_threadsafe(sleeper(0.01, "value"), sim_loop).result())
        sim_loop.stop()

    thread = threading.Thread(target=other)
    thread.start()
    sim_loop.run(until=3600)
    thread.join()
    assert outcome == ["value"]


def test_a_pace_holds_virtual_time_back_and_can_be_changed_meanwhile(sim_loop):
    sim_loop.pace = 1.0
    timer = threading.Timer(0.2, setattr, (sim_loop, "pace", None))
    timer.start()
    began = time.monotonic()
    sim_loop.run(sleeper(3600))
    timer.join()
    assert 0.15 < time.monotonic() - began < 60


def test_a_pace_is_a_factor_of_real_time(sim_loop):
    sim_loop.pace = 50
    began = time.monotonic()
    sim_loop.run(sleeper(10))
    assert time.monotonic() - began >= 0.2


def test_time_between_two_runs_does_not_count_for_the_pace(sim_loop):
    sim_loop.pace = 10
    sim_loop.run(until=0.1)
    time.sleep(0.3)
    began = time.monotonic()
    sim_loop.run(until=2.1)
    assert time.monotonic() - began >= 0.2


def test_with_a_pace_what_another_thread_sends_happens_at_the_time_that_people_see(sim_loop):
    sim_loop.pace = 10.0
    seen = []
    timer = threading.Timer(0.1, lambda: sim_loop.call_soon_threadsafe(lambda: seen.append(sim_loop.time())))
    timer.start()
    sim_loop.run(sleeper(3))
    timer.join()
    assert len(seen) == 1
    assert 0.9 < seen[0] <= 3


def test_a_stop_from_another_thread_is_heard_while_the_pace_waits(sim_loop, monkeypatch):
    monkeypatch.setattr(pacing, "LONGEST_WAIT", 60)
    sim_loop.pace = 1.0
    timer = threading.Timer(0.1, sim_loop.stop)
    timer.start()
    began = time.monotonic()
    sim_loop.run(until=3600)
    timer.join()
    assert time.monotonic() - began < 30


def test_a_change_of_pace_counts_from_the_moment_of_the_change(monkeypatch):
    real = [100.0]
    monkeypatch.setattr(pacing.time, "monotonic", lambda: real[0])
    pacer = pacing.Pacer()
    pacer.factor = 1.0
    pacer.wake()
    assert not pacer.due(0.0, 10.0)
    real[0] += 5
    assert pacer.virtual(0.0) == 5
    pacer.factor = 2.0
    assert not pacer.due(5.0, 10.0)
    real[0] += 1
    assert pacer.virtual(5.0) == 7


@pytest.mark.parametrize("pace", [0, -1, float("inf"), float("nan")])
def test_a_pace_that_makes_no_sense_is_refused(sim_loop, pace):
    with pytest.raises(ValueError, match="factor above 0"):
        sim_loop.pace = pace
