"""Fixtures for the tests of whoever uses labsched; pytest finds them by itself once labsched is installed.

    def test_my_task_survives_a_kill(simulation):
        sim = simulation(instances=2, app=app)
        rec = sim.at(3).kill("leader").run(until=20)
        assert rec.check().ok

Nothing is imported before a test asks for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .simulated.loop import SimLoop
    from .simulated.simulation import Simulation


@pytest.fixture
def simulation() -> Iterator[Callable[..., Simulation]]:
    """Makes worlds as `Simulation(...)` does, and closes them when the test is over."""
    from .simulated.simulation import Simulation

    with contextlib.ExitStack() as worlds:

        def make(*args: Any, **options: Any) -> Simulation:
            return worlds.enter_context(Simulation(*args, **options))

        yield make


@pytest.fixture
def sim_loop() -> Iterator[SimLoop]:
    """An asyncio loop on virtual time: `sim_loop.run(main())`. An exception that nobody caught fails the test."""
    from .simulated.loop import SimLoop

    loop = SimLoop()
    try:
        yield loop
        loop.check()
    finally:
        loop.close()
