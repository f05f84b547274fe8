"""How a body is run: as a coroutine, in a thread, or in a process of its own.

What stops a body that has to stop: a coroutine is cancelled, a process is killed. A thread cannot be
stopped: it is told through `ctx.cancelled` and `ctx.lease_lost`, and its slot stays taken until it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import importlib.util
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

from msgspec import structs

from . import codec
from .clock import Host
from .context import Context, SyncContext, answer, call_from_thread, facts_of
from .errors import ConfigError, LabschedError
from .model import Failure, Task
from .serving import BODY

# What a runner leaves behind when its body could not be stopped: done when the body has really ended.
Lingering = Callable[["Future[Any]"], None]


@dataclass(frozen=True)
class Registered:
    """A handler of this process: the definition as its code has it, and the function."""

    task: Task
    function: Callable[..., Any]


class BodyFailed(Exception):
    """A body in another process raised; carries what it said there."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ProcessDied(LabschedError):
    """A body's process ended without a result (killed, out of memory, or it called os._exit)."""


class Runner(Protocol):
    """Runs one body to its end and returns its result; cancelling the call stops the body as far as possible."""

    async def run(
        self, job: Registered, ctx: Context, payload: Mapping[str, Any], linger: Lingering
    ) -> Any: ...

    def kill_all(self) -> None:
        """Stop at once whatever can be stopped; callable from any thread (the lease is over)."""

    def close(self) -> None: ...


class AsyncRunner:
    """Coroutine functions, on the instance's own loop."""

    async def run(self, job: Registered, ctx: Context, payload: Mapping[str, Any], linger: Lingering) -> Any:
        return await job.function(ctx, **payload)

    def kill_all(self) -> None:
        return None

    def close(self) -> None:
        return None


class ThreadRunner:
    """Plain functions, in a pool of as many threads as the instance has slots."""

    def __init__(self, host: Host, pool_size: int) -> None:
        self._host = host
        self._pool = ThreadPoolExecutor(pool_size, thread_name_prefix="labsched-body")

    async def run(self, job: Registered, ctx: Context, payload: Mapping[str, Any], linger: Lingering) -> Any:
        loop = asyncio.get_running_loop()
        ask: Callable[[str, tuple[Any, ...]], Coroutine[Any, Any, Any]] = functools.partial(
            answer, ctx, self._host
        )
        sync = SyncContext(facts_of(ctx), call_from_thread(loop, ask), ctx)
        future = self._pool.submit(_called, job.function, sync, payload)
        try:
            return await asyncio.wrap_future(future)
        finally:
            if not future.done():
                linger(future)

    def kill_all(self) -> None:
        return None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _called(function: Callable[..., Any], ctx: SyncContext, payload: Mapping[str, Any]) -> Any:
    try:
        return function(ctx, **payload)
    except StopIteration as error:
        # asyncio's futures cannot carry it, and would never end.
        raise RuntimeError("the body raised StopIteration") from error
    except (KeyboardInterrupt, SystemExit) as error:
        # The body's own: signals come to the main thread. On the loop they would end the instance.
        raise BodyFailed(codec.failure_of(error, traceback.format_exc())) from None


def reference(function: Callable[..., Any]) -> tuple[str, str, str]:
    """Where another process finds a function: module, file, qualified name. Raises `ConfigError`."""
    name, module = function.__qualname__, sys.modules.get(function.__module__)
    if "<" in name or module is None:
        raise ConfigError(f"runner 'process' needs a function at the top of a module, not {name}")
    return function.__module__, getattr(module, "__file__", None) or "", name


def load_reference(module_name: str, file: str, name: str) -> Callable[..., Any]:
    """The function that `reference` described; a script's own module is loaded from its file."""
    if module_name == "__main__" or importlib.util.find_spec(module_name.partition(".")[0]) is None:
        spec = importlib.util.spec_from_file_location(f"labsched_body_{module_name}", file)
        assert spec and spec.loader, file
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(module_name)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


def _die_with(life: Connection) -> None:
    """End this process when the instance's end of the pipe closes: it was killed, so nobody waits for us."""
    with contextlib.suppress(EOFError, OSError):
        life.recv()
    os.kill(os.getpid(), signal.SIGKILL)


def _limit_memory(limit: int | None) -> None:
    if limit is not None and sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _child(ref: tuple[str, str, str], facts: dict[str, Any], payload: dict[str, Any], limit: int | None,
           talk: Connection, life: Connection) -> None:  # fmt: skip
    """The life of a body's process: load, run, send what came of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A supervisor sends SIGTERM to the whole group; the instance that drains decides what becomes of its bodies.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(life,), daemon=True).start()
    lock = threading.Lock()

    def call(name: str, args: tuple[Any, ...]) -> Any:
        with lock:
            talk.send(("ask", name, args))
            ok, value = talk.recv()
        if not ok:
            raise value
        return value

    try:
        function = load_reference(*ref)
        _limit_memory(limit)
        result = function(SyncContext(facts, call, None), **payload)
        talk.send(("done", codec.to_json(result, "result")))
    except BaseException as error:
        failure = codec.failure_of(error, traceback.format_exc())
        if isinstance(error, MemoryError) and limit is not None:
            said = f"the body needed more than its memory_limit of {limit} bytes"
            failure = structs.replace(failure, message=f"{said}: {error}" if str(error) else said)
        talk.send(("failed", failure))


class ProcessRunner:
    """Plain functions, each attempt in a new process: killed on timeout, memory limited (Linux)."""

    def __init__(self, host: Host, pool_size: int) -> None:
        self._host = host
        self._spawn = multiprocessing.get_context("spawn")
        self._alive: set[Any] = set()
        self._pool = ThreadPoolExecutor(pool_size, thread_name_prefix="labsched-process")

    async def run(self, job: Registered, ctx: Context, payload: Mapping[str, Any], linger: Lingering) -> Any:
        loop = asyncio.get_running_loop()
        ask: Callable[[str, tuple[Any, ...]], Coroutine[Any, Any, Any]] = functools.partial(
            answer, ctx, self._host
        )
        talk, theirs = self._spawn.Pipe()
        life, watched = self._spawn.Pipe()
        args = (reference(job.function), facts_of(ctx), dict(payload), job.task.memory_limit, theirs, watched)
        process = self._spawn.Process(target=_child, args=args, daemon=True, name=BODY + ctx.execution)
        self._alive.add(process)
        future = self._pool.submit(_supervise, process, talk, (theirs, watched), call_from_thread(loop, ask))
        try:
            return codec.from_json(await asyncio.wrap_future(future))
        finally:
            # Closing the pipe also ends a process that is only just being started and cannot be killed yet.
            life.close()
            if process.pid is not None:
                process.kill()
            if not future.done():
                linger(future)
            future.add_done_callback(lambda _: self._alive.discard(process))

    def kill_all(self) -> None:
        for process in list(self._alive):
            if process.pid is not None:
                process.kill()

    def close(self) -> None:
        self.kill_all()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _supervise(
    process: Any, talk: Connection, theirs: tuple[Connection, ...], call: Callable[..., Any]
) -> Any:
    """Start a body's process, answer what it asks, return its result as JSON."""
    process.start()
    for end in theirs:
        end.close()
    try:
        while True:
            kind, *rest = talk.recv()
            if kind == "done":
                return rest[0]
            if kind == "failed":
                raise BodyFailed(rest[0])
            try:
                talk.send((True, call(*rest)))
            except LabschedError as error:
                talk.send((False, error))
    except (EOFError, OSError):
        process.join()
        raise ProcessDied(f"the body's process ended with {_how(process.exitcode)}") from None
    finally:
        process.kill()
        process.join()
        talk.close()


def _how(exitcode: int) -> str:
    return f"signal {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exit code {exitcode}"


def default_runners(host: Host, pool_size: int) -> dict[str, Runner]:
    """The three runners of the real world, by the name that a task gives."""
    return {
        "async": AsyncRunner(),
        "thread": ThreadRunner(host, pool_size),
        "process": ProcessRunner(host, pool_size),
    }
