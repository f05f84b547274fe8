"""What programs and the dashboard ask: listings, one thing in full, and the steering calls. JSON in and out.

Times are Unix milliseconds, durations seconds, as in labsched.model.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request

from labsched.errors import ConfigError, PayloadError
from labsched.metrics import Metrics
from labsched.model import Event, Execution, InstanceInfo, LockInfo, Reason, State, TaskInfo
from labsched.preview import Preview
from labsched.rawkeys import KeyPage, KeyValue

from .endpoints import AT_ONCE, Endpoint, NotThere, Param

if TYPE_CHECKING:
    from labsched.app import Scheduler

MOST_ROWS = 1000
MOST_SKIPPED = 10_000
LATEST = 4102444800000  # the year 2100, Unix ms
NAME = Param("name", "path", {"type": "string"}, "of the task or instance")
ID = Param("id", "path", {"type": "string"}, "of the execution")
TASK = Param("task", "query", {"type": "string"}, "only of this task")
STATE = Param(
    "state", "query", {"type": "string", "enum": [str(state) for state in State]}, "only in this state"
)
INSTANCE = Param(
    "instance", "query", {"type": "string"}, "only last run by this instance, of the newest 1,000"
)
CURSOR = Param("cursor", "query", {"type": "string", "pattern": r"^\d{1,20}$"}, "what the page before gave")
PART = Param("part", "query", {"type": "string"}, "only names that contain this")
LIMIT = Param(
    "limit", "query", {"type": "integer", "minimum": 1, "maximum": MOST_ROWS}, "at most so many; 100"
)
BEFORE = Param(
    "before", "query", {"type": "integer", "minimum": 1, "maximum": LATEST}, "older than this, Unix ms"
)
SINCE = Param(
    "since", "query", {"type": "integer", "minimum": 1, "maximum": LATEST}, "not older than this, Unix ms"
)
SKIP = Param(
    "skip",
    "query",
    {"type": "integer", "minimum": 1, "maximum": MOST_SKIPPED},
    "pass over so many; for those of one ms",
)
AFTER = Param(
    "after",
    "query",
    {"type": "string", "pattern": r"^\d{1,15}-\d{1,9}$"},
    "id of the last event that is known",
)


class Done(msgspec.Struct):
    """What came of a steering call: `result` is what the Python call returns."""

    result: Any


class Api:
    """The answers, on one open scheduler."""

    def __init__(self, app: Scheduler) -> None:
        self._app = app

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every call, in the order in which routes are tried. Reads take turns; steering goes ahead of them."""
        turns = asyncio.Semaphore(AT_ONCE)
        return tuple(replace(e, turns=turns) if e.method == "GET" else e for e in self._table())

    def _table(self) -> tuple[Endpoint, ...]:
        act = (400, 401, 403, 404, 503, 504)
        payload = {"type": "object", "additionalProperties": True}
        return (
            Endpoint("GET", "/api/tasks", "tasks", "All tasks with their counters", self.tasks, list[TaskInfo]),
            Endpoint("GET", "/api/executions", "executions", "Runs, newest first, without payload and result",
                     self.executions, list[Execution], (TASK, STATE, INSTANCE, SINCE, BEFORE, SKIP, LIMIT),
                     errors=(400, 404, 503)),
            Endpoint("GET", "/api/executions/{id:path}/why", "why", "Why a run is in its state", self.why,
                     list[Reason], (ID,), errors=(404, 503)),
            Endpoint("GET", "/api/executions/{id:path}", "execution", "One run with attempts and log", self.execution,
                     Execution, (ID,), errors=(404, 503)),
            Endpoint("GET", "/api/instances", "instances", "Members of the cluster", self.instances,
                     list[InstanceInfo]),
            Endpoint("GET", "/api/locks", "locks", "Locks that are held", self.locks, list[LockInfo]),
            Endpoint("GET", "/api/events", "events", "The newest events, oldest first", self.events, list[Event],
                     (AFTER, LIMIT)),
            Endpoint("GET", "/api/keys", "keys", "Raw keys of the namespace, a stretch of them", self.keys, KeyPage,
                     (CURSOR, PART)),
            Endpoint("GET", "/api/keys/{name:path}", "key", "What lies under a raw key", self.key, KeyValue, (NAME,),
                     errors=(400, 404, 503)),
            Endpoint("GET", "/api/tasks/{name:path}/preview", "preview", "The next ten slots", self.preview,
                     list[Preview], (NAME,), errors=(404, 503)),
            Endpoint("GET", "/api/metrics", "metrics", "Counters, rates, distributions", self.metrics, Metrics),
            Endpoint("POST", "/api/tasks/{name:path}/trigger", "trigger", "Run it now; the result is the run's id",
                     self.trigger, Done, (NAME,), payload, (*act, 409)),
            Endpoint("POST", "/api/tasks/{name:path}/pause", "pause", "No more slots", self.pause, Done, (NAME,),
                     errors=act),
            Endpoint("POST", "/api/tasks/{name:path}/resume", "resume", "Slots again", self.resume, Done, (NAME,),
                     errors=act),
            Endpoint("POST", "/api/executions/{id:path}/cancel", "cancel", "Stop a run", self.cancel, Done, (ID,),
                     errors=act),
            Endpoint("POST", "/api/executions/{id:path}/requeue", "requeue", "Another life for FAILED and DEAD",
                     self.requeue, Done, (ID,), errors=act),
            Endpoint("POST", "/api/instances/{name:path}/drain", "drain", "Finish what it runs, then leave",
                     self.drain, Done, (NAME,), errors=act),
        )  # fmt: skip

    # Looking.

    async def tasks(self, request: Request) -> Any:
        return await self._app.tasks()

    async def executions(self, request: Request) -> Any:
        asked, registry = request.query_params, self._app.registry_open()
        task, state, instance = asked.get("task"), _state(asked.get("state")), asked.get("instance")
        since, before = _number(request, "since", LATEST) or 0, _number(request, "before", LATEST)
        limit, skip = _number(request, "limit", MOST_ROWS) or 100, _number(request, "skip", MOST_SKIPPED) or 0
        if task is not None:
            await registry.task(task)
        read = skip + (limit if instance is None else MOST_ROWS)
        found = (await registry.executions(task, state, read, before, brief=True))[skip:]
        return [x for x in found if instance in (None, x.instance) and _placed(x, state) >= since][:limit]

    async def execution(self, request: Request) -> Any:
        return await self._app.execution(request.path_params["id"])

    async def why(self, request: Request) -> Any:
        return await self._app.why(request.path_params["id"])

    async def instances(self, request: Request) -> Any:
        return await self._app.instances()

    async def locks(self, request: Request) -> Any:
        return await self._app.locks()

    async def events(self, request: Request) -> Any:
        after = request.query_params.get("after", "-")
        if after != "-" and not re.fullmatch(r"\d{1,15}-\d{1,9}", after, re.ASCII):
            raise ConfigError(f"after is {after[:40]!r}, allowed is an event's id")
        return await self._app.newest(_number(request, "limit", MOST_ROWS) or 100, after)

    async def keys(self, request: Request) -> Any:
        return await self._app.keys(
            request.query_params.get("cursor", "0"), request.query_params.get("part", "")
        )

    async def key(self, request: Request) -> Any:
        return await self._app.key(request.path_params["name"])

    async def preview(self, request: Request) -> Any:
        return await self._app.preview(request.path_params["name"])

    async def metrics(self, request: Request) -> Any:
        return await self._app.metrics()

    # Steering.

    async def trigger(self, request: Request) -> Any:
        payload = await _body(request)
        return Done((await self._app.trigger_many(request.path_params["name"], [payload]))[0])

    async def pause(self, request: Request) -> Any:
        return Done(await self._app.pause(request.path_params["name"]))

    async def resume(self, request: Request) -> Any:
        return Done(await self._app.resume(request.path_params["name"]))

    async def cancel(self, request: Request) -> Any:
        return Done(await self._app.cancel(request.path_params["id"]))

    async def requeue(self, request: Request) -> Any:
        await self._app.requeue(request.path_params["id"])
        return Done(True)

    async def drain(self, request: Request) -> Any:
        name = request.path_params["name"]
        if not await self._app.drain(name):
            raise NotThere(f"no instance {name!r}")
        return Done(True)


def _state(given: str | None) -> State | None:
    if given is not None and given not in set(State):
        raise ConfigError(f"state is {given[:40]!r}, allowed are {', '.join(State)}")
    return None if given is None else State(given)


def _placed(x: Execution, state: State | None) -> int:
    """The time that a listing goes by (ms): of the end for those that have ended, else of creation."""
    return (state is not None and state.terminal and x.finished) or x.created


def _number(request: Request, name: str, most: int) -> int | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    if not re.fullmatch(r"\d{1,15}", given, re.ASCII) or not 1 <= int(given) <= most:
        raise ConfigError(f"{name} is {given[:40]!r}, allowed is a whole number from 1 to {most}")
    return int(given)


async def _body(request: Request) -> Mapping[str, Any]:
    sent = await request.body()
    try:
        value = msgspec.json.decode(sent) if sent else {}
    except (msgspec.DecodeError, RecursionError) as error:
        raise PayloadError(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise PayloadError(f"the body is {type(value).__name__}, allowed is an object: the run's payload")
    return value
