"""Who may ask what: the Host header, the token, the origin; and the headers that every answer carries.

Reading is open on the loopback address and needs the token (or the cookie that stands for it) on any other. Whatever
changes state needs the token itself, in a header, wherever the server listens: a cookie would also be sent by a page of
somebody else.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labsched.errors import ConfigError

MOST_SESSIONS = 1000
READS = frozenset({"GET", "HEAD"})
# Answered to anybody: they tell no more than that this process runs. The pages hold no data, and ask for it.
OPEN = ("/static/", "/actuator/health", "/scheduler/")

HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(host: str, token: str | None) -> None:
    """ConfigError when others could reach `host` and there is no token."""
    if not token and not is_loopback(host):
        raise ConfigError(
            f"web.host is {host!r}, which other machines reach: set LABSCHED_WEB_TOKEN, or use 127.0.0.1"
        )


class Access:
    """The token of one server and the sessions opened with it. Without a token nothing may be changed."""

    def __init__(self, host: str, token: str | None, port: int = 0) -> None:
        check_address(host, token)
        # Browsers send a cookie to every port of a host: the servers there must not take each other's away.
        self.cookie = f"labsched-session-{port}"
        self.local = is_loopback(host)
        self._token = token
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}
        if not self.local:  # it may ask a name server
            self._names.add(socket.getfqdn().lower())
        self._sessions: dict[str, None] = {}

    @property
    def may_act(self) -> bool:
        """Whether a token was set at all."""
        return self._token is not None

    def knows_host(self, header: str) -> bool:
        """A page on another name cannot reach us by pointing that name here (DNS rebinding): a bare address or a
        name of this machine has to stand in the Host header."""
        try:
            name = urlsplit(f"//{header}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def has_token(self, headers: Headers) -> bool:
        """`Authorization: Bearer TOKEN`, compared in constant time."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        if self._token is None or kind.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), self._token.encode())

    def has_session(self, cookie: str) -> bool:
        return (
            any(hmac.compare_digest(known, cookie) for known in self._sessions) if cookie.isascii() else False
        )

    def may_read(self, headers: Headers) -> bool:
        return self.local or self.has_token(headers) or self.has_session(self._sent(headers))

    def _sent(self, headers: Headers) -> str:
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie:
                return value
        return ""

    def open_session(self) -> str:
        """A cookie for reading; the oldest is forgotten when there are too many."""
        if len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        made = secrets.token_urlsafe(32)
        self._sessions[made] = None
        return made


class Guard:
    """The ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, dressed)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not self._access.knows_host(headers.get("host", "")):
            return refused(421, "this server is not known under that Host name")
        if scope["method"] in READS:
            open_to_all = scope["path"].startswith(OPEN) or self._access.may_read(headers)
            return None if open_to_all else unauthorized("reading needs the token here")
        if not _same_origin(headers):
            return refused(403, "a page of another origin may not do that")
        if not self._access.may_act:
            return unauthorized("no token is set, so nothing can be changed: start with LABSCHED_WEB_TOKEN")
        return None if self._access.has_token(headers) else unauthorized("that needs the token")


def _same_origin(headers: Headers) -> bool:
    """Whether no browser says that another site sent this. Programs send neither header.

    Browsers say it themselves where the page came over TLS, and then a proxy may have changed Host."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    try:
        return origin is None or urlsplit(origin).netloc == headers.get("host")
    except ValueError:
        return False


def refused(status: int, error: str, **more: Any) -> Response:
    """An error as every call answers it: `{"error": ...}`, one sentence."""
    return Response(msgspec.json.encode({"error": error, **more}), status, media_type="application/json")


def unauthorized(error: str) -> Response:
    response = refused(401, error)
    response.headers["www-authenticate"] = 'Bearer realm="labsched"'
    return response
