"""`Scheduler` for scripts without asyncio: the calls of `labsched.app.Scheduler`, made on a loop of their own."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from .app import Scheduler as AsyncScheduler
from .clock import Host
from .config import Settings
from .errors import ConfigError
from .metrics import Health, Metrics
from .model import CatchUp, Event, Execution, InstanceInfo, LockInfo, Priority, Reason, State, Task, TaskInfo
from .overview import Overview
from .preview import Forecast, Preview
from .rawkeys import KeyPage, KeyValue
from .schedule import Schedule
from .sync import LoopThread

F = TypeVar("F", bound=Callable[..., Any])


class Scheduler:
    """A client of one namespace for any number of threads; `with Scheduler(url) as app: app.trigger(...)`.

    Every method does what its namesake in `labsched.Scheduler` does, and raises what that raises. `run`
    makes this process an instance; it needs no `with`, and is called from the main thread.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str | None = None,
        settings: Settings | None = None,
        data_dir: str | Path | None = None,
        host: Host | None = None,
        patience: float | None = 10.0,
    ) -> None:
        self._app = AsyncScheduler(
            url, namespace=namespace, settings=settings, data_dir=data_dir, host=host, patience=patience
        )
        self._thread: LoopThread | None = None

    def __enter__(self) -> Scheduler:
        thread = LoopThread("labsched-scheduler")
        try:
            thread.call(self._app.__aenter__())
        except BaseException:
            thread.close()
            raise
        self._thread = thread
        return self

    def __exit__(self, *exc: object) -> None:
        if self._thread is not None:
            thread, self._thread = self._thread, None
            try:
                thread.call(self._app.__aexit__(None, None, None))
            finally:
                thread.close()

    def _open_thread(self) -> LoopThread:
        if self._thread is None:
            raise ConfigError("the scheduler is not open: use it inside `with app:`")
        return self._thread

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._open_thread().call(getattr(self._app, name)(*args, **kwargs))

    def task(self, name: str, schedule: Schedule | None = None, **options: Any) -> Callable[[F], F]:
        return self._app.task(name, schedule, **options)

    def add(self, name: str, schedule: Schedule | None, function: Callable[..., Any], **options: Any) -> Task:
        return self._app.add(name, schedule, function, **options)

    def load_tasks(self, path: str | Path, handlers: Mapping[str, Callable[..., Any]]) -> list[Task]:
        return self._app.load_tasks(path, handlers)

    def run(self, name: str | None = None) -> None:
        """Serve until SIGTERM."""
        self._app.run(name)

    def trigger(
        self,
        name: str,
        /,
        *,
        _key: str | None = None,
        _at: datetime | None = None,
        _priority: Priority | None = None,
        **payload: Any,
    ) -> str:
        found: str = self._call("trigger", name, _key=_key, _at=_at, _priority=_priority, **payload)
        return found

    def trigger_many(
        self,
        name: str,
        payloads: Iterable[Mapping[str, Any]],
        keys: Sequence[str] | None = None,
        *,
        priority: Priority | None = None,
    ) -> list[str]:
        found: list[str] = self._call("trigger_many", name, payloads, keys, priority=priority)
        return found

    def wait(self, xid: str, timeout: Any = None) -> Execution:
        found: Execution = self._call("wait", xid, timeout)
        return found

    def backfill(self, name: str, start: datetime, end: datetime) -> list[str]:
        found: list[str] = self._call("backfill", name, start, end)
        return found

    def pause(self, name: str) -> bool:
        return bool(self._call("pause", name))

    def resume(self, name: str, catch_up: CatchUp = "none") -> bool:
        return bool(self._call("resume", name, catch_up))

    def disable(self, name: str) -> bool:
        return bool(self._call("disable", name))

    def cancel(self, xid: str, force: bool = False) -> str:
        return str(self._call("cancel", xid, force))

    def requeue(self, xid: str) -> None:
        self._call("requeue", xid)

    def drain(self, instance: str) -> bool:
        return bool(self._call("drain", instance))

    def preview(self, name: str, n: int = 10) -> list[Preview]:
        found: list[Preview] = self._call("preview", name, n)
        return found

    def forecast(self, hours: float = 24) -> Forecast:
        found: Forecast = self._call("forecast", hours)
        return found

    def tasks(self) -> list[TaskInfo]:
        found: list[TaskInfo] = self._call("tasks")
        return found

    def executions(
        self,
        task: str | None = None,
        state: State | str | None = None,
        limit: int = 100,
        before: datetime | None = None,
    ) -> list[Execution]:
        found: list[Execution] = self._call("executions", task, state, limit, before)
        return found

    def execution(self, xid: str) -> Execution:
        found: Execution = self._call("execution", xid)
        return found

    def instances(self) -> list[InstanceInfo]:
        found: list[InstanceInfo] = self._call("instances")
        return found

    def locks(self) -> list[LockInfo]:
        found: list[LockInfo] = self._call("locks")
        return found

    def history(self, since: str = "-", until: str = "+") -> list[Event]:
        found: list[Event] = self._call("history", since, until)
        return found

    def events(self, since: str = "-") -> Iterator[Event]:
        """Blocks for each next event; leaving the loop ends the following."""
        thread = self._open_thread()
        arrived: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()

        async def follow() -> None:
            try:
                async for event in self._app.events(since):
                    arrived.put(event)
            except BaseException as error:
                arrived.put(error)
                raise

        following = thread.start(follow())
        try:
            while True:
                item = arrived.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            following.cancel()

    def newest(self, count: int = 50, after: str = "-") -> list[Event]:
        found: list[Event] = self._call("newest", count, after)
        return found

    def overview(self) -> Overview:
        found: Overview = self._call("overview")
        return found

    def keys(self, cursor: str = "0", part: str = "") -> KeyPage:
        found: KeyPage = self._call("keys", cursor, part)
        return found

    def key(self, name: str) -> KeyValue:
        found: KeyValue = self._call("key", name)
        return found

    def metrics(self) -> Metrics:
        found: Metrics = self._call("metrics")
        return found

    def health(self) -> Health:
        found: Health = self._call("health")
        return found

    def why(self, xid: str) -> list[Reason]:
        found: list[Reason] = self._call("why", xid)
        return found

    def why_not(self, name: str, at: datetime | None = None) -> list[Reason]:
        found: list[Reason] = self._call("why_not", name, at)
        return found
