"""What a task's body is given: who it is, what it may tell, and how its effects are fenced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from . import codec
from .clock import Host
from .errors import ConfigError, PayloadError, StaleToken
from .model import as_datetime
from .store import Store, text

if TYPE_CHECKING:
    from .app import Scheduler
    from .scratch import Scratch

T = TypeVar("T")

MAX_LINE = 4000  # characters of one log line
MAX_LINES = 1000  # log lines kept per execution


class Fence:
    """Effects of one execution, each written once whatever its attempts do.

    `write` is keyed by (execution, key): the first write wins; a later attempt gets False and may `read`
    it; an attempt that was superseded gets `StaleToken` and changes nothing.
    """

    def __init__(self, store: Store, host: Host, instance: str, execution: str, token: int) -> None:
        self._store, self._host = store, host
        self._who = (instance, execution, token)

    async def write(self, key: str, value: Any) -> bool:
        """Record an effect; True when this very call wrote it. Raises `StaleToken`, `PayloadError`."""
        encoded = codec.to_json(value, f"fenced value {key!r}")
        reply = await self._store.call("fence_write", *self._who, key, encoded, self._host.new_id())
        if isinstance(reply, list):
            instance, execution, token = self._who
            raise StaleToken(
                f"{execution}: token {token} of {instance} was superseded, {key!r} was not written"
            )
        return text(reply) == "written"

    async def read(self, key: str) -> Any:
        """The value written under `key` by any attempt of this execution, None when there is none."""
        field, name = f"={key}", self._store.key("fence", self._who[1])
        found = await self._store.retrying(lambda: self._store.redis.execute_command("HGET", name, field))
        return codec.from_json(found)


class Context:
    """Passed to every body as its first argument. Cheap to make: one per attempt."""

    __slots__ = (
        "_fence", "_host", "_on_note", "_scratch", "_store", "app", "attempt", "cancelled", "due", "execution",
        "instance", "lease_lost", "lines", "progress_made", "slot_ms", "task", "token",
    )  # fmt: skip

    def __init__(
        self,
        store: Store,
        host: Host,
        app: Scheduler,
        scratch: Callable[[], Scratch],
        on_note: Callable[[Context], None],
        *,
        task: str,
        execution: str,
        slot: int | None,
        due: int,
        attempt: int,
        token: int,
        instance: str,
    ) -> None:
        self._store, self._host, self._scratch, self._on_note = store, host, scratch, on_note
        self._fence: Fence | None = None
        self.app = app
        self.task, self.execution, self.slot_ms, self.due = task, execution, slot, due
        self.attempt, self.token, self.instance = attempt, token, instance
        self.lease_lost = False  # somebody else may have taken over, or soon will: stop
        self.cancelled = False  # asked to stop, or timed out
        self.lines: list[str] = []
        self.progress_made: tuple[float, float] | None = None

    @property
    def slot(self) -> datetime | None:
        """The nominal time of this run (UTC), None for a trigger."""
        return as_datetime(self.slot_ms)

    @property
    def now(self) -> datetime:
        """This instance's wall clock (UTC). It may be wrong: never compare it with another instance's."""
        return datetime.fromtimestamp(self._host.clock.now(), UTC)

    @property
    def scratch(self) -> Scratch:
        """A folder for files of this namespace's tasks, kept apart from everything else."""
        return self._scratch()

    @property
    def fence(self) -> Fence:
        if self._fence is None:
            self._fence = Fence(self._store, self._host, self.instance, self.execution, self.token)
        return self._fence

    def log(self, message: object) -> None:
        """Keep a line with the execution (the last 1,000 are kept). Sent within a second, and at the end."""
        self.lines.append(codec.clean(str(message)[:MAX_LINE]))
        self._on_note(self)

    def progress(self, done: float, total: float) -> None:
        """Tell how far the body is. Raises `PayloadError` for what is no number."""
        if not (isinstance(done, int | float) and isinstance(total, int | float)):
            raise PayloadError(f"progress is {done!r} of {total!r}, allowed are numbers")
        codec.to_json([done, total], "progress")
        self.progress_made = (done, total)
        self._on_note(self)

    async def work(self, seconds: float) -> None:
        """Stand for work that takes so long and yields to others meanwhile."""
        await self._host.clock.sleep(seconds)

    async def hog(self, seconds: float) -> None:
        """Keep the event loop busy, as a body does that computes without ever awaiting. For experiments."""
        await self._host.hog(seconds)


class SyncFence:
    """`Fence` for bodies that run in a thread or process."""

    def __init__(self, call: Callable[[str, tuple[Any, ...]], Any]) -> None:
        self._call = call

    def write(self, key: str, value: Any) -> bool:
        return bool(self._call("fence.write", (key, value)))

    def read(self, key: str) -> Any:
        return self._call("fence.read", (key,))


class SyncContext:
    """`Context` for plain functions: the same names, without await.

    In a thread, `lease_lost` and `cancelled` can change at any time and the body has to look at them: a
    thread cannot be stopped from outside. A process is killed instead.
    """

    def __init__(
        self, facts: dict[str, Any], call: Callable[[str, tuple[Any, ...]], Any], flags: Any
    ) -> None:
        self._call, self._flags = call, flags
        self.task: str = facts["task"]
        self.execution: str = facts["execution"]
        self.slot_ms: int | None = facts["slot"]
        self.attempt: int = facts["attempt"]
        self.token: int = facts["token"]
        self.instance: str = facts["instance"]
        self.fence = SyncFence(call)

    @property
    def slot(self) -> datetime | None:
        return as_datetime(self.slot_ms)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self._call("now", ()), UTC)

    @property
    def lease_lost(self) -> bool:
        return bool(self._flags is not None and self._flags.lease_lost)

    @property
    def cancelled(self) -> bool:
        return bool(self._flags is not None and self._flags.cancelled)

    @property
    def scratch(self) -> Scratch:
        if self._flags is None:
            raise ConfigError(
                "ctx.scratch is not there in a process; return the data, or use the thread runner"
            )
        scratch: Scratch = self._flags.scratch
        return scratch

    def log(self, message: object) -> None:
        self._call("log", (str(message)[:MAX_LINE],))

    def progress(self, done: float, total: float) -> None:
        self._call("progress", (done, total))

    def work(self, seconds: float) -> None:
        self._call("work", (seconds,))


def facts_of(ctx: Context) -> dict[str, Any]:
    """What a `SyncContext` needs to know, as plain values that cross a pipe."""
    return {
        "task": ctx.task, "execution": ctx.execution, "slot": ctx.slot_ms, "attempt": ctx.attempt,
        "token": ctx.token, "instance": ctx.instance,
    }  # fmt: skip


async def answer(ctx: Context, host: Host, name: str, args: tuple[Any, ...]) -> Any:
    """Do what a body outside the loop asked of its context."""
    if name == "log":
        return ctx.log(*args)
    if name == "progress":
        return ctx.progress(*args)
    if name == "now":
        return host.clock.now()
    if name == "work":
        return await host.clock.sleep(*args)
    if name == "fence.write":
        return await ctx.fence.write(*args)
    if name == "fence.read":
        return await ctx.fence.read(*args)
    raise AssertionError(name)


def call_from_thread(
    loop: asyncio.AbstractEventLoop, ask: Callable[[str, tuple[Any, ...]], Coroutine[Any, Any, T]]
) -> Callable[[str, tuple[Any, ...]], T]:
    """`ask`, to be called from another thread: waits there for the answer made on `loop`."""

    def call(name: str, args: tuple[Any, ...]) -> T:
        return asyncio.run_coroutine_threadsafe(ask(name, args), loop).result()

    return call
