"""The web server beside an instance: in the same loop, on a port of its own, gone when the instance is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from labsched.errors import ConfigError

from .guard import Access, check_address
from .site import site

if TYPE_CHECKING:
    from labsched.app import Scheduler

PORTS = 100  # how many ports after the wanted one are tried, as several instances share a machine
LAST_ANSWERS = 2  # seconds that open requests get when the instance leaves
MOST_CONNECTIONS = 400  # a process has about a thousand files, and the instance needs some for itself

log = logging.getLogger("labsched")


@dataclass(frozen=True)
class Web:
    """Where it can be reached."""

    host: str
    port: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def dashboard(self) -> str:
        return f"{self.url}/scheduler/dashboard"


class _Server(uvicorn.Server):
    """Signals are the instance's business: it drains, and then this ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(H11Protocol):
    """Named, and not chosen by what is installed: it refuses a second Host header, and its limits are known."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.close()


@contextlib.asynccontextmanager
async def serve_web(
    app: Scheduler, *, name: str | None = None, token: str | None = None
) -> AsyncIterator[Web]:
    """Serve the pages of `app` (open, or about to be) on `web.host` and `web.port` for the length of the block.

    `name`: the instance that this process is, for its health. When the port is taken the next free one of a hundred is
    used; port 0 takes any. Raises ConfigError when none is free, or when `web.host` is not of this machine alone and
    there is no token.
    """
    settings = app.settings
    check_address(settings.web_host, token)
    listening = _listen(settings.web_host, settings.web_port)
    web = Web(settings.web_host, listening.getsockname()[1])
    served = site(app, Access(web.host, token, web.port), name=name)
    config = uvicorn.Config(
        served, http=_Protocol, lifespan="on", log_config=None, access_log=False, server_header=False,
        ws="none", proxy_headers=False, timeout_graceful_shutdown=LAST_ANSWERS, h11_max_incomplete_event_size=16_384,
    )  # fmt: skip
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server = _Server(config)
    serving = asyncio.get_running_loop().create_task(server.serve([listening]), name="web")
    try:
        yield web
    finally:
        await served.state.feed.close()
        server.should_exit = True
        await asyncio.wait((serving,), timeout=LAST_ANSWERS + 1)
        if not serving.done():
            serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    last: OSError | None = None
    for candidate in range(port, min(port + (PORTS if port else 1), 65_536)):
        try:
            return _bound(host, candidate)
        except OSError as error:
            last = error
    raise ConfigError(f"web.port: no port is free from {port} on at {host}: {last and last.strerror}")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(128)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made
