"""Random sequences of atomic steps: after each one indexes, counters and history must agree with the records."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import fakeredis
from cluster import HEAD, Cluster, Grant, HandClock, Member
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from invariants import violations
from servers import Server

from labsched import every

TASKS = ("plain", "limited", "buffer", "cancel", "poison")
ENDS = ("SUCCEEDED", "SUCCEEDED", "FAILED", "RETRYING", "CANCELLED", "READY")
names = st.sampled_from(["i1", "i2", "i3"])
tasks = st.sampled_from(TASKS)
some_ms = st.lists(st.integers(1, 3000), min_size=1, max_size=3, unique=True)


class Steps(RuleBasedStateMachine):
    """Stale grants and members of the past stay in the bundles: they go on sending, and must be refused."""

    members = Bundle("members")
    grants = Bundle("grants")
    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.loop = asyncio.new_event_loop()
        self.c = Cluster(Server("fake", fake=fakeredis.FakeServer()), self.clock)
        self.tokens: dict[str, str] = {}  # execution -> newest token

    def do(self, step: Any) -> Any:
        real, time.time = time.time, self.clock
        try:
            return self.loop.run_until_complete(step)
        finally:
            time.time = real

    @initialize()
    def tasks_are_defined(self) -> None:
        options: dict[str, dict[str, Any]] = {
            "plain": {"max_backlog": 6},
            "limited": {"max_concurrency": 2, "rate_limit": "3/s", "overlap": "ALLOW", "priority": "high"},
            "buffer": {"overlap": "BUFFER_ONE", "lock_at_least_for": "1s", "lock_at_most_for": "5s"},
            "cancel": {"overlap": "CANCEL_OTHER", "max_backlog": 2},
            "poison": {"max_losses": 1, "priority": "low"},
        }
        for name in TASKS:
            self.do(self.c.define(name, every("1s"), **options[name]))

    @rule(target=members, name=names, lease=st.sampled_from([1000, 5000]))
    def join(self, name: str, lease: int) -> Member:
        return self.do(self.c.join(name, lease=lease))

    @rule(seconds=st.sampled_from([0.001, 0.4, 1.1, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(target=ids, task=tasks, n=st.integers(1, 3), wait=st.sampled_from([0, 0, 500]))
    def trigger(self, task: str, n: int, wait: int) -> Any:
        now = int(self.clock.now * 1000)
        ids = [f"{task}~{self.c.fresh('x')}" for _ in range(n)]
        items = [value for id in ids for value in (id, "{}", "")]
        reply = self.do(self.c.call("enqueue", task, "trigger", "", now + wait if wait else "", *items))
        assert reply[0] in ("ok", "full")
        return multiple(*ids) if reply[0] == "ok" else multiple()

    @rule(member=members, lease=st.sampled_from([800, 4000]))
    def lead(self, member: Member, lease: int) -> None:
        self.do(member.lead(lease, member.epoch))

    @rule(member=members)
    def heartbeat(self, member: Member) -> None:
        self.do(member.heartbeat())

    @rule(target=grants, member=members, n=st.integers(1, 4))
    def claim(self, member: Member, n: int) -> Any:
        nonce = self.c.fresh("n")
        reply = self.do(member.ask(n, nonce))
        if reply[0] != "ok":
            return multiple()
        # Sent again, as after a lost reply: the same grants.
        got = self.do(member.claim(n, nonce))
        assert [g.token for g in got] == reply[HEAD + 2 :: 9]
        self.tokens.update({g.id: g.token for g in got})
        return multiple(*got)

    @rule(member=members, grant=grants, to=st.sampled_from(ENDS), delay=st.sampled_from([0, 700]))
    def finish(self, member: Member, grant: Grant, to: str, delay: int) -> None:
        (verdict,) = self.do(member.finish((grant, to), delay=delay))
        if self.tokens.get(grant.id) != grant.token:
            assert verdict == "stale"

    @rule(member=members, some=st.lists(grants, max_size=4))
    def finish_many(self, member: Member, some: list[Grant]) -> None:
        if some:
            self.do(member.finish(*some))

    @rule(member=members, grant=grants, key=st.sampled_from("kl"))
    def fence(self, member: Member, grant: Grant, key: str) -> None:
        reply = self.do(member.fence(grant, key))
        if self.tokens.get(grant.id) != grant.token:
            assert reply[0] == "refused"

    @rule(member=members, grant=grants)
    def note(self, member: Member, grant: Grant) -> None:
        self.do(member.note(grant, "line", progress="[1,2]"))

    @rule(id=ids, force=st.sampled_from("01"))
    def cancel(self, id: str, force: str) -> None:
        self.do(self.c.call("cancel", id, force, self.c.fresh("n")))

    @rule(id=ids)
    def requeue(self, id: str) -> None:
        self.do(self.c.call("requeue", id, self.c.fresh("n")))

    @rule(id=ids)
    def watch(self, id: str) -> None:
        self.do(self.c.call("watch", id, "c1"))

    @rule(target=ids, member=members, task=tasks, ago=some_ms)
    def dispatch(self, member: Member, task: str, ago: list[int]) -> Any:
        now = int(self.clock.now * 1000)
        done = int(self.do(self.c.task(task))["watermark"])
        slots = sorted(slot for ms in ago if (slot := now - ms) > done)
        reply = self.do(member.dispatch(task, *slots))
        return multiple(*(f"{task}@{slot}" for slot in slots)) if reply[0] == "ok" else multiple()

    @rule(member=members)
    def coordinate(self, member: Member) -> None:
        for step in (member.promote, member.recover):
            self.do(step())

    @rule(member=members, max_events=st.sampled_from([20, 1_000_000]))
    def trim(self, member: Member, max_events: int) -> None:
        self.do(member.trim(age=500, max_events=max_events))

    @rule(member=members)
    def drain(self, member: Member) -> None:
        self.do(member.drain())

    @rule(member=consumes(members))
    def leave(self, member: Member) -> None:
        self.do(member.leave())

    @rule(member=members)
    def resign(self, member: Member) -> None:
        self.do(member.resign())

    @rule(task=tasks, status=st.sampled_from(["ACTIVE", "PAUSED"]))
    def set_status(self, task: str, status: Any) -> None:
        self.do(self.c.registry.set_status(task, status))

    @rule(task=tasks, retries=st.integers(0, 3), more=st.booleans())
    def redefine(self, task: str, retries: int, more: bool) -> None:
        known = self.c.tasks[task]
        same = {"overlap": known.overlap, "priority": known.priority}
        self.do(self.c.define(task, every("1s"), version=known.version + more, retries=retries, **same))

    @invariant()
    def everything_agrees(self) -> None:
        found = violations(self.do(self.c.dump()))
        assert found == [], found

    def teardown(self) -> None:
        self.loop.run_until_complete(self.c.server.close())
        self.loop.close()


Steps.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSteps = Steps.TestCase
