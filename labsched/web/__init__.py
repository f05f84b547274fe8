"""The web face: what an instance shows of its cluster on a port of its own.

serve_web     the server beside a running instance                server.py
site          its pages and calls as one Starlette app            site.py
guard.py      who may ask: Host, token, origin, headers of every answer
api.py        JSON for programs; endpoints.py is the table of them, openapi.py what it promises
actuator.py   health and metrics in the shape of Spring's Actuator
feed.py       one reader for all open dashboards: model.py and rows.py fold events, judge.py checks the guarantees
tracing.py    OpenTelemetry spans of the events, for a process of its own
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server import Web, serve_web

__all__ = ["Web", "serve_web"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: `tracing` runs with the extra [otel] alone, without what a server needs.
    if name in __all__:
        from . import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
