"""One execution whose attempts are hurt at every step, for notebook 09: a body is driven by hand from call to call.

Each call of a body (`mail.send`, `ctx.fence.write`, …) reaches somebody outside of its process. Before and after it
does, the attempt may be killed, may be paused until another attempt is through, or may wait for a reply in vain.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from labsched.errors import ConfigError, StaleToken
from labsched.worlds.explorer_watch import ClockCall, watched

from .n09_world import KeyReused, Post

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MOST_CALLS, MOST_LINES = 200, 200_000
HURTS = {
    "kill": "was killed",
    "pause": "stood still until another attempt was through",
    "reply": "got no reply",
}


class Undriven(ConfigError):
    """The body cannot be driven from call to call, in words for the learner."""


class Call:
    """What a body awaits: `does()` happens outside of its process."""

    def __init__(self, what: str, does: Callable[[], Any]) -> None:
        self.what, self.does = what, does

    def __await__(self) -> Generator[Call, Any, Any]:
        return (yield self)


@dataclass(frozen=True)
class Fault:
    """At call number `call` (from 0) of the first attempt, before or after what it does."""

    kind: str
    call: int
    after: bool

    def tell(self, what: str) -> str:
        return f"attempt 1 {HURTS[self.kind]} {'after' if self.after else 'before'} {what}"


@dataclass
class Execution:
    """What the attempts of one execution share."""

    id: str
    task: str
    slot: datetime | None
    post: Post
    fenced: dict[str, Any] = field(default_factory=dict)
    newest: int = 0  # token
    draws: int = 0
    told: str = ""  # the fault as a sentence, once it has happened
    error: str = ""  # why the last attempt failed


class Fence:
    """`ctx.fence` as docs/tasks.md has it."""

    def __init__(self, x: Execution, token: int) -> None:
        self._x, self._token = x, token

    def write(self, key: str, value: Any) -> Call:
        def put() -> bool:
            if self._token != self._x.newest:
                raise StaleToken(f"token {self._token} was superseded")
            first = key not in self._x.fenced
            self._x.fenced.setdefault(key, value)
            return first

        return Call(f"fence.write({key!r})", put)

    def read(self, key: str) -> Call:
        return Call(f"fence.read({key!r})", lambda: self._x.fenced.get(key))


class Ctx:
    """What a body is given, with the names of labsched's Context."""

    lease_lost = cancelled = False

    def __init__(self, x: Execution, attempt: int, token: int) -> None:
        self.task, self.execution, self.slot, self.attempt, self.token = x.task, x.id, x.slot, attempt, token
        self.slot_ms = None if x.slot is None else round(x.slot.timestamp() * 1000)
        self.instance, self.now = f"i{attempt}", NOON + timedelta(seconds=token)
        self.fence = Fence(x, token)

    def log(self, message: object) -> None: ...

    def progress(self, done: float, total: float) -> None: ...

    def work(self, seconds: float) -> Call:
        return Call("work", lambda: None)


class Mail:
    """`mail.send`; the service stands outside of every fence."""

    def __init__(self, x: Execution) -> None:
        self._post = x.post

    def send(self, to: str, text: str, key: str | None = None) -> Call:
        return Call(f"the letter to {to}", lambda: self._post.deliver(to, text, key))


Body = Callable[[Ctx, Mail, Execution], Awaitable[object]]


def run(body: Body, x: Execution, fault: Fault | None, first_token: int) -> int:
    """Attempts until one of them ends as it should, at most three; how many calls the first one made."""
    made, sleeper = 0, None
    for attempt in (1, 2, 3):
        x.newest = first_token + attempt
        driven = _Attempt(body, x, attempt, fault if attempt == 1 else None)
        try:
            ended = driven.go()
        except (TimeoutError, StaleToken, KeyReused) as error:
            ended, x.error = "failed", f"{type(error).__name__}: {error}"
        made = made or driven.calls
        if ended == "paused":
            sleeper = driven
        elif ended == "done":
            x.error = ""
            break
    if sleeper is not None:
        with contextlib.suppress(
            StaleToken, KeyReused
        ):  # it was superseded: what it raises is nobody's result
            sleeper.go()
    return made


class _Attempt:
    def __init__(self, body: Body, x: Execution, attempt: int, fault: Fault | None) -> None:
        self._x, self._fault = x, fault
        self.calls = 0
        self._pending: Call | None = None  # a paused one's call that is still to be done, or answered
        self._reply: Any = None
        coroutine = body(Ctx(x, attempt, x.newest), Mail(x), x)
        if not inspect.iscoroutine(coroutine):
            raise Undriven("the body has to be made with `async def`")
        self._coroutine = coroutine

    def go(self) -> str:
        """From here to the end: "done", "killed", "paused"; raises what the body raises."""
        error: Exception | None = None
        while True:
            if self._pending is None:
                try:
                    self._pending = _step(self._coroutine, self._reply, error)
                except StopIteration:
                    return "done"
                error = None
                if (ended := self._hurt(after=False)) is not None:
                    return ended
            call, self._reply = self._pending, None
            try:
                self._reply = call.does()
            except (StaleToken, KeyReused) as refused:
                error = refused
            number, self._pending = self.calls, None
            self.calls += 1
            if self.calls > MOST_CALLS:
                raise Undriven(f"the body has made {MOST_CALLS} calls and goes on: does a loop never end?")
            if self._fault == Fault("reply", number, True):
                self._x.told = self._fault.tell(f"{call.what} had arrived")
                error = TimeoutError("no reply came")
            elif (ended := self._hurt(after=True, call=call, number=number)) is not None:
                return ended

    def _hurt(self, *, after: bool, call: Call | None = None, number: int | None = None) -> str | None:
        call, number = call or self._pending, self.calls if number is None else number
        fault = self._fault
        if (
            fault is None
            or call is None
            or fault.kind == "reply"
            or (fault.call, fault.after) != (number, after)
        ):
            return None
        self._x.told, self._fault = fault.tell(call.what), None
        return "killed" if fault.kind == "kill" else "paused"


def _step(coroutine: Any, reply: Any, error: Exception | None) -> Call:
    """To the body's next call. Undriven for what cannot be driven by hand."""
    left = MOST_LINES

    def count(frame: Any, event: str, argument: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Undriven(f"the body has run {MOST_LINES:,} lines without a call: does a loop never end?")
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        call = watched(coroutine.send, reply) if error is None else watched(coroutine.throw, error)
    except ClockCall as clock:
        raise Undriven(f"the body calls {clock.name}: take times from ctx, and wait with ctx.work") from None
    finally:
        sys.settrace(before)
    if not isinstance(call, Call):
        raise Undriven(
            "the body waits for something of its own: here only mail, ctx and their calls can be awaited"
        )
    return call


def faults(calls: int) -> list[Fault]:
    """Every way to hurt an attempt that makes so many calls."""
    places = [(number, after) for number in range(calls) for after in (False, True)]
    hurt = [Fault(kind, *place) for place in places for kind in ("kill", "pause")]
    return hurt + [Fault("reply", number, True) for number in range(calls)]
