"""A running world leaves the process's garbage collector as it found it."""

import gc

import pytest

from labsched.worlds.simulated.collecting import SELDOM, seldom_collected
from labsched.worlds.simulated.loop import SimLoop


@pytest.fixture(autouse=True)
def usual():
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


async def threshold():
    return gc.get_threshold()[:2]


def test_garbage_is_looked_for_less_often_while_a_world_runs(sim_loop: SimLoop):
    assert sim_loop.run(threshold()) == SELDOM
    assert gc.get_threshold() == (700, 10, 10)


def test_what_a_world_raises_does_not_leave_it_so(sim_loop: SimLoop):
    async def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sim_loop.run(broken())
    assert gc.get_threshold() == (700, 10, 10)


def test_the_last_of_several_worlds_puts_it_back():
    first, second = seldom_collected(), seldom_collected()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[:2] == SELDOM
    second.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)


def test_a_collector_that_was_switched_off_or_set_to_less_stays_so():
    for chosen in ((0, 10, 10), (200_000, 5, 5)):
        gc.set_threshold(*chosen)
        with seldom_collected():
            assert gc.get_threshold() == chosen
