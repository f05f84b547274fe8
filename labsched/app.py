"""`Scheduler`: what a user's script holds. It registers tasks, is a client, and can be an instance.

app = Scheduler("redis://localhost:6379/0", namespace="demo")

@app.task("daily-report", every("5s"))
async def daily_report(ctx): ...

async with app: await app.trigger("daily-report")     # a client
app.run()                                             # an instance, until SIGTERM
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from . import serving
from .client import Client
from .clock import Host
from .config import Settings
from .connect import Opened
from .definition import check_handler, define
from .errors import ConfigError
from .handle import check_word, log
from .instance import Instance
from .model import Task
from .runners import Registered, Runner, default_runners, reference
from .schedule import Schedule
from .scratch import FolderScratch, Scratch
from .store import text

F = TypeVar("F", bound=Callable[..., Any])


class Scheduler(Client):
    """A handle on one namespace: its tasks, its executions, and this process's handlers.

    `url`: redis://, rediss://, unix://, "embedded" (a private server; `data_dir` keeps its data) or "fake"
    (this process only). Nothing is opened before `async with`, which writes the registered tasks to the
    registry. What a client can do is in `labsched.client.Client`.
    """

    def __init__(
        self,
        url: str | Opened | None = None,
        *,
        namespace: str | None = None,
        settings: Settings | None = None,
        data_dir: str | Path | None = None,
        host: Host | None = None,
        patience: float | None = 10.0,
    ) -> None:
        super().__init__(
            url, namespace=namespace, settings=settings, data_dir=data_dir, host=host, patience=patience
        )
        self.handlers: dict[str, Registered] = {}

    def task(self, name: str, schedule: Schedule | None = None, **options: Any) -> Callable[[F], F]:
        """Register a handler under a task's name; the function itself is returned unchanged.

        Options and their meaning: docs/tasks.md. Coroutine functions run as "async", plain ones as "thread"
        unless `runner="process"`. Raises `ConfigError` or `ScheduleError`.
        """

        def register(function: F) -> F:
            self.add(name, schedule, function, **options)
            return function

        return register

    def add(self, name: str, schedule: Schedule | None, function: Callable[..., Any], **options: Any) -> Task:
        """`task` without the decorator."""
        task = self._definition(name, schedule, function, options)
        self._register(Registered(task, function))
        return task

    def _definition(
        self, name: str, schedule: Schedule | None, function: Callable[..., Any], options: dict[str, Any]
    ) -> Task:
        """`define`, with what follows from the function and from this process's settings."""
        check_handler(f"task {name!r}", function)
        coroutine = inspect.iscoroutinefunction(function)
        options.setdefault("runner", "async" if coroutine else "thread")
        options.setdefault("lock_at_most_for", self.settings.lock_at_most_for)
        task = define(name, schedule, **options)
        if coroutine != (task.runner == "async"):
            kind = "a coroutine function" if coroutine else "a plain function"
            raise ConfigError(f"task {name!r}: runner is {task.runner!r}, but its handler is {kind}")
        if task.runner == "process":
            reference(function)
        return task

    def _register(self, job: Registered) -> None:
        known = self.handlers.get(job.task.name)
        if known is not None and known.function is not job.function:
            raise ConfigError(f"task {job.task.name!r} is registered already, with another handler")
        self.handlers[job.task.name] = job

    def load_tasks(self, path: str | Path, handlers: Mapping[str, Callable[..., Any]]) -> list[Task]:
        """Register the tasks of a YAML file, whose handlers are looked up by name in `handlers`."""
        from .taskfile import load_tasks

        def make(name: str, schedule: Schedule, **options: Any) -> Task:
            return self._definition(name, schedule, handlers[options.get("handler", name)], options)

        tasks = load_tasks(path, handlers, make)
        for task in tasks:
            self._register(Registered(task, handlers[task.handler]))
        return tasks

    async def define(self) -> None:
        """Write the registered tasks to the registry; what is there already stays as it is."""
        for job in list(self.handlers.values()):  # others may register while this one is on its way
            await self.registry.define(job.task)

    def own_name(self) -> str:
        """A name for an instance that was given none: containers may share a host name, and run all as pid 1."""
        return f"{self.host.hostname}-{self.host.pid}-{self.host.new_id()[:6]}"

    @contextlib.asynccontextmanager
    async def instance(
        self,
        name: str | None = None,
        *,
        runners: Mapping[str, Runner] | None = None,
        scratch: Callable[[], Scratch] | None = None,
    ) -> AsyncIterator[Instance]:
        """Join the cluster with this process's handlers for the length of the block, then drain.

        A server that cannot be reached is waited for, with a warning in the log. After an exception in the
        block nothing is said to the cluster: the lease runs out and others recover the work. When another process
        joins under this name the block is cancelled and exits with `StaleIncarnation`; without `name` it is
        HOST-PID and a few random characters.
        """
        name = name or self.own_name()
        check_word("instance name", name)
        await self._enter(None)
        try:
            assert self._opened is not None
            member = Instance(
                self._store(None), self._opened.blocking, self.host, self.settings, name, self, self.handlers,
                runners or default_runners(self.host, self.settings.pool_size),
                scratch or await self._scratch_folder(), lambda line: log.info("%s: %s", name, line),
            )  # fmt: skip
            await member.start()
            try:
                async with member.unless_failed():
                    yield member
            except BaseException:
                await member.abandon()
                raise
            await member.drain()
        finally:
            await self.__aexit__(None, None, None)

    async def _scratch_folder(self) -> Callable[[], Scratch]:
        """One folder per user, namespace and server: a cluster's instances on this machine share it, others not."""
        key = self._client.key("meta")

        async def identity() -> Any:
            await self._client.redis.execute_command("HSETNX", key, "id", self.host.new_id())
            return await self._client.redis.execute_command("HGET", key, "id")

        which = text(await self._client.retrying(identity))
        root = Path(tempfile.gettempdir()) / f"labsched-{os.getuid()}-{self.namespace}-{which}"
        return lambda: FolderScratch(root, self.host.clock)

    async def serve(self, name: str | None = None) -> None:
        """Be an instance until SIGTERM, SIGINT or a drain from elsewhere; a second signal ends the process."""
        if not self.settings.enabled:
            log.warning("scheduler.enabled is false: this process runs nothing")
            return
        await serving.serve(self, name)

    def run(self, name: str | None = None) -> None:
        """`serve`, from outside an event loop."""
        if not serving.may_run():
            return
        serving.speak(self.settings.log_level)
        asyncio.run(self.serve(name))
        serving.end_process()
