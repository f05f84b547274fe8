"""What notebook 09 stands on: a mail service that no fence reaches, and a cluster whose instances die at work."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable

from labsched import Scheduler, Settings, exponential, manual
from labsched.context import Context
from labsched.worlds import Recording, Simulation

ON_ITS_WAY = 0.1  # seconds from the sender to the service, and the same back
LOSES_A_REPLY = 0.03  # share of all sendings
KILLED_EVERY = 1.5  # seconds; the next one's turn is drawn


class KeyReused(ValueError):
    """The key was used for another letter before."""


class Post:
    """A mail service outside of the cluster. What reaches it is delivered, whoever sent it and however late.

    A letter with a `key` is delivered once, however often it comes; another letter under that key is `KeyReused`.
    """

    def __init__(self) -> None:
        self.delivered: list[tuple[str, str]] = []  # to, text
        self._known: dict[str, tuple[str, str]] = {}

    def deliver(self, to: str, text: str, key: str | None = None) -> None:
        if key in self._known:
            if self._known[key] != (to, text):
                raise KeyReused(f"key {key!r} was used for another letter")
            return
        if key is not None:
            self._known[key] = (to, text)
        self.delivered.append((to, text))

    def letters(self) -> Counter[str]:
        """How many letters each person has got."""
        return Counter(to for to, _ in self.delivered)


class Desk:
    """From where one attempt sends its letters. Now and then the reply is lost: the letter is out, nobody says so."""

    def __init__(self, post: Post, ctx: Context) -> None:
        self._post, self._ctx = post, ctx
        self._luck = random.Random(f"{ctx.execution} {ctx.attempt}")

    async def send(self, to: str, text: str, key: str | None = None) -> None:
        """TimeoutError when no reply came: it may have been delivered."""
        await self._ctx.work(ON_ITS_WAY)
        self._post.deliver(to, text, key)
        await self._ctx.work(ON_ITS_WAY)
        if self._luck.random() < LOSES_A_REPLY:
            raise TimeoutError("no reply from the mail service")


Body = Callable[[Context, Desk, str], Awaitable[object]]


def invoices(body: Body, customers: int = 100, seed: int = 1) -> tuple[Post, Recording]:
    """One execution of `body` for each customer, on three instances of which one is killed every 1.5 s.

    Ends when all is done; `post.letters()` tells who got how many.
    """
    post, people = Post(), [f"customer {n}" for n in range(customers)]

    async def invoice(ctx: Context, *, to: str) -> None:
        await body(ctx, Desk(post, ctx), to)

    app = Scheduler("fake", settings=Settings(pool_size=2))
    app.add("invoice", manual(), invoice, retries=9, max_losses=20, backoff=exponential("200ms", "1s"))
    with Simulation(3, seed=seed, app=app, messages=False) as sim:
        sim.run(until=1)
        sim.call(lambda app: app.trigger_many("invoice", [{"to": to} for to in people]))
        luck = random.Random(f"kills {seed}")
        for n in range(round(customers / 6)):
            victim, when = luck.choice(sim.names), round(2 + n * KILLED_EVERY + luck.random(), 3)
            sim.at(when).kill(victim).at(when + 0.3).restart(victim)
        rec = sim.run(until=12 + customers * 0.3)
    assert (rec.executions.state == "SUCCEEDED").all()
    return post, rec
