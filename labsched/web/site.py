"""All pages and calls of one instance as one Starlette app."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from labsched.codec import MAX_JSON
from labsched.errors import LabschedError

from .actuator import Actuator
from .api import Api
from .endpoints import limited, told
from .feed import Feed
from .guard import Access, Guard, refused
from .openapi import document
from .prometheus import Exposition
from .stream import stream

if TYPE_CHECKING:
    from labsched.app import Scheduler

HERE = Path(__file__).parent


def site(app: Scheduler, access: Access, *, name: str | None = None) -> Starlette:
    """The ASGI app. `app` is open while it serves; `name` is the instance that this process is, if it is one."""
    feed, endpoints = Feed(app), Api(app).endpoints()
    openapi, metrics = document(endpoints), Exposition(app)

    async def dashboard(request: Request) -> Response:
        return FileResponse(HERE / "static" / "dashboard.html", media_type="text/html")

    async def console(request: Request) -> Response:
        return FileResponse(HERE / "static" / "console.html", media_type="text/html")

    async def home(request: Request) -> Response:
        return RedirectResponse("/scheduler/dashboard")

    async def state(request: Request) -> Response:
        return Response(await feed.once(), media_type="application/json")

    async def live(request: Request) -> Response:
        return stream(feed, request)

    async def prometheus(request: Request) -> Response:
        text, kind = await limited(metrics.get(request.headers.get("accept", "")), writes=False)
        return Response(text, headers={"content-type": kind})

    async def contract(request: Request) -> Response:
        return Response(openapi, media_type="application/json")

    async def session(request: Request) -> Response:
        """Only whoever has the token comes here: the guard sees to it."""
        answer = Response(status_code=204)
        answer.set_cookie(access.cookie, access.open_session(), httponly=True, samesite="strict", path="/")
        return answer

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await feed.close()

    routes = [
        Route("/", home),
        Route("/scheduler/dashboard", dashboard),
        Route("/scheduler/console", console),
        Route("/api/state", state),
        Route("/api/stream", live),
        Route("/api/openapi.json", contract),
        Route("/metrics", prometheus),
        Route("/api/session", session, methods=["POST"]),
        *(Route(e.path, e.__call__, methods=[e.method], name=e.name) for e in endpoints),
        *Actuator(app, name).routes(access),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    made = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={
            LabschedError: _labsched_error,
            404: _error,
            405: _error,
            413: _error,
            500: _error,
        },
        lifespan=lifespan,
        max_body_size=MAX_JSON + 1024,
    )
    made.state.feed = feed
    return made


async def _labsched_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LabschedError)
    return told(error)


async def _error(request: Request, error: Exception) -> Response:
    """What is not ours to explain, in the shape of all other errors; a bug is logged, and not shown."""
    if isinstance(error, HTTPException):
        return refused(error.status_code, error.detail)
    return refused(500, "something went wrong; the log says what")
