"""Four ways to send an invoice, for notebook 09 and its stored sweep. Each is given a desk to send from."""

from __future__ import annotations

from labsched.context import Context

from .n09_world import Body, Desk

LETTER = "your invoice"
BEFORE, AFTER = 0.2, 0.2  # seconds of other work around the letter


async def plainly(ctx: Context, mail: Desk, to: str) -> None:
    """As if nothing could happen."""
    await ctx.work(BEFORE)
    await mail.send(to, LETTER)
    await ctx.work(AFTER)


async def then_note(ctx: Context, mail: Desk, to: str) -> None:
    """Send, then write down that it was sent; a later attempt reads that first."""
    await ctx.work(BEFORE)
    if not await ctx.fence.read("sent"):
        await mail.send(to, LETTER)
        await ctx.fence.write("sent", True)
    await ctx.work(AFTER)


async def note_first(ctx: Context, mail: Desk, to: str) -> None:
    """Write down that it is being sent, then send; a later attempt leaves it alone."""
    await ctx.work(BEFORE)
    if await ctx.fence.write("sent", True):
        await mail.send(to, LETTER)
    await ctx.work(AFTER)


async def with_key(ctx: Context, mail: Desk, to: str) -> None:
    """Let the receiver see that it is the same letter."""
    await ctx.work(BEFORE)
    await mail.send(to, LETTER, key=ctx.execution)
    await ctx.work(AFTER)


BODIES: dict[str, Body] = {
    "send": plainly,
    "send, then note": then_note,
    "note, then send": note_first,
    "send with a key": with_key,
}
