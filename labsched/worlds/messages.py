"""What goes over the wire of a simulated world, as a recording keeps it."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from msgspec import Meta


class Message(NamedTuple):
    """One message; times are seconds since the recording began.

    `arrived` is None when it was `lost` (the reason). `kind`: request, reply, connect, accept, refuse or close.
    `name`: the command or script, "+n" behind it for n more in one packet. `size` in bytes, 0 where nobody
    counts it.
    """

    sent: float
    arrived: float | None
    source: str
    destination: str
    kind: str
    name: str
    size: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    lost: str
