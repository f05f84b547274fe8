"""A scheduler on a fake server, and a browserless client of its pages, for the tests of labsched.web."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator

import httpx

from labsched import Scheduler, Settings, every, manual
from labsched.web import serve_web
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


class Background:
    """An instance with its web server in a thread of its own, for clients that block."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self._settings = {"web_port": port, "web_host": host}

    def __enter__(self) -> Background:
        self._started, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(20)
        return self

    async def _serve(self) -> None:
        self._loop, self.app = asyncio.get_running_loop(), scheduler(**self._settings)
        async with self.app.instance("i1"), serve_web(self.app, name="i1", token=TOKEN) as self.web:
            self._started.set()
            await self._stop.wait()

    def call(self, what):
        """The result of a coroutine on that thread's loop."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(20)

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
