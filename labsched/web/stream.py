"""The live stream: server-sent events of a feed.

A message is whole or a part; a dashboard that was away gets a whole one first, so nothing is missing however long it
was gone, and nothing has to be kept for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from .feed import Feed, Queue
from .guard import refused


def stream(feed: Feed, request: Request) -> Response:
    """`data: JSON` for each message, `retry:` so that browsers come back soon; 503 when too many watch."""
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    if feed.full:
        return refused(503, "too many dashboards are open already", may_have_happened=False)
    return _Live(feed)


class _Live(Response):
    """Takes its place before anything is awaited, so that the bound holds when many come at once."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._feed.joined() as queue:
            answer = StreamingResponse(
                lines(self._feed, queue), media_type=self.media_type, headers={"x-accel-buffering": "no"}
            )
            await answer(scope, receive, send)


async def lines(feed: Feed, queue: Queue) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    async for message in feed.messages(queue):
        yield b"data: " + message + b"\n\n"
