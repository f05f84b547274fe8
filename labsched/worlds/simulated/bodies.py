"""Plain functions on virtual time: the runners "thread" and "process" of the simulated world.

A body runs on a thread of its own, but never at the same time as anything else of the world: it gets the
turn, and gives it back when it asks its context for something, or ends. So a run stays the same every time.
Its own code takes no virtual time; `ctx.work(seconds)` does.
"""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from labsched import codec
from labsched.clock import Host
from labsched.context import Context, SyncContext, answer, facts_of
from labsched.errors import LabschedError
from labsched.runners import BodyFailed, Lingering, Registered


class _Gone(BaseException):
    """Ends the thread of a body that nobody asks any more."""


class _Body:
    """One call of a plain function, stepped by the loop: from one question to its context to the next."""

    def __init__(
        self, job: Registered, ctx: Context, payload: Mapping[str, Any], flags: Context | None
    ) -> None:
        self._sync = SyncContext(facts_of(ctx), self._call, flags)
        self._function, self._payload = job.function, payload
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)
        self._answer: tuple[bool, Any] = (True, None)
        self.question: tuple[str, tuple[Any, ...]] | None = None
        self.outcome: tuple[bool, Any] = (True, None)
        self._buried = False
        self._thread = threading.Thread(target=self._run, name=f"body {ctx.execution}", daemon=True)

    def _run(self) -> None:
        try:
            self.outcome = True, self._function(self._sync, **self._payload)
        except _Gone:
            return
        except BaseException as error:
            self.outcome = False, BodyFailed(codec.failure_of(error, traceback.format_exc()))
        self.question = None
        self._mine.release()

    def _call(self, name: str, args: tuple[Any, ...]) -> Any:
        if self._buried:
            raise _Gone
        self.question = name, args
        self._mine.release()
        self._theirs.acquire()
        if self._buried:
            raise _Gone
        good, value = self._answer
        if not good:
            raise value
        return value

    def step(self, good: bool = True, value: Any = None) -> bool:
        """Let it run, with the answer to its question, until the next one (True) or its end."""
        if not self._thread.ident:
            self._thread.start()
        else:
            self._answer = good, value
            self._theirs.release()
        self._mine.acquire()
        return self.question is not None

    def bury(self) -> None:
        """The world is over: a thread that still waits for its turn ends."""
        if self._thread.is_alive():
            self._buried = True
            self._theirs.release()


class PlainRunner:
    """A `Runner`. What is `killable` ends when it is cancelled, as a process does: it gets no turn any more, and
    none of its `finally` blocks runs while the world lasts. A thread runs on.
    """

    def __init__(self, host: Host, *, killable: bool) -> None:
        self._host, self._killable = host, killable
        self._running: dict[asyncio.Task[Any], _Body] = {}
        self._cut_off: list[_Body] = []

    async def run(self, job: Registered, ctx: Context, payload: Mapping[str, Any], linger: Lingering) -> Any:
        body = _Body(job, ctx, payload, None if self._killable else ctx)
        task = asyncio.get_running_loop().create_task(self._step(body, ctx), name=f"body {ctx.execution}")
        self._running[task] = body
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._killable:
                task.cancel()
            elif not task.done():
                ended: Future[Any] = Future()
                task.add_done_callback(lambda done: _quietly(done, ended))
                linger(ended)
            raise

    def _ended(self, task: asyncio.Task[Any]) -> None:
        body = self._running.pop(task)
        if task.cancelled():
            self._cut_off.append(body)

    def bury(self) -> None:
        """The world is over: let go of the threads of bodies that never ended."""
        for body in [*self._running.values(), *self._cut_off]:
            body.bury()

    async def _step(self, body: _Body, ctx: Context) -> Any:
        asks = body.step()
        while asks:
            assert body.question is not None
            try:
                value = await answer(ctx, self._host, *body.question)
            except LabschedError as error:
                asks = body.step(False, error)
            else:
                asks = body.step(True, value)
        good, value = body.outcome
        if not good:
            raise value
        return codec.from_json(codec.to_json(value, "result")) if self._killable else value

    def kill_all(self) -> None:
        if self._killable:
            for task in list(self._running):
                task.cancel()

    def close(self) -> None:
        self.kill_all()


def _quietly(task: asyncio.Task[Any], ended: Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # nobody else asks for it
    ended.set_result(None)
