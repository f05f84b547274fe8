"""The coordinator: finds what is due, plans it, and dispatches it in batches under the leader's epoch.

It never polls. It sleeps until the first of: the next slot, the next retry, the earliest lease or hard end
that could be over; or until a line in its mailbox says that something changed. Delays are counted from the
server's clock as the last reply told it, so a wrong local clock changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import codec
from .clock import Host
from .config import Settings
from .election import Election
from .errors import ServerUnsuitable
from .model import Task
from .plan import CatchUp, Plan, plan
from .schedule import due_of
from .store import Store, text

AHEAD = 16  # tasks whose next slots are known before they are due; BATCH while a herd is due
BATCH = 100  # tasks, timers or attempts handled by one call
FIRES = 500  # slots fired by one call: some 20 ms for which the server does nothing else
KNOWN = 10_000  # definitions kept decoded
FORESEE = 0.005  # seconds to the next slot from which there is time to prepare it
HARD_ENDS = 5  # `sweep_every`s after which a hard end that was not known yet is looked for
TRIM_EVERY = 60.0  # seconds between two rounds of retention
SHORTEST = 1e-6  # seconds of sleep: what rounding leaves may be less than the clock tells apart, for ever


@dataclass(frozen=True)
class Due:
    """One task's place in the set of due tasks."""

    task: str
    at: int
    revision: str
    watermark: str
    catch_up: CatchUp


class Coordinator:
    """Coordinates while its election says so; one per instance."""

    def __init__(
        self, store: Store, host: Host, settings: Settings, name: str, election: Election, scope: str
    ) -> None:
        self._store, self._host, self._settings, self._name = store, host, settings, name
        self._election, self._scope = election, scope
        self.incarnation = ""
        self._wake = asyncio.Event()
        self._known: OrderedDict[tuple[str, str], Task] = OrderedDict()
        self._server_ahead = 0.0  # server's ms minus our monotonic ms, as the last reply told it
        self._due: list[Due] = []
        self._horizon: int | None = None  # ms up to which `_due` is complete; None: it is all there is
        self._herd = False  # more may be due than was known
        self._aside: dict[str, str] = {}  # task -> revision that cannot be planned here
        self._timer: int | None = None
        self._sweep_at = 0.0  # monotonic
        self._trim_at = 0.0

    def hint(self) -> None:
        """Something is due sooner than we think, or leadership is free."""
        self._wake.set()

    def _who(self) -> tuple[str, str, str]:
        # With election on an act always carries an epoch: what was forgotten during an `await` is none, and refused.
        return self._name, self.incarnation, self._election.epoch or ("0" if self._election.enabled else "")

    def _server_now(self) -> int:
        return int(self._host.clock.monotonic() * 1000 + self._server_ahead)

    def _saw_server_time(self, ms: bytes | str) -> None:
        # Behind the truth by the reply's way here, never ahead of it: a slot must not be asked for too early.
        self._server_ahead = float(ms) - self._host.clock.monotonic() * 1000

    async def run(self) -> None:
        """Campaign, and coordinate while leading, until cancelled."""
        while True:
            self._wake.clear()
            if not self.incarnation:
                await self._wake.wait()
                continue
            if not self._election.believes():
                self._election.forget()
                left = await self._election.campaign()
                if left is not None:
                    await self._sleep(left)
                    continue
                self._sweep_at = self._trim_at = 0.0
            await self._lead()

    async def _sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(max(seconds, SHORTEST)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _lead(self) -> None:
        """Coordinate from a fresh look at what is due, until leadership ends."""
        await self._look()
        while self._election.believes() and self.incarnation:
            if self._wake.is_set():
                self._wake.clear()
                await self._look()
            try:
                if not await self._act():
                    return
            except ServerUnsuitable:
                # A full server refuses all the rest, and retention, which comes last, is what makes room.
                await self._trim()
                raise
            await self._foresee()
            await self._sleep(self._idle_for())

    async def _look(self) -> None:
        ahead = (BATCH if self._herd else AHEAD) + len(self._aside)
        reply = await self._store.call("upcoming", self._scope, ahead)
        self._saw_server_time(reply[0])
        self._timer = int(float(reply[1])) if reply[1] else None
        rows = [[text(v) for v in reply[i : i + 5]] for i in range(2, len(reply), 5)]
        self._due = [Due(task, int(float(at)), rev, mark, c) for task, at, rev, mark, c in rows]  # type: ignore[arg-type]
        self._horizon = self._due[-1].at if len(rows) == ahead else None

    def _advance(self, done: Sequence[tuple[Due, Plan, CatchUp]]) -> None:
        """What the server now holds for the tasks just dispatched: known without asking."""
        tasks = {d.task for d, _, _ in done}
        rows = [d for d in self._due if d.task not in tasks]
        for d, planned, left in done:
            at = planned.next_due
            if at is not None and (self._horizon is None or at <= self._horizon):
                rows.append(Due(d.task, at, d.revision, str(planned.watermark), left))
        self._due = sorted(rows, key=lambda d: (d.at, d.task))

    def _ready(self) -> list[Due]:
        return [d for d in self._due if self._aside.get(d.task) != d.revision]

    async def _foresee(self) -> None:
        """Learn what is due next, and its definitions, while there is time: at the slot only dispatch is left."""
        if self._horizon is not None and len(self._due) < AHEAD // 2 and self._idle_for() >= FORESEE:
            await self._look()
        for d in self._due[:4]:
            if self._idle_for() < FORESEE or self._wake.is_set():
                return
            with contextlib.suppress(ValueError, LookupError):
                await self._definition(d)

    def _idle_for(self) -> float:
        mono = self._host.clock.monotonic()
        waits = [self._sweep_at - mono, self._trim_at - mono]
        ready = self._ready()
        first = ready[0].at if ready else self._horizon
        if first is not None:
            waits.append(self._until(first))
        if self._timer is not None:
            waits.append(self._until(self._timer))
        if self._election.enabled:
            waits.append(self._election.deadline() - mono)
        return min(waits)

    def _until(self, ms: int) -> float:
        return (ms - self._server_ahead) / 1000 - self._host.clock.monotonic()

    async def _act(self) -> bool:
        """Do everything that is due by now; False when a fence says that we no longer lead."""
        if self._horizon is not None and not self._ready():
            await self._look()
        now, mono = self._server_now(), self._host.clock.monotonic()
        due = [d for d in self._ready()[:BATCH] if d.at <= now]
        self._herd = bool(due) and len(due) == len(self._ready())
        if due and not await self._dispatch(due, now):
            return False
        if self._timer is not None and self._timer <= now and not await self._promote():
            return False
        if mono >= self._sweep_at and not await self._recover():
            return False
        return mono < self._trim_at or await self._trim()

    def _fenced(self, reply: Any) -> bool:
        if text(reply[0]) == "refused":
            self._election.forget()
            return False
        return True

    async def _definition(self, due: Due) -> Task | None:
        key = (due.task, due.revision)
        if key not in self._known:
            name = self._store.key("task", due.task)
            raw = await self._store.retrying(
                lambda: self._store.redis.execute_command("HMGET", name, "def", "rev")
            )
            if not raw[0] or text(raw[1]) != due.revision:
                return None
            self._known[key] = codec.decode_task(raw[0])
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
        return self._known[key]

    async def _dispatch(self, due: list[Due], now: int) -> bool:
        args: list[str | float] = [*self._who(), self._scope, "1" if self._settings.distributed_lock else "0"]
        done: list[tuple[Due, Plan, CatchUp]] = []
        room = FIRES
        for d in due:
            if not room:
                break  # those that are left are still due, and come with the next call
            try:
                task = await self._definition(d)
                if task is not None:
                    mark = int(d.watermark or now)
                    planned = plan(task.name, task.schedule, task.misfire, mark, now, d.catch_up, room)
                    room -= len(planned.fire)
                    left = _still_catching_up(d, planned, now)
                    args += _plan_args(task, d, planned, left)
                    done.append((d, planned, left))
            except (ValueError, LookupError, AssertionError) as error:
                # Written by other code, or a zone that this machine lacks: the other tasks must not wait for it.
                self._store.on_trouble(f"task {d.task!r} cannot be planned here and is left alone: {error}")
                self._aside[d.task] = d.revision
        verdicts: list[str] = []
        if done:
            reply = await self._store.call("dispatch", *args)
            if not self._fenced(reply):
                return False
            self._saw_server_time(reply[1])
            verdicts = [text(verdict) for verdict in reply[2:]]
        if done and all(verdict == "ok" for verdict in verdicts):
            self._advance(done)
            return True
        await self._look()
        if not {"ok", "early"} & set(verdicts):
            # Somebody else was first, or a definition is just being replaced: not a thousand times a second.
            await self._host.clock.sleep(0.002)
        return True

    async def _promote(self) -> bool:
        reply = await self._store.call("promote", *self._who(), BATCH)
        if self._fenced(reply):
            self._timer = int(float(reply[2])) if reply[2] else None
            # The server's clock may have stepped back: with the old estimate the timer would be due for ever.
            self._saw_server_time(reply[3])
            return True
        return False

    async def _recover(self) -> bool:
        reply = await self._store.call("recover", *self._who(), BATCH)
        if not self._fenced(reply):
            return False
        # Live leases move on before they end, so this look costs a call per lease, not per second. A new attempt may
        # have a hard end before that.
        wait = float(reply[2]) / 1000 if reply[2] else self._settings.instance_lease
        most = min(self._settings.instance_lease, HARD_ENDS * self._settings.sweep_every)
        self._sweep_at = self._host.clock.monotonic() + min(wait, most) + 0.001
        return True

    async def _trim(self) -> bool:
        age = round(self._settings.keep_executions * 1000)
        reply = await self._store.call("trim", *self._who(), age, self._settings.max_events, 1000)
        if not self._fenced(reply):
            return False
        more = int(reply[1]) + int(reply[2]) > 0
        self._trim_at = self._host.clock.monotonic() + (0.05 if more else TRIM_EVERY)
        return True


def _still_catching_up(due: Due, planned: Plan, now: int) -> CatchUp:
    # "all" may take several plans; until it is through, the misfire policy must not see what was missed.
    unfinished = due.catch_up == "all" and planned.next_due is not None and planned.next_due <= now
    return due.catch_up if unfinished else ""


def _plan_args(task: Task, due: Due, planned: Plan, catch_up: CatchUp) -> list[str | float]:
    args: list[str | float] = [
        task.name, due.revision, due.watermark, planned.watermark,
        "" if planned.next_due is None else planned.next_due, due.catch_up, catch_up,
        len(planned.fire), len(planned.skips),
    ]  # fmt: skip
    for slot in planned.fire:
        args += [slot, due_of(task.name, task.schedule, slot)]
    for skip in planned.skips:
        args += [skip.first, skip.last, "" if skip.count is None else skip.count, skip.reason]
    return args
