"""The processes of a real cluster: how they are started, signalled and buried, and what they print and write.

Each instance is `python -m labsched instance …` in a session of its own. The guard ends them all by SIGKILL
when this process ends without saying goodbye, paused ones included; an instance need not watch anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from labsched.config import Settings
from labsched.errors import ConfigError, LabschedError

from .guard import Guard, tail


@dataclass
class Member:
    """One name of the cluster, and the process that bears it now."""

    name: str
    url: str = field(repr=False)  # through its relay, where it has one
    process: subprocess.Popen[bytes] | None = None
    lives: int = 0  # processes started under this name
    wanted: bool = False  # it should be running: nobody has killed or ended it
    paused: bool = False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, what: signal.Signals, *, group: bool = False) -> None:
        """To the process, or to its whole group. A process that is not reaped yet keeps its number."""
        if self.process is None or self.process.returncode is not None:
            return
        send: Callable[[int, int], None] = os.killpg if group else os.kill
        with contextlib.suppress(ProcessLookupError, PermissionError):
            send(self.process.pid, what)


class Supervisor:
    """Starts members' processes with these settings, and keeps their logs and journals in `logs`.

    `tasks` is a tasks.yml, `handlers` the code that registers handlers, both as the command line wants them.
    """

    def __init__(
        self,
        guard: Guard,
        folder: Path,
        logs: Path,
        settings: Settings,
        tasks: Path | None,
        handlers: str | None,
    ) -> None:
        self._guard, self._logs, self._config = guard, logs, folder / "settings.yml"
        self._namespace, self._tasks, self._handlers = settings.namespace, tasks, handlers
        logs.mkdir(mode=0o700, exist_ok=True)
        with open(os.open(self._config, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(settings.replace(redis_url="embedded", tasks="").to_yaml())

    def spawn(self, member: Member) -> None:
        """A new process, a new life under that name."""
        member.lives += 1
        command = self._command(member.name, self._logs / f"{member.name}-{member.lives}.jsonl")
        with open(self._logs / f"{member.name}.log", "ab") as log:
            member.process = self._guard.spawn(command, output=log, env=_environment(member.url))
        member.paused, member.wanted = False, True

    def _command(self, name: str, journal: Path) -> list[str]:
        """The command line of an instance. The URL, with its password, goes by the environment."""
        command = [sys.executable, "-m", "labsched", "instance", "--name", name]
        command += ["--namespace", self._namespace, "--config", str(self._config)]
        command += [] if self._tasks is None else ["--tasks", str(self._tasks)]
        command += [] if self._handlers is None else ["--app", self._handlers]
        return [*command, "--journal", str(journal), "--no-web"]

    async def gone(self, members: Sequence[Member], within: float) -> bool:
        """Wait until their processes have ended; False if they have not after so many seconds."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + within
        while any(member.alive for member in members):
            if clock() > deadline:
                return False
            await asyncio.sleep(0.01)
        for member in members:
            if member.process is not None:
                self._guard.forget(member.process)
        return True

    def kill_all(self, members: Iterable[Member]) -> None:
        """SIGKILL to every process and its children, at once and without waiting for anybody's loop."""
        for member in members:
            member.signal(signal.SIGKILL, group=True)
            if member.process is not None:
                member.process.wait()
                self._guard.forget(member.process)

    def refuse_dead(self, members: Iterable[Member]) -> None:
        """LabschedError with the end of its log when an instance ended on its own."""
        for member in members:
            if member.wanted and not member.alive and member.process is not None:
                code, log = member.process.returncode, self.log(member.name, 20)
                raise LabschedError(
                    f"instance {member.name} ended by itself (code {code}), its log says:\n{log}"
                )

    def log(self, name: str, lines: int) -> str:
        """The end of what that instance has printed, over all its lives."""
        return tail(self._logs / f"{name}.log", lines)

    def journals(self, members: Iterable[Member]) -> list[dict[str, Any]]:
        """What the instances have written down for themselves, life after life."""
        return [line for m in members for line in _lines(self._logs, m.name, m.lives)]


def names_of(instances: int, names: Sequence[str] | None) -> tuple[str, ...]:
    """The names given, else i1, i2, …. ConfigError for what cannot name an instance."""
    if names is None:
        if isinstance(instances, bool) or not isinstance(instances, int) or not 1 <= instances <= 100:
            raise ConfigError(
                f"instances is {instances!r}: allowed are 1 to 100; names=[...] takes any number"
            )
        return tuple(f"i{n + 1}" for n in range(instances))
    for name in names:
        # They become file names, and leader and the names of servers have a meaning of their own.
        if not re.fullmatch(r"(?!(leader|server\d*)$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise ConfigError(f"an instance cannot be named {name!r}: letters, digits and . _ - are allowed")
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"names are {list(names)!r}: at least one is needed, and each only once")
    return tuple(names)


def _environment(url: str) -> dict[str, str]:
    """What an instance inherits: everything but settings, which come from its file and from here."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LABSCHED_") and name != "REDIS_URL"
    }
    root = Path(__file__).resolve().parents[2]
    if root.name not in ("site-packages", "dist-packages"):
        # Run from a checkout that is not installed, and from another folder: they must find the same code.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), kept.get("PYTHONPATH")]))
    return {**kept, "LABSCHED_REDIS_URL": url, "PYTHONUNBUFFERED": "1"}


def _lines(folder: Path, name: str, lives: int) -> Iterator[dict[str, Any]]:
    for life in range(1, lives + 1):
        with contextlib.suppress(OSError):
            for line in (folder / f"{name}-{life}.jsonl").read_bytes().splitlines():
                # A process that was killed while writing leaves half a line.
                with contextlib.suppress(msgspec.DecodeError):
                    yield msgspec.json.decode(line, type=dict[str, Any])
