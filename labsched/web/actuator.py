"""Health in the shape of Spring Boot's Actuator, which probes and dashboards know how to read.

`/actuator/health` is the whole; `/actuator/health/liveness` says that this process answers, and leaves Redis out: a
probe that restarted every instance when the server is away would turn a short outage into a long one.
`/actuator/health/readiness` says whether work should be sent here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from labsched.errors import LabschedError
from labsched.metrics import Component, Health

from .disk import disk
from .endpoints import Shared, limited, told
from .guard import Access, refused
from .meters import BY_NAME, Meter, Tags

if TYPE_CHECKING:
    from labsched.app import Scheduler

SPRING = "application/vnd.spring-boot.actuator.v3+json"
LAG_SAMPLES, LAG_NAP = 3, 0.005  # how often, and how long, the loop is asked to sleep
PATIENCE = 3.0  # seconds that Redis gets to answer; whoever probes does not wait much longer
MOST_LAG = 0.5  # seconds; a loop this late cannot renew its lease in time for long
READINESS = ("redis", "heartbeat", "loop")


class Actuator:
    """Answers for one instance, or (`name` None) for the cluster alone."""

    def __init__(self, app: Scheduler, name: str | None) -> None:
        self._app, self._name = app, name
        self._metrics = Shared(app.metrics)

    def routes(self, access: Access) -> list[Route]:
        def answer(request: Request, health: Health) -> Response:
            return _answer(health, details=access.may_read(request.headers))

        async def health(request: Request) -> Response:
            return answer(request, await self.health())

        async def liveness(request: Request) -> Response:
            return answer(request, _of({"loop": await self._loop()}))

        async def readiness(request: Request) -> Response:
            parts = (await self.health()).components
            return answer(request, _of({name: part for name, part in parts.items() if name in READINESS}))

        return [
            Route("/actuator/health", health),
            Route("/actuator/health/liveness", liveness),
            Route("/actuator/health/readiness", readiness),
            Route("/actuator/metrics", self._names),
            Route("/actuator/metrics/{name}", self._metric),
        ]

    async def _names(self, request: Request) -> Response:
        return _json({"names": sorted(BY_NAME)})

    async def _metric(self, request: Request) -> Response:
        """One meter; `?tag=KEY:VALUE`, as often as one likes, leaves the samples that have them all."""
        meter = BY_NAME.get(request.path_params["name"])
        if meter is None:
            return refused(404, f"no metric {request.path_params['name'][:80]!r}")
        wanted = dict(tag.partition(":")[::2] for tag in request.query_params.getlist("tag"))
        try:
            seen = await limited(self._metrics.get(), writes=False)
        except LabschedError as error:
            return told(error)
        samples = [(tags, value) for tags, value in meter.read(seen) if wanted.items() <= tags.items()]
        if wanted and not samples:
            return refused(404, f"{meter.name} has no such tags")
        return _json(_shown(meter, samples, set(meter.tags) - set(wanted)))

    async def health(self) -> Health:
        """Server, leader, everybody's heartbeats, this instance's own, the disk, and the lag of this loop."""
        try:
            parts = await limited(self._remote(), writes=False, within=PATIENCE)
        except LabschedError as error:
            parts = {"redis": Component(up=False, detail=str(error))}
        return _of({**parts, "loop": await self._loop()})

    async def _remote(self) -> dict[str, Component]:
        """What only the server can tell."""
        parts = dict((await self._app.health()).components)
        if parts["redis"].up:
            if self._name is not None:
                parts["heartbeat"] = await self._heartbeat(self._name)
            if (found := await disk(self._app)) is not None:
                parts["disk"] = found
        return parts

    async def _heartbeat(self, name: str) -> Component:
        members = await self._app.instances()
        own = next((i for i in members if i.name == name), None)
        if own is None:
            return Component(up=False, detail=f"{name} is no member")
        late = own.lease_left < self._app.settings.lease_margin
        return Component(up=not late, detail=f"{name}'s lease has {own.lease_left:.1f} s left")

    async def _loop(self) -> Component:
        """How much later than asked a short sleep ends."""
        loop, worst = asyncio.get_running_loop(), 0.0
        for _ in range(LAG_SAMPLES):
            due = loop.time() + LAG_NAP
            await asyncio.sleep(LAG_NAP)
            worst = max(worst, loop.time() - due)
        return Component(up=worst < MOST_LAG, detail=f"{worst * 1000:.1f} ms late")


def _shown(meter: Meter, samples: list[tuple[Tags, float]], free: set[str]) -> dict[str, Any]:
    """As Spring shows it: the sum of all samples, and which tags would tell them apart."""
    statistic = "COUNT" if meter.kind == "counter" else "VALUE"
    values = {tag: sorted({tags[tag] for tags, _ in samples}) for tag in meter.tags if tag in free}
    return {
        "name": meter.name,
        "description": meter.about,
        "baseUnit": meter.unit or None,
        "measurements": [{"statistic": statistic, "value": sum(value for _, value in samples)}],
        "availableTags": [{"tag": tag, "values": found} for tag, found in values.items() if found],
    }


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type=SPRING)


def _of(parts: dict[str, Component]) -> Health:
    return Health(up=all(part.up for part in parts.values()), components=parts)


def _answer(health: Health, *, details: bool) -> Response:
    """200 with UP, or 503 with DOWN; without `details` no more than that, for probes that nobody knows."""
    status = {True: "UP", False: "DOWN"}
    body: dict[str, Any] = {"status": status[health.up]}
    if details:
        body["components"] = {
            name: {"status": status[part.up], "details": {"detail": part.detail}}
            for name, part in health.components.items()
        }
    return Response(
        msgspec.json.encode(body),
        200 if health.up else 503,
        media_type=SPRING,
    )
