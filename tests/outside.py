"""What tests of real servers and processes share. The fixtures hold where they are imported."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from labsched.connect import Opened, open_url
from labsched.worlds import Server


@pytest.fixture(autouse=True)
def private_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test meets the servers of the person who runs the tests."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))


@pytest.fixture(scope="module")
def embedded() -> Iterator[Server]:
    """One embedded server for all tests of a file."""
    with Server(appendonly="no") as server:
        yield server


@pytest.fixture
async def opened(embedded: Server) -> AsyncIterator[Opened]:
    """Its clients, and it is empty."""
    made = open_url(embedded.url)
    await made.redis.flushall()
    yield made
    await made.close()


def ended(pid: int, within: float = 10.0) -> bool:
    """Wait until no living process has that number."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with contextlib.suppress(OSError):
            # A child of a killed parent may stay as a zombie where no init collects it.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        time.sleep(0.01)
    return False
