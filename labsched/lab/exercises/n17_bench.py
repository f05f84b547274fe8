"""A place where a learner's scripts run as they would anywhere: `python shop.py i1`, in a folder, with variables."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from labsched import Scheduler
from labsched.connect import hide_password
from labsched.sync import LoopThread
from labsched.worlds.collect import collect
from labsched.worlds.guard import Guard, tail
from labsched.worlds.recording import Recording
from labsched.worlds.server import Server

T = TypeVar("T")

NAMESPACE = "shop"
HERE = Path(__file__).parent


class Bench:
    """An embedded server, a folder, and processes that were started there. To be closed; what still runs ends then.

    Processes find the server by the variable LABSCHED_REDIS_URL, which is the only one of ours that they are given;
    others come from `start` and `run`. They are named by the last word of their command.
    """

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="labsched-bench-")
        self.folder = Path(self._temporary.name)
        self._server, self._guard = Server(), Guard()
        self._server.start()
        self.url = self._server.url
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._faults: list[dict[str, Any]] = []
        self._thread = LoopThread("labsched-bench")  # a notebook's own loop is busy with its cells
        self._first = self._ask(lambda app: app.snapshot())

    def __repr__(self) -> str:
        return f"<Bench with {', '.join(sorted(path.name for path in self.folder.iterdir())) or 'nothing on it'}>"

    def write(self, name: str, text: str | None = None) -> str:
        """Put a file there, and return what it says. Without `text`: the course's `shop.py` or `nightly.py`."""
        text = (HERE / f"n17_{name}").read_text(encoding="utf-8") if text is None else text
        (self.folder / name).write_text(text, encoding="utf-8")
        return text

    # --- processes

    def start(self, command: str, **variables: str) -> str:
        """Start it, and return its name: the last word."""
        name = command.split()[-1]
        with open(self.folder / f"{name}.log", "ab") as log:
            self._processes[name] = self._guard.spawn(
                self._words(command), output=log, cwd=self.folder, env=self._environment(variables)
            )
        return name

    def run(self, command: str, **variables: str) -> str:
        """Start it, wait for its end, and return what it has printed."""
        ran = subprocess.run(
            self._words(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            cwd=self.folder,
            env=self._environment(variables),
        )
        return ran.stdout.strip()

    def stop(self, name: str) -> int:
        """SIGTERM. Waits until the process has ended, and returns its exit code."""
        return self._end(name, "drain", signal.SIGTERM)

    def kill(self, name: str) -> int:
        """SIGKILL. The code is -9: it had no chance to choose one."""
        return self._end(name, "kill", signal.SIGKILL)

    def log(self, name: str, lines: int = 10) -> str:
        """The end of what that process has printed."""
        return tail(self.folder / f"{name}.log", lines)

    def _end(self, name: str, kind: str, number: signal.Signals) -> int:
        process = self._processes.pop(name)
        self._faults.append({"at": time.time(), "kind": kind, "target": name, "by": "call"})
        process.send_signal(number)
        code = process.wait(timeout=60)
        self._guard.forget(process)
        return code

    def _words(self, command: str) -> list[str]:
        program, *words = shlex.split(command)
        return [sys.executable if program == "python" else program, *words]

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        others = {k: v for k, v in os.environ.items() if not k.startswith("LABSCHED_") and k != "REDIS_URL"}
        return {**others, "LABSCHED_REDIS_URL": self.url, **variables}

    # --- what can be asked

    def wait_for(self, *names: str) -> None:
        """Until these instances, and nobody else, have joined. TimeoutError, with the end of a log, after 30 s."""
        for _ in range(600):
            if self.members() == set(names):
                return
            time.sleep(0.05)
        raise TimeoutError(f"joined are {sorted(self.members())}: {self.log(names[0])}")

    def members(self) -> set[str]:
        """Names of the instances that the cluster knows."""
        return {member.name for member in self._ask(lambda app: app.instances())}

    def holder(self, execution: str, done: int = 1) -> str:
        """The instance that runs it, as soon as it has told of that much progress. TimeoutError after 30 s."""
        for _ in range(1500):
            found = self._ask(lambda app: app.execution(execution))
            if found.state == "RUNNING" and found.progress is not None and found.progress[0] >= done:
                return str(found.instance)
            time.sleep(0.02)
        raise TimeoutError(f"nobody is in the middle of {execution}")

    def recording(self) -> Recording:
        """All that has happened on the server since the bench was made."""

        async def made(app: Scheduler) -> Recording:
            options = {"server": hide_password(self.url)}
            return await collect(app, self._first, options=options, journals=[], faults=self._faults)

        return self._ask(made)

    def _ask(self, use: Callable[[Scheduler], Awaitable[T]]) -> T:
        async def asked() -> T:
            async with Scheduler(self.url, namespace=NAMESPACE) as app:
                return await use(app)

        return self._thread.call(asked())

    def close(self) -> None:
        """End every process, then the server; remove the folder."""
        for name in list(self._processes):
            self.kill(name)
        self._thread.close()
        self._guard.close()
        self._server.close()
        self._temporary.cleanup()
