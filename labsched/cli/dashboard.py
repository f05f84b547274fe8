"""The web server of `labsched instance` and `labsched up`: whether there is one, and its token."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from ..app import Scheduler
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..web import Web

TOKEN = "LABSCHED_WEB_TOKEN"
SHORTEST = 8  # characters; a token is a password
NEEDED = ("uvicorn", "h11", "starlette", "prometheus_client")
INSTALL = "pip install 'labsched[web]'"

log = logging.getLogger("labsched")


def given_token(env: Mapping[str, str] = os.environ) -> str | None:
    """The token from the environment, which is the only place for it: files are shared, and calls are listed."""
    token = env.get(TOKEN, "")
    if token and (len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token):
        raise ConfigError(f"{TOKEN} has to be {SHORTEST} or more ASCII characters without a space")
    return token or None


def made_token() -> str:
    return secrets.token_urlsafe(18)


def missing() -> bool:
    """Whether the extra is not installed."""
    return any(importlib.util.find_spec(needed) is None for needed in NEEDED)


@contextlib.asynccontextmanager
async def dashboard(
    app: Scheduler, *, name: str | None = None, token: str | None = None
) -> AsyncIterator[Web | None]:
    """Serve the pages for the length of the block, unless `web.enabled` is false; None then, and without the extra.

    Raises ConfigError when no port is free, or the address needs a token.
    """
    if not app.settings.web_enabled:
        yield None
        return
    if missing():
        log.warning("no dashboard: %s brings it", INSTALL)
        yield None
        return
    from ..web import serve_web

    async with serve_web(app, name=name, token=token) as web:
        yield web
