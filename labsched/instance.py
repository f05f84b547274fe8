"""One member of the cluster: membership, worker and coordinator, started and drained together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import redis.asyncio as aioredis

from .clock import Host
from .config import Settings
from .coordinator import Coordinator
from .election import Election
from .errors import LabschedError, ServerUnsuitable, StaleIncarnation
from .mailbox import Listen, Mailbox
from .membership import Membership
from .runners import Registered, Runner
from .store import Store
from .worker import Worker, registered_versions

if TYPE_CHECKING:
    from .app import Scheduler
    from .scratch import Scratch

log = logging.getLogger("labsched")

Log = Callable[[str], None]
CALM = 3.0  # seconds beyond a request's time limit without trouble, after which it counts as over
LAST_WORDS = 5.0  # seconds beyond the drain timeout for telling the server


class Instance:
    """Runs the tasks of one process under one name, from `start` to `drain` (or `abandon`).

    `drained` is set once it has left, whoever asked for it.
    """

    def __init__(
        self,
        store: Store,
        blocking: aioredis.Redis,
        host: Host,
        settings: Settings,
        name: str,
        app: Scheduler,
        handlers: Mapping[str, Registered],
        runners: Mapping[str, Runner],
        scratch: Callable[[], Scratch],
        log: Log,
    ) -> None:
        # Without election and without lock every instance dispatches every slot for itself.
        scope = "" if settings.leader_election or settings.distributed_lock else name
        self.name, self._log, self._app = name, log, app
        self._store, self._blocking, self._host, self._settings = store, blocking, host, settings
        self._runners = runners
        self._drain_asked = asyncio.Event()
        self.election = Election(store, host, settings, name)
        self.worker = Worker(store, host, settings, name, app, handlers, runners, scratch)
        self.coordinator = Coordinator(store, host, settings, name, self.election, scope)
        self.membership = Membership(
            store, host, settings, name, scope, registered_versions(handlers),
            on_joined=self._joined, on_lost=self._lost, on_alarm=self._alarmed, on_line=self._on_line,
            running=self.worker.running, runs=self.worker.tokens, on_held=self.worker.compare,
        )  # fmt: skip
        self.worker.on_stopped = lambda attempt, how: self.membership.note(
            "stopped", execution=attempt.ctx.execution, token=attempt.ctx.token, how=how
        )
        self._mail: Mailbox | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving = False
        self.drained = asyncio.Event()
        self.failure: StaleIncarnation | None = None  # why it can never go on
        self._bell: asyncio.Timeout | None = None
        self._warn, store.on_trouble = store.on_trouble, self._troubled
        self._trouble_at = 0.0
        self._calming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join and begin to work; returns once it is a member."""
        await self.membership.join()
        settings = self._settings
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "heartbeat": self.membership.run,
            "worker": self.worker.run,
            "coordinator": self.coordinator.run,
            "drain": self._drain_when_asked,
        }
        if self.election.enabled:
            loops["leadership"] = self._keep_leadership
        if settings.wake_fallback < settings.heartbeat_every:
            loops["fallback"] = self._look_now_and_then
        loop = asyncio.get_running_loop()
        self._tasks += [
            loop.create_task(self._supervise(what, run), name=what) for what, run in loops.items()
        ]

    async def _supervise(self, what: str, run: Callable[[], Awaitable[None]]) -> None:
        """Keep one loop going, whatever happens in it: an instance that only renews its lease would be worse."""
        while True:
            try:
                return await run()
            except StaleIncarnation as error:
                return self._fail(error)
            except LabschedError as error:
                # The server refuses: it is full, read-only, half started.
                self._store.on_trouble(f"{self.name}: {what}: {error}")
            except Exception as error:
                trace = "".join(traceback.format_exception(error))
                log.error("%s: %s: this should not happen: %s", self.name, what, trace)
            await self._host.clock.sleep(1.0)

    def _troubled(self, message: str) -> None:
        """Warn, and see to it that the end of the trouble is told too: whoever reads the log waits for it."""
        self._warn(message)
        self._trouble_at = self._host.clock.monotonic()
        if not self._leaving and (self._calming is None or self._calming.done()):
            self._calming = asyncio.get_running_loop().create_task(self._until_calm(), name="calm")
            self._tasks.append(self._calming)

    async def _until_calm(self) -> None:
        # A request that is on its way may yet fail, so the quiet must outlast it.
        calm = self._settings.request_timeout + CALM
        while (left := self._trouble_at + calm - self._host.clock.monotonic()) > 0:
            await self._host.clock.sleep(left)
        self._log(f"no more trouble for {calm:g} s")

    async def _listen(self, listen: Listen) -> None:
        await self._supervise("mailbox", listen)

    def _fail(self, error: StaleIncarnation) -> None:
        self.failure = error
        if self._bell is not None:
            self._bell.reschedule(asyncio.get_running_loop().time())
        else:
            self._log(str(error))

    @contextlib.asynccontextmanager
    async def unless_failed(self) -> AsyncIterator[None]:
        """A block that is cancelled, and exits with the reason, when this instance can never go on."""
        if self.failure is not None:
            raise self.failure
        try:
            async with asyncio.timeout(None) as self._bell:
                yield
        except TimeoutError:
            if self.failure is None:
                raise
        finally:
            self._bell = None
        if self.failure is not None:
            raise self.failure

    # Told by membership.

    def _joined(self, incarnation: str) -> None:
        self.worker.incarnation = self.coordinator.incarnation = self.election.incarnation = incarnation
        self.worker.claiming = not self._leaving
        old, self._mail = (
            self._mail,
            Mailbox(self._store, incarnation, self._on_line, blocking=self._blocking, supervise=self._listen),
        )
        self._tasks = [task for task in self._tasks if not task.done()]
        if old is not None:
            self._tasks.append(asyncio.get_running_loop().create_task(old.stop()))
        self._mail.start()
        self._tasks.append(asyncio.get_running_loop().create_task(self._define(), name="define"))
        self.worker.hint()
        self.coordinator.hint()
        self._log(f"joined as incarnation {incarnation}")

    async def _define(self) -> None:
        """Write the definitions again: the server may have come back without them. The same changes nothing."""
        try:
            await self._app.define()
        except LabschedError as error:
            self._store.on_trouble(f"{self.name}: definitions: {error}")

    def _lost(self) -> None:
        self.worker.incarnation = self.coordinator.incarnation = ""
        self.election.forget()
        told = self.worker.stop_all("lease")
        self.membership.lost([a.ctx.execution for a in told], "loop")
        self._log(f"lease lost: {len(told)} attempts told to stop")

    def _alarmed(self) -> None:
        self.membership.lost(self.worker.flag_lease_lost(), "alarm")

    def _on_line(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "work":
            self.worker.hint()
        elif word == "lead":
            self.coordinator.hint()
        elif word in ("cancel", "revoked"):
            self.worker.cancel(rest.partition(" ")[0], "cancel" if word == "cancel" else "revoked")
        elif word == "drain":
            self._drain_asked.set()

    async def _look_now_and_then(self) -> None:
        """A lost hint costs no more than `wake_fallback`, where heartbeats are too rare to see to that."""
        while True:
            await self._host.clock.sleep(self._settings.wake_fallback)
            self.worker.hint()

    async def _keep_leadership(self) -> None:
        while True:
            await self._host.clock.sleep(self._settings.leader_retry)
            if self.election.epoch and not await self.election.renew():
                self._log("leadership lost")
                self.coordinator.hint()

    # The end.

    async def _drain_when_asked(self) -> None:
        await self._drain_asked.wait()
        # Not awaited here: draining cancels this very task.
        self._draining = asyncio.get_running_loop().create_task(self.drain())

    async def drain(self) -> None:
        """Step down, stop claiming, hand unstarted work back, finish or cancel the rest, leave.

        Bodies get `drain_timeout` seconds while the lease goes on being renewed; what still runs then is
        cancelled and goes back to READY. Repeated calls wait for the first.
        """
        if self._leaving:
            await self.drained.wait()
            return
        self._leaving = True
        self._drain_asked.set()
        # With the server gone nothing can be told: then the lease runs out and others recover the work.
        limit = self._settings.drain_timeout + self._settings.cancel_grace + LAST_WORDS
        try:
            async with asyncio.timeout(limit):
                await self._drain()
            await self._close()
        except TimeoutError:
            self._log(f"drain: not done within {limit:g} s, leaving without a word")
            await self.abandon()
        except LabschedError as error:
            self._log(f"drain: leaving without a word: {error}")
            await self.abandon()

    async def _drain(self) -> None:
        clock, began = self._host.clock, self._host.clock.monotonic()

        def stage(name: str) -> None:
            took = clock.monotonic() - began
            self.membership.note("drain", stage=name, took=took)
            self._log(f"drain: {name} after {took:.3f} s")

        stage("signal")
        self.worker.claiming = False
        await self._stop_coordinating()
        stage("stepped-down")
        if self.membership.incarnation:  # else the name may be another's by now
            await self._insist(lambda: self._store.call("drain", self.name, self.membership.incarnation))
        stage("claiming-stopped")
        unstarted = [a for a in self.worker.attempts.values() if not a.started]
        for attempt in unstarted:
            attempt.stop("drain")
        stage("returned")
        await self._finish_bodies(self._settings.drain_timeout)
        stage("bodies-done")
        await self._insist(lambda: self.membership.leave(len(unstarted)))
        stage("left")

    async def _stop_coordinating(self) -> None:
        for task in self._tasks:
            if task.get_name() in ("coordinator", "leadership"):
                task.cancel()
        await self._insist(self.election.resign)

    async def _insist(self, say: Callable[[], Awaitable[object]]) -> None:
        """Say it until the server takes it: one that is full or read-only for a moment must not cost the bodies."""
        while True:
            try:
                await say()
                return
            except ServerUnsuitable as error:
                self._store.on_trouble(f"drain: {error}")
                await self._host.clock.sleep(0.5)

    async def _finish_bodies(self, seconds: float) -> None:
        grace = self._settings.cancel_grace + LAST_WORDS / 2
        for wait, then in ((seconds, "drain"), (grace, "")):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.worker.settled()
                    return
            if then:
                self.worker.stop_all("drain")

    async def abandon(self) -> None:
        """Stop without a word, as after an error: the lease runs out and others recover the work."""
        told = self.worker.stop_all("lease")
        if self.membership.incarnation:
            self.membership.lost([a.ctx.execution for a in told], "loop")
        await self._close()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.membership.stop()
        if self._mail is not None:
            await self._mail.stop()
        for runner in self._runners.values():
            runner.close()
        self.drained.set()
