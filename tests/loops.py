"""Which event loop a test runs on. Those of the atomic steps (`cluster`) run on the simulated server in virtual time
where others run on plain fakeredis: so it stands the same tests as real servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from labsched.worlds.simulated.loop import SimLoop

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "real": asyncio.new_event_loop,
    "virtual": SimLoop,
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    on_all = {"cluster", "anyserver"} <= set(getattr(item, "fixturenames", ()))
    return LOOPS if on_all else {"real": LOOPS["real"]}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the pairs of loop and server, those that belong together."""
    unfit = [item for item in items if not _fits(item)]
    if unfit:
        config.hook.pytest_deselected(items=unfit)
        items[:] = [item for item in items if _fits(item)]


def _fits(item: pytest.Item) -> bool:
    given = getattr(getattr(item, "callspec", None), "params", {})
    loop = given.get("_asyncio_loop_factory")
    if "cluster" not in getattr(item, "fixturenames", ()) or "anyserver" not in given or loop is None:
        return True
    return (loop is SimLoop) == (given["anyserver"] == "fake")
