"""The live stream: server-sent events of a feed.

A message is whole or a part; a dashboard that was away gets a whole one first, so nothing is missing however long it
was gone, and nothing has to be kept for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from .feed import Feed
from .guard import refused


def stream(feed: Feed, request: Request) -> Response:
    """`data: JSON` for each message, `retry:` so that browsers come back soon; 503 when too many watch."""
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    if feed.full:
        return refused(503, "too many dashboards are open already", may_have_happened=False)
    return StreamingResponse(
        _lines(feed), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


async def _lines(feed: Feed) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    messages = feed.watch()
    try:
        async for message in messages:
            yield b"data: " + message + b"\n\n"
    finally:
        await messages.aclose()  # type: ignore[attr-defined]
