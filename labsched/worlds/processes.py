"""A real cluster: OS processes on a real server, and verbs that hurt them.

Every instance reaches the server through a relay of its own, so that its link can be cut.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import msgspec

from labsched.connect import hide_password
from labsched.errors import ConfigError

from .cluster import Cluster
from .collect import collect
from .recording import Recording
from .relay import Direction, sides
from .server import Server
from .supervisor import Member


class ProcessCluster(Cluster):
    """Instances as processes, on an embedded server (default) or on the server at `url`.

    `tasks` is a tasks.yml, `app` the code that registers handlers ("module:attribute" or
    "file.py:attribute"). Entering waits until all have joined and, with election on, one leads; leaving
    sends SIGTERM, waits at most the drain timeout, and kills what is left. `names` replaces i1, i2, ….
    `data_dir` keeps the embedded server's data, the journals and the logs; without it all of that is gone
    at the end. Environment variables LABSCHED_* of this process do not reach the instances: the settings
    are those given here.

    Every verb takes a name or "leader", whoever leads then, and is noted in `faults`. ConfigError, in one
    line, for what cannot be done: an unknown name, no process, a resume or heal of what is neither paused nor cut.
    """

    async def kill(self, name: str) -> None:
        """SIGKILL to the instance's process. Its runner's children end when their pipe closes. "server": it is gone
        until `restart_server`."""
        if name == "server":
            return await self.kill_server()
        member = await self._find(name)
        self._note("kill", member.name)
        member.wanted = False
        member.signal(signal.SIGKILL)
        # Children of a paused instance sleep too, and must wake to see that their pipe is closed.
        member.signal(signal.SIGCONT, group=True)
        await self._supervisor.gone([member], within=10)

    async def pause(self, name: str) -> None:
        """SIGSTOP to the instance and its children: a process that the machine forgot for a while."""
        member = await self._find(name)
        self._note("pause", member.name)
        member.signal(signal.SIGSTOP, group=True)
        member.paused = True

    async def resume(self, name: str) -> None:
        """SIGCONT: it goes on where it was, not knowing."""
        member = await self._find(name)
        if not member.paused:
            raise ConfigError(f"instance {member.name} is not paused")
        self._note("resume", member.name)
        member.signal(signal.SIGCONT, group=True)
        member.paused = False

    async def terminate(self, name: str) -> None:
        """SIGTERM, and wait for the drain; noted as "drain". TimeoutError when it outlives its drain timeout."""
        member = await self._find(name)
        if member.paused:
            raise ConfigError(f"instance {member.name} is paused and cannot hear SIGTERM: resume it first")
        self._note("drain", member.name)
        member.wanted = False
        member.signal(signal.SIGTERM)
        within = self.settings.drain_timeout + 5
        if not await self._supervisor.gone([member], within):
            raise TimeoutError(f"instance {member.name} still runs {within:g} s after SIGTERM")

    async def partition(self, name: str, direction: Direction = "both") -> None:
        """Cut its link: nothing is closed, nothing arrives. "requests" and "replies" cut one way only."""
        sides(direction)
        member = await self._find(name, alive=False)
        self._need_link(member)
        self._note("partition", member.name, direction=direction)
        self._links.cut(member.name, direction)
        self._cut.add(member.name)

    async def heal(self, name: str) -> None:
        """Mend its link; what was on its way arrives now."""
        member = await self._find(name, alive=False)
        self._need_link(member)
        if member.name not in self._cut:
            raise ConfigError(f"the link of instance {member.name} is not cut")
        self._note("heal", member.name)
        self._links.heal(member.name)
        self._cut.discard(member.name)

    async def restart(self, name: str) -> None:
        """A new process under that name, a new incarnation; a living one is killed first. Does not wait."""
        member = await self._find(name, alive=False)
        if member.alive:
            await self.kill(member.name)
        self._note("restart", member.name)
        self._supervisor.spawn(member)

    async def restart_server(self, *, keep: bool = True) -> None:
        """Stop the server in order and start it on the same port; `keep=False` without its data."""
        server = self._own_server()
        fault = self._note("restart_server", "server", keep=keep)
        await asyncio.to_thread(server.restart, keep=keep)
        fault["down"] = round(self._host.clock.now() - fault["at"], 3)

    async def kill_server(self) -> None:
        """SIGKILL to the server; `restart_server` brings it back with what its disk holds."""
        server = self._own_server()
        self._note("kill", "server")
        await asyncio.to_thread(server.kill)

    def _note(self, kind: str, target: str, **more: Any) -> dict[str, Any]:
        fault = {"at": self._host.clock.now(), "kind": kind, "target": target, "by": "call", **more}
        self.faults.append(fault)
        return fault

    async def _find(self, name: str, *, alive: bool = True) -> Member:
        if name == "leader":
            name = await self._leader()
        member = self._members.get(name)
        if member is None:
            raise ConfigError(f"no instance is named {name!r}, there are {', '.join(self.names)} and leader")
        if alive and not member.alive:
            raise ConfigError(f"instance {name} has no process: it was killed or has ended, restart it first")
        return member

    async def _leader(self) -> str:
        names = {pid: name for name, pid in self.pids.items()}
        for info in await self.app.instances():
            if info.leader and info.pid in names:
                return names[info.pid]
        raise ConfigError("nobody leads just now: name an instance, or wait with ready()")

    def _own_server(self) -> Server:
        if self.server is None:
            raise ConfigError(f"the server at {hide_password(self.url)} is not ours to stop")
        return self.server

    def _need_link(self, member: Member) -> None:
        if member.url == self.url:
            raise ConfigError(f"only a link over redis:// can be cut, not {hide_password(self.url)}")

    # --- what it leaves ---------------------------------------------------------------------------

    def log(self, name: str, lines: int = 20) -> str:
        """The end of what that instance has printed, over all its lives."""
        return self._supervisor.log(name, lines)

    async def recording(self) -> Recording:
        """Everything since the cluster was entered, as one value: what checks and plots read."""
        return await collect(
            self.app,
            self._snapshot,
            options=self._options(),
            journals=self._supervisor.journals(self._members.values()),
            faults=self.faults,
        )

    def _options(self) -> dict[str, Any]:
        settings = msgspec.structs.asdict(self.settings.replace(redis_url=hide_password(self.url)))
        return {
            "instances": list(self.names),
            "settings": settings,
            "tasks": None if self.tasks is None else str(self.tasks),
            "app": self._handlers,
            "server": "its own" if self.server is None else f"embedded, appendonly {self.server.appendonly}",
        }
