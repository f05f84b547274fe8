"""Every atomic step of the scheduler, each ready to be taken: for tests of what a step does when the server objects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from cluster import Cluster, Grant, Member

from labsched import every


class Scene:
    """A busy namespace: a leader with work in every state, a dead instance, a slot that waits for its turn."""

    member: Member
    dead: Member
    grants: list[Grant]
    slot: Grant
    failed: str
    ready: str
    now: int

    async def set(self, c: Cluster) -> Scene:
        await c.define("s", every("1s"), overlap="BUFFER_ONE", rate_limit="100/s")
        await c.define("a")
        self.member, self.dead = await c.join("i1"), await c.join("i2")
        await self.member.lead()
        now = await c.now()
        await c.trigger(n=6)
        self.grants = await self.member.claim(6)
        for grant in self.grants:
            await c.call("watch", grant.id, "c1")
        await self.member.note(self.grants[0], "line", progress="[1,2]")
        await self.member.fence(self.grants[0], "k")
        await self.member.finish((self.grants[5], "FAILED"), (self.grants[4], "RETRYING"))
        self.failed = self.grants[5].id
        await self.member.dispatch("s", now - 30, now - 20)
        (self.slot,) = await self.member.claim(1)
        await self.member.claim(1)
        self.ready = await c.trigger_one()
        self.now = now
        await self.dead.expires()
        return self


Step = Callable[[Cluster, Scene], Awaitable[Any]]

# By script, some in several ways.
STEPS: dict[str, Step] = {
    "enqueue": lambda c, s: c.registry.enqueue("a", [("a~new", "{}", "")]),
    "enqueue later": lambda c, s: c.registry.enqueue("a", [("a~new", "{}", "")], at=s.now + 60_000),
    "claim": lambda c, s: s.member.ask(),
    "finish": lambda c, s: s.member.finish(*s.grants[:3]),
    "finish a slot": lambda c, s: s.member.finish(s.slot),
    "finish badly": lambda c, s: s.member.finish(
        (s.grants[0], "RETRYING"), (s.grants[1], "FAILED"), (s.grants[2], "READY")
    ),
    "finish a slot badly": lambda c, s: s.member.finish((s.slot, "FAILED")),
    "finish stale": lambda c, s: s.member.finish(Grant("a~never", "a", "1", 1, 0, "", "", 0, 0)),
    "cancel": lambda c, s: c.registry.cancel(s.grants[0].id, False),
    "cancel by force": lambda c, s: c.registry.cancel(s.slot.id, True),
    "cancel what waits": lambda c, s: c.registry.cancel(s.ready, False),
    "requeue": lambda c, s: c.registry.requeue(s.failed),
    "dispatch": lambda c, s: s.member.dispatch("s", s.now - 10),
    "promote": lambda c, s: s.member.promote(),
    "recover": lambda c, s: s.member.recover(),
    "trim": lambda c, s: s.member.trim(age=0, max_events=1),
    "join": lambda c, s: c.join("i1"),
    "join alone": lambda c, s: c.join("i4", scope="i4"),
    "heartbeat": lambda c, s: s.member.heartbeat(),
    "leave": lambda c, s: s.member.leave(),
    "drain": lambda c, s: s.member.drain(),
    "lead": lambda c, s: c.call("lead", "i2", s.dead.inc, "", 5000),
    "renew": lambda c, s: c.call("lead", "i1", s.member.inc, s.member.epoch, 5000),
    "resign": lambda c, s: s.member.resign(),
    "define": lambda c, s: c.define("a", every("1s"), version=2),
    "define new": lambda c, s: c.define("n", every("1s")),
    "pause": lambda c, s: c.registry.set_status("s", "PAUSED"),
    "note": lambda c, s: s.member.note(s.grants[0], "more", progress="[2,2]"),
    "fence_write": lambda c, s: s.member.fence(s.grants[0], "l"),
    "watch": lambda c, s: c.call("watch", s.ready, "c9"),
}

# What frees memory, and the leases without which nobody may do so.
GO_ON_WHEN_FULL = {"trim", "renew", "heartbeat", "join", "join alone"}
