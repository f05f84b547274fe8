"""Newsletters for notebook 17: two that keep their promise and four that do not, each with its own mail service.

The promise: for each trigger one letter to each person, whatever becomes of an instance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from labsched import Scheduler, Settings, manual
from labsched.context import Context

SETTINGS = Settings(drain_timeout=1, instance_lease=2, lease_margin=0.8, heartbeat_every=0.5, sweep_every=0.5)
Body = Callable[[Context, "Mail", list[str]], Awaitable[None]]
Make = Callable[[], tuple[Scheduler, list[str]]]


class Mail:
    """A service that sends a letter with a key once, and takes 0.1 s for each."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self._keys: set[str] = set()

    async def send(self, ctx: Context, to: str, key: str = "") -> None:
        """A letter, unless one with that key is out."""
        await ctx.work(0.1)
        if not key or key not in self._keys:
            self.sent.append(to)
        self._keys.add(key)


async def keyed(ctx: Context, mail: Mail, to: list[str]) -> None:
    """Sound: each letter's key is the same in each attempt."""
    for person in to:
        await ctx.work(0.4)
        await mail.send(ctx, person, f"{ctx.execution} {person}")


async def noted(ctx: Context, mail: Mail, to: list[str]) -> None:
    """Sound, and does not do again what it knows to be done; it sends at the start of each step."""
    for person in to:
        if not await ctx.fence.read(person):
            await mail.send(ctx, person, f"{person} of {ctx.execution}")
            await ctx.fence.write(person, True)
        await ctx.work(0.2)


async def by_attempt(ctx: Context, mail: Mail, to: list[str]) -> None:
    """A second attempt sends again what the first had sent."""
    for person in to:
        await ctx.work(0.4)
        await mail.send(ctx, person, f"{ctx.execution} {ctx.attempt} {person}")


async def note_first(ctx: Context, mail: Mail, to: list[str]) -> None:
    """Killed between note and letter it leaves one out."""
    for person in to:
        if await ctx.fence.write(person, True):
            await ctx.work(0.4)
            await mail.send(ctx, person)


async def by_person(ctx: Context, mail: Mail, to: list[str]) -> None:
    """The second newsletter is taken for a repetition of the first."""
    for person in to:
        await ctx.work(0.4)
        await mail.send(ctx, person, person)


async def hasty(ctx: Context, mail: Mail, to: list[str]) -> None:
    """Told to stop, it takes what is done for all that was to do."""
    try:
        await keyed(ctx, mail, to)
    except asyncio.CancelledError:
        return


class Newsletter(NamedTuple):
    """`about` says what a test that lets it pass has missed."""

    body: Body
    sound: bool
    about: str


NEWSLETTERS = (
    Newsletter(keyed, True, "gives each letter a key"),
    Newsletter(noted, True, "gives each letter a key, and notes what it has sent"),
    Newsletter(by_attempt, False, "sends letters again when its process is killed"),
    Newsletter(note_first, False, "leaves a letter out when its process is killed in a bad moment"),
    Newsletter(by_person, False, "sends each person one letter in a lifetime"),
    Newsletter(hasty, False, "gives up when SIGTERM leaves it too little time, and says that all is done"),
)


def maker(body: Body) -> Make:
    """What makes an app with the task `newsletter`, and the list of those whose letter is out: fresh ones each time."""

    def make() -> tuple[Scheduler, list[str]]:
        mail = Mail()

        async def newsletter(ctx: Context, *, to: list[str]) -> None:
            await body(ctx, mail, to)

        app = Scheduler("fake", settings=SETTINGS)
        app.add("newsletter", manual(), newsletter)
        return app, mail.sent

    return make
