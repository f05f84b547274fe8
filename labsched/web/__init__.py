"""The web face: what an instance shows of its cluster on a port of its own.

serve_web     the server beside a running instance                server.py
site          its pages and calls as one Starlette app            site.py
guard.py      who may ask: Host, token, origin, headers of every answer
api.py        JSON for programs; endpoints.py is the table of them, openapi.py what it promises
actuator.py   health and metrics in the shape of Spring's Actuator
feed.py       one reader for all open dashboards
"""

from __future__ import annotations

from .server import Web, serve_web
from .site import site

__all__ = ["Web", "serve_web", "site"]
