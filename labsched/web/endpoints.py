"""The table of JSON calls: routes and the OpenAPI document are both made of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from labsched.errors import (
    BacklogFull,
    ConfigError,
    EventsGap,
    LabschedError,
    OutcomeUnknown,
    PayloadError,
    ScheduleError,
    ServerUnsuitable,
    UnknownExecution,
    UnknownTask,
    Unreachable,
)

from .guard import refused

LIMIT = 5.0  # seconds that a call may take: an instance itself waits for its server for ever

KEEP = 1.0  # seconds that a reading of everything is good for
# Reads that are answered at the same time: the loop is the instance's, and its lease is renewed there.
AT_ONCE = 2

T = TypeVar("T")
Answer = Callable[[Request], Awaitable[Any]]


class NotThere(LabschedError, LookupError):
    """No instance of that name."""


# The first class that fits decides.
STATUS: tuple[tuple[type[LabschedError], int], ...] = (
    (UnknownTask, 404),
    (UnknownExecution, 404),
    (NotThere, 404),
    (BacklogFull, 409),
    (EventsGap, 410),
    (PayloadError, 400),
    (ScheduleError, 400),
    (ConfigError, 400),
    (ServerUnsuitable, 503),
    (Unreachable, 503),
    (OutcomeUnknown, 504),
)


class Shared(Generic[T]):
    """What `read` gives, read once for all who ask within `KEEP` seconds: asking often costs the instance nothing."""

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read, self._lock = read, asyncio.Lock()
        self._kept: tuple[float, T] | None = None

    async def get(self) -> T:
        now = asyncio.get_running_loop().time
        async with self._lock:
            if self._kept is None or now() - self._kept[0] > KEEP:
                self._kept = now(), await self._read()
            return self._kept[1]


@dataclass(frozen=True)
class Param:
    """One parameter of a call, in its path or its query; `schema` is JSON Schema."""

    name: str
    where: Literal["path", "query"]
    schema: Mapping[str, Any]
    about: str = ""


@dataclass(frozen=True)
class Endpoint:
    """One call. `answer` gets the request and returns what msgspec can encode; `returns` is its type; `body` the JSON
    Schema of what is sent, None for nothing."""

    method: Literal["GET", "POST"]
    path: str
    name: str
    about: str
    answer: Answer
    returns: Any
    params: tuple[Param, ...] = ()
    body: Mapping[str, Any] | None = None
    errors: tuple[int, ...] = field(default=(400, 503))
    turns: asyncio.Semaphore | None = None  # None for what need not wait for others

    async def __call__(self, request: Request) -> Response:
        try:
            return await limited(self._answered(request), writes=self.method != "GET")
        except LabschedError as error:
            return told(error)

    async def _answered(self, request: Request) -> Response:
        async with self.turns or contextlib.nullcontext():
            value = await self.answer(request)
            return Response(msgspec.json.encode(value), media_type="application/json")


async def limited(answer: Awaitable[T], *, writes: bool, within: float | None = None) -> T:
    """What `answer` gives, or Unreachable after `within` seconds (`LIMIT`); OutcomeUnknown when it `writes`."""
    seconds = LIMIT if within is None else within
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        if writes:
            raise OutcomeUnknown(f"no answer from Redis within {seconds:g} s: it may have happened") from None
        raise Unreachable(f"no answer from Redis within {seconds:g} s") from None


def told(error: LabschedError) -> Response:
    """An error as an answer; `may_have_happened` tells whether asking again could do it twice."""
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    return refused(status, str(error), may_have_happened=error.may_have_happened)
