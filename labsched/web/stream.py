"""The live stream: server-sent events of a feed.

A message is whole or a part; a dashboard that was away gets a whole one first, so nothing is missing however long it
was gone, and nothing has to be kept for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import StreamingResponse

from .feed import Feed


def stream(feed: Feed, request: Request) -> StreamingResponse:
    """`data: JSON` for each message, `retry:` so that browsers come back soon."""
    return StreamingResponse(
        _lines(feed), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


async def _lines(feed: Feed) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    messages = feed.watch()
    try:
        while True:
            yield b"data: " + await anext(messages) + b"\n\n"
    finally:
        await messages.aclose()  # type: ignore[attr-defined]
