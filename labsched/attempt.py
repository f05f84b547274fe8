"""One attempt on this instance: its body, why it was stopped, what came of it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple

from . import codec
from .context import Context
from .errors import StaleToken
from .model import Failure, State
from .plan import retry_delay
from .runners import BodyFailed, Registered, Runner

Stop = Literal["timeout", "cancel", "drain", "lease", "revoked"]
# These stops need no word from us: the token is revoked, or will be by recovery.
SILENT: frozenset[Stop] = frozenset({"lease", "revoked"})


class Verdict(NamedTuple):
    """What `finish.lua` is told of one attempt."""

    to: str
    outcome: str
    result: str = ""
    failure: str = ""
    brief: str = '""'
    delay_ms: int = 0


class Attempt:
    """Runs one body in a task of its own and hands one verdict to `settle`, at most once.

    `free` is called when the body has really ended: until then its slot is taken, also when the verdict
    was given earlier because the body ignored being stopped. `on_stopped` hears how a body ended that lost
    its lease.
    """

    def __init__(
        self,
        ctx: Context,
        job: Registered,
        runner: Runner,
        payload: str | bytes,
        fails: int,
        luck: Callable[[], float],
        settle: Callable[[Attempt, Verdict], None],
        free: Callable[[Attempt], None],
        on_stopped: Callable[[Attempt, str], None],
        grace: float,
    ) -> None:
        self.ctx, self.job, self.started = ctx, job, False
        self._runner, self._payload, self._fails, self._luck = runner, payload, fails, luck
        self._settle, self._free, self._grace = settle, free, grace
        self._on_stopped = on_stopped
        self._settled = self._noted = False
        self._lingering: Future[Any] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self.stopped: Stop | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.task = loop.create_task(self._run())
        if self.job.task.timeout is not None:
            self._timers.append(loop.call_later(self.job.task.timeout, self.stop, "timeout"))

    def stop(self, why: Stop) -> None:
        """End the body as far as its runner can; after `grace` the verdict is given even if it goes on."""
        if self.stopped is not None and why not in SILENT:
            return
        first, self.stopped = self.stopped is None, why
        self.ctx.cancelled = True
        if why in SILENT:
            self.ctx.lease_lost = True
        if why == "lease" and self.job.task.runner == "thread":
            self._told("flagged")
        if first and self.task is not None and not self.task.done():
            self.task.cancel()
            if not self.started:
                # A task cancelled before its first step never enters `_run`.
                self._conclude(self._verdict_of_stop())
                self._end()
                return
            self._timers.append(asyncio.get_running_loop().call_later(self._grace, self._give_up))

    @property
    def ignoring(self) -> bool:
        """Whether the body goes on although it was stopped and its verdict is given."""
        return (
            self._settled and self.task is not None and (not self.task.done() or self._lingering is not None)
        )

    def _give_up(self) -> None:
        self._conclude(self._verdict_of_stop())
        if self.stopped == "lease":
            self._told("ignored")

    def _told(self, how: str) -> None:
        """Note, once, what became of a body that lost its lease."""
        if not self._noted:
            self._noted = True
            self._on_stopped(self, how)

    async def _run(self) -> None:
        self.started = True
        try:
            given = {**self.job.task.payload, **(codec.from_json(self._payload) or {})}
            result = await self._runner.run(self.job, self.ctx, given, self._linger)
            verdict: Verdict | None = Verdict("SUCCEEDED", "SUCCEEDED", codec.to_json(result, "result"))
        except asyncio.CancelledError as error:
            verdict = self._verdict_of_stop() if self.stopped else self._failed("FAILED", error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # SystemExit too: a body that calls sys.exit() has failed, it does not end the instance.
            if self.stopped and not isinstance(error, StaleToken):
                verdict = self._verdict_of_stop()
            else:
                verdict = self._failed("FAILED", error)
        self._conclude(verdict)
        if self._lingering is None:
            self._end()

    def _linger(self, future: Future[Any]) -> None:
        self._lingering = future
        loop = asyncio.get_running_loop()

        def over(_: Future[Any]) -> None:
            self._lingering = None
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._end)

        future.add_done_callback(over)

    def _end(self) -> None:
        for timer in self._timers:
            timer.cancel()
        if self.stopped == "lease":
            self._told("killed" if self.job.task.runner == "process" else "cancelled")
        elif self.ctx.lease_lost:
            self._told("ended")  # by itself: it was flagged while it blocked the loop
        self._free(self)

    def _conclude(self, verdict: Verdict | None) -> None:
        if not self._settled:
            self._settled = True
            if verdict is not None:
                self._settle(self, verdict)

    def _verdict_of_stop(self) -> Verdict | None:
        if self.stopped == "timeout":
            limit = self.job.task.timeout
            return self._failed(
                "TIMED_OUT", TimeoutError(f"the attempt took longer than its timeout of {limit:g} s")
            )
        if self.stopped == "cancel":
            return Verdict(State.CANCELLED, "CANCELLED")
        if self.stopped == "drain":
            return Verdict(State.READY, "CANCELLED" if self.started else "RETURNED")
        return None

    def _failed(self, outcome: str, error: BaseException) -> Verdict:
        if isinstance(error, BodyFailed):
            failure = error.failure
        else:
            failure = codec.failure_of(error, "".join(traceback.format_exception(error)))
        task = self.job.task
        to, delay = State.FAILED, 0.0
        if self._fails < task.retries:
            to = State.RETRYING
            wait = task.backoff
            delay = retry_delay(wait.base, wait.cap, wait.jitter, self._fails + 1, self._luck())
        brief = codec.to_json(codec.brief(failure), "error")
        return Verdict(to, outcome, "", _json(failure), brief, round(delay * 1000))


def _json(failure: Failure) -> str:
    return codec.to_json(
        {"type": failure.type, "message": failure.message, "traceback": failure.traceback}, "failure"
    )
