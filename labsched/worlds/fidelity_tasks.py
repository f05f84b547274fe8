"""What both worlds run to be compared (`fidelity.py`)."""

from __future__ import annotations

from labsched import Scheduler, manual
from labsched.context import Context

app = Scheduler("fake")


@app.task("quick", manual())
async def quick(ctx: Context) -> None:
    """Ends at once."""


@app.task("fails", manual(), retries=1)
async def fails(ctx: Context) -> None:
    """Fails each time."""
    raise ValueError("as it should")


@app.task("long", manual())
async def long(ctx: Context) -> None:
    """Long enough to be cancelled, or to lose its instance."""
    await ctx.work(1.0)
