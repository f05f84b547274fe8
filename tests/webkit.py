"""A scheduler on a fake server, and a browserless client of its pages, for the tests of labsched.web."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator

import httpx

from labsched import Scheduler, Settings, every, manual
from labsched.web.guard import Access
from labsched.web.site import site

TOKEN = "a-token-for-tests"
BEARER = {"authorization": f"Bearer {TOKEN}"}
_NUMBERS = itertools.count()
HTML = "<img/src=x/onerror=alert(1)>"


def scheduler(**settings: object) -> Scheduler:
    # The fake server is one for the whole process.
    app = Scheduler(
        "fake", namespace=f"web{next(_NUMBERS)}", settings=Settings(**{"web_port": 0, **settings})
    )

    @app.task("greet", manual())
    async def greet(ctx, name="you"):
        ctx.log(f"greeting <b>{name}</b>")
        return {"greeting": f"hello {name}"}

    @app.task("break", manual())
    async def breaks(ctx):
        raise ValueError("<script>alert(1)</script>")

    @app.task("a/b", every("1h"))
    async def slashed(ctx):
        return None

    @app.task(HTML, manual())
    async def html(ctx):
        return None

    return app


@contextlib.asynccontextmanager
async def client_of(
    app: Scheduler, *, host: str = "127.0.0.1", token: str | None = TOKEN, name: str | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Requests to the site of an open scheduler, with its start and its end."""
    made = site(app, Access(host, token), name=name)
    transport = httpx.ASGITransport(app=made, raise_app_exceptions=False)
    async with (
        made.router.lifespan_context(made),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def served(**options: object) -> AsyncIterator[tuple[Scheduler, httpx.AsyncClient]]:
    """An instance named i1 and a client of its pages."""
    app = scheduler()
    async with app.instance("i1"), client_of(app, name="i1", **options) as client:
        yield app, client
