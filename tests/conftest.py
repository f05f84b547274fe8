"""Fixtures that every test may ask for; they live beside this file, by subject."""

import signal

import pytest
from apps import app, valkey
from cluster import cluster
from labserver import picture
from loops import pytest_asyncio_loop_factories, pytest_collection_modifyitems
from outside import embedded, opened
from servers import anyserver, realserver, redis_process, valkey_process

__all__ = [
    "app",
    "valkey",
    "anyserver",
    "cluster",
    "embedded",
    "opened",
    "picture",
    "pytest_asyncio_loop_factories",
    "pytest_collection_modifyitems",
    "realserver",
    "redis_process",
    "valkey_process",
]


# A shell without job control starts what is in the background with SIGINT ignored, and children inherit that: then
# nothing here could be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--chaos-seconds", type=float, default=60, help="how long the chaos test hurts the cluster"
    )
    parser.addoption(
        "--chaos-seed", type=int, help="the seed of its faults; drawn and printed when not given"
    )
