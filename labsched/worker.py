"""The worker: claims READY work for this instance's free slots, runs it, and commits what came of it.

A pump makes every call: in one round trip it sends what ended, asks for as much as is free, and then waits
for bodies to end or for a hint. Under load the batches grow by themselves. A large pool has two pumps, each
with half of it, so that bodies of one half run while the server works for the other.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from . import codec
from .attempt import Attempt, Stop, Verdict
from .clock import Host
from .config import Settings
from .context import MAX_LINES, Context
from .errors import LabschedError
from .model import State
from .runners import Registered, Runner
from .store import Store, text

if TYPE_CHECKING:
    from .app import Scheduler
    from .scratch import Scratch

log = logging.getLogger("labsched")

TROUBLE_PAUSE = 1.0  # seconds before a server that refused is asked again
TWO_PUMPS = 20  # slots from which a second pump pays
FULL_PAUSE = 0.2  # seconds before a claim is repeated for which the server saw no free slot
NOTE_EVERY = 0.5  # seconds between two sendings of one attempt's log lines and progress


class End(NamedTuple):
    """What the server has to be told of an attempt."""

    execution: str
    token: str
    verdict: Verdict


class Worker:
    """Runs attempts for one incarnation after another (`incarnation` is set by the instance)."""

    def __init__(
        self,
        store: Store,
        host: Host,
        settings: Settings,
        name: str,
        app: Scheduler,
        handlers: Mapping[str, Registered],
        runners: Mapping[str, Runner],
        scratch: Callable[[], Scratch],
    ) -> None:
        self._store, self._host, self._settings, self._name = store, host, settings, name
        self._app, self._handlers, self._runners, self._scratch = app, handlers, runners, scratch
        self.incarnation = ""
        self.claiming = False
        self.on_stopped: Callable[[Attempt, str], None] = lambda attempt, how: None
        self.attempts: dict[str, Attempt] = {}  # by token: everything that takes up a slot
        self._ended: list[End] = []
        # By token that the server says we hold and we know nothing of: the claims that were open at first sight of it.
        self._strange: dict[str, set[str]] = {}
        self._noted: dict[str, Context] = {}
        self._pumps = 2 if settings.pool_size >= TWO_PUMPS else 1
        self._wakes = [asyncio.Event() for _ in range(self._pumps)]
        self._hungry = True
        self._busy = 0  # pumps that talk to the server
        self._asked = 0  # slots that claims on their way may fill
        self._telling: set[str] = set()  # tokens whose ends are on their way to the server
        self._serial = itertools.count(1)  # of claims: a late copy of an older one must be known as such
        self._crowded = False  # a task's max_concurrency held work back: look again when a body has ended
        # Claims without a reply, by lane: what they were granted would wait for its hard end if they were
        # not asked again, with the same nonce.
        self._open_claims: dict[int, tuple[str, str, int]] = {}
        self._more_at: asyncio.TimerHandle | None = None
        self._note_timer: asyncio.TimerHandle | None = None
        self._notes_due = False
        self._told = asyncio.Event()  # set after each round trip

    # What others tell the worker.

    def hint(self) -> None:
        """There may be work: look."""
        self._hungry = True
        self._wake()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()

    def cancel(self, token: str, why: Stop) -> None:
        """Stop one attempt, if it is still here."""
        attempt = self.attempts.get(token)
        if attempt is not None:
            attempt.stop(why)

    def stop_all(self, why: Stop) -> list[Attempt]:
        """Stop every attempt; returns those that were still running."""
        running = [a for a in self.attempts.values() if a.stopped is None or why == "lease"]
        for attempt in running:
            attempt.stop(why)
        if why == "lease":
            for runner in self._runners.values():
                runner.kill_all()
        return running

    def flag_lease_lost(self) -> list[str]:
        """Tell every body that the lease is over, from any thread: the loop may be blocked."""
        contexts = [a.ctx for a in list(self.attempts.values())]
        for ctx in contexts:
            ctx.lease_lost = ctx.cancelled = True
        for runner in self._runners.values():
            runner.kill_all()
        return [ctx.execution for ctx in contexts]

    def running(self) -> int:
        """Attempts that the server has to count as ours."""
        return len(self.attempts) + len(self._ended) + len(self._telling)

    def tokens(self) -> list[int]:
        """Tokens of the attempts that are here, or have ended and are yet to be told."""
        return [int(token) for token in (*self.attempts, *(end.token for end in self._ended))]

    def compare(self, held: Mapping[str, str]) -> None:
        """What the server says we hold (token: execution) when that is more than `running`; empty when it is not.

        What we know nothing of, twice in a row and with no claim unanswered that can have brought it, has ended here,
        and a server that lost its last writes forgot that. It goes back to READY.
        """
        known = {*self.attempts, *(end.token for end in self._ended), *self._telling}
        claims = {nonce for _, nonce, _ in self._open_claims.values()}
        seen, self._strange = self._strange, {}
        for token in sorted(held.keys() - known):
            if token in seen and not seen[token] & claims:
                self._ended.append(End(held[token], token, Verdict(State.READY, "RETURNED")))
            else:
                self._strange[token] = seen.get(token, claims)
        if self._ended:
            self._wake()

    # The pump.

    async def run(self) -> None:
        """Pump until cancelled."""
        async with asyncio.TaskGroup() as group:
            for lane in range(self._pumps):
                group.create_task(self._pump(lane))

    async def _pump(self, lane: int) -> None:
        wake = self._wakes[lane]
        while True:
            await wake.wait()
            wake.clear()
            self._busy += 1
            try:
                while await self._exchange(lane):
                    pass
            finally:
                self._busy -= 1
                self._told.set()

    def _wants(self) -> int:
        if not (self.claiming and self._hungry and self.incarnation):
            return 0
        # An end that the other pump is telling still fills its slot as far as the server knows.
        free = self._settings.pool_size - len(self.attempts) - self._asked - len(self._telling)
        return min(free, -(-self._settings.pool_size // self._pumps))

    async def _exchange(self, lane: int) -> bool:
        """One round trip: notes, ends, claim. False when there was nothing to say."""
        ended, self._ended = self._ended, []
        try:
            return await self._say(lane, ended)
        except BaseException:
            # What ended is told whatever happens: else it would run on for the server until its hard end.
            self._ended[:0] = ended
            self.hint()
            raise

    async def _say(self, lane: int, ended: list[End]) -> bool:
        steps = self._note_steps(lane, {end.token for end in ended})
        if ended:
            steps.append(("finish", self._finish_args(ended)))
        incarnation = self.incarnation
        nonce, want = self._claim_of(lane, incarnation)
        if want > 0:
            self._hungry = False
            steps.append(("claim", (self._name, incarnation, lane, nonce, want)))
        if not steps:
            return False
        self._asked += want
        telling = {end.token for end in ended}
        self._telling |= telling
        try:
            replies = await self._send(steps)
        finally:
            self._asked -= want
            self._telling -= telling
        ended.clear()
        self._open_claims.pop(lane, None)
        if want > 0:
            self._started(replies[-1], want, incarnation)
        return True

    def _claim_of(self, lane: int, incarnation: str) -> tuple[str, int]:
        """Nonce and size of the lane's claim: the one whose reply never came, or a new one (size 0: none)."""
        known = self._open_claims.get(lane)
        if known is None or known[0] != incarnation:
            want = self._wants()
            if want <= 0:
                return "", 0
            known = self._open_claims[lane] = (incarnation, str(next(self._serial)), want)
        return known[1], known[2]

    async def _send(self, steps: list[tuple[str, Any]]) -> list[Any]:
        """Send until the server takes it: what ended must not be lost because the server is full or read-only."""
        while True:
            try:
                return await self._store.calls(*steps)
            except LabschedError as error:
                self._store.on_trouble(str(error))
                await self._host.clock.sleep(TROUBLE_PAUSE)

    async def settled(self) -> None:
        """Wait until every attempt has ended and the server knows."""
        while self._busy or self._ended or any(not a.ignoring for a in self.attempts.values()):
            self._told.clear()
            await self._told.wait()

    def _finish_args(self, ended: list[End]) -> list[str | float]:
        args: list[str | float] = [self._name]
        for end in ended:
            args += (end.execution, end.token, *end.verdict)
        return args

    def _started(self, reply: Any, want: int, incarnation: str) -> None:
        if text(reply[0]) != "ok":
            # Draining, or the lease is over: the heartbeat deals with that.
            return
        if incarnation != self.incarnation:
            # Granted to a former life of ours, whose work others will recover.
            return
        granted = (len(reply) - 4) // 9
        full = text(reply[3]) == "1"
        if full and not granted:
            # It counts more as ours than we know of. A server that lost its last writes has forgotten ends: until
            # `compare` has told it so, asking again at once gives the same.
            self._look_again(FULL_PAUSE)
        elif granted == want or full:
            self._hungry = True
        self._crowded = text(reply[3]) == "2"
        more_at = text(reply[2])
        if more_at and not self._hungry:
            self._look_again((int(more_at) - int(reply[1])) / 1000)
        for at in range(4, len(reply), 9):
            self._start(reply[at : at + 9])

    def _look_again(self, seconds: float) -> None:
        if self._more_at is not None:
            self._more_at.cancel()
        self._more_at = asyncio.get_running_loop().call_later(max(seconds, 0.001), self.hint)

    def _start(self, row: list[Any]) -> None:
        id, task, token, attempt, fails, payload, slot, due, _until = row
        job = self._handlers[text(task)]
        ctx = Context(
            self._store, self._host, self._app, self._scratch, self._note,
            task=job.task.name, execution=text(id), slot=int(slot) if slot else None, due=int(due),
            attempt=int(attempt), token=int(token), instance=self._name,
        )  # fmt: skip
        running = Attempt(
            ctx, job, self._runners[job.task.runner], payload, int(fails), self._host.rng.random,
            self._settle, self._release, self.on_stopped, self._settings.cancel_grace,
        )  # fmt: skip
        self.attempts[text(token)] = running
        running.start()

    def _settle(self, attempt: Attempt, verdict: Verdict) -> None:
        if verdict.outcome in ("FAILED", "TIMED_OUT"):
            ctx = attempt.ctx
            log.warning("%s: %s, attempt %d %s: %s, now %s", self._name, ctx.execution, ctx.attempt, verdict.outcome,
                        verdict.brief.strip('"'), verdict.to)  # fmt: skip
        self._ended.append(End(attempt.ctx.execution, str(attempt.ctx.token), verdict))
        self._wake()

    def _release(self, attempt: Attempt) -> None:
        self.attempts.pop(str(attempt.ctx.token), None)
        self._hungry = self._hungry or self._crowded
        self._wake()

    # Notes: log lines and progress.

    def _note(self, ctx: Context) -> None:
        self._noted[str(ctx.token)] = ctx
        if self._note_timer is None:
            self._note_timer = asyncio.get_running_loop().call_later(NOTE_EVERY, self._notes_are_due)

    def _notes_are_due(self) -> None:
        self._note_timer, self._notes_due = None, True
        self._wake()

    def _note_steps(self, lane: int, ending: set[str]) -> list[tuple[str, Any]]:
        steps: list[tuple[str, Any]] = []
        if not self._noted:
            return steps
        for key, ctx in list(self._noted.items()):
            if self._notes_due or str(ctx.token) in ending:
                del self._noted[key]
                lines, ctx.lines = ctx.lines, []
                progress = "" if ctx.progress_made is None else codec.to_json(ctx.progress_made, "progress")
                head = (self._name, ctx.execution, ctx.token, progress, MAX_LINES, lane, next(self._serial))
                steps.append(("note", (*head, *lines)))
        self._notes_due = False
        return steps


def registered_versions(handlers: Mapping[str, Registered]) -> list[str]:
    """Task, version, … as `join.lua` wants them."""
    return [str(v) for job in handlers.values() for v in (job.task.name, job.task.version)]
