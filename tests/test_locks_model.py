"""Random sequences of lock calls against a model in plain Python: same answers, same history.

On fakeredis the server's clock is set by the test, so leases end in the middle of everything. On a real
server the same sequences run with leases that never end, and time stands still in the model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import fakeredis
import pytest
import redis
from fakeredis.commands_mixins import server_mixin
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from servers import Server

from labsched.store import script

PREFIX = "{labsched:m}:"
START = 1_800_000_000_000  # ms
OWNERS = st.sampled_from(["a", "b", "c"])
MOST = st.integers(1, 40)
LEAST = st.integers(0, 20)
PICK = st.integers(0, 1_000_000)


@dataclass
class Grant:
    owner: str
    nonce: str
    token: int
    until: int
    least: int
    released: bool = False
    claimed_by: int | None = None  # the line about it is unread, and its waiter counts as alive until then


@dataclass
class Waiter:
    owner: str
    nonce: str
    most: int
    least: int
    alive: int


@dataclass
class Model:
    """What the scripts are to do, said in another way: one lock, one queue, one clock."""

    now: int = START
    grant: Grant | None = None
    before: Grant | None = None  # let go properly just before `grant`
    queue: list[Waiter] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)  # nonces that left
    history: list[tuple[str, int]] = field(default_factory=list)

    @property
    def ends(self) -> int:
        return max(self.grant.until, self.grant.least) if self.grant else 0

    @property
    def held(self) -> bool:
        return self.grant is not None and not self.grant.released and self.grant.until > self.now

    @property
    def unclaimed(self) -> bool:
        return self.held and self.grant.claimed_by is not None and self.grant.claimed_by <= self.now

    def head(self) -> Waiter | None:
        return next((w for w in self.queue if w.alive > self.now), None)

    def bury(self, keep: str | None = None) -> None:
        """Takes the dead in front of the head out of the queue."""
        head = self.head()
        front = self.queue[: self.queue.index(head)] if head else list(self.queue)
        self.queue = [w for w in self.queue if w not in front or w.nonce == keep]

    def take(self, owner: str, nonce: str, token: int, most: int, least: int) -> None:
        if self.unclaimed:
            self.history.append(("LOCK_RELEASED", self.grant.token))
        self.before = self.grant if self.grant and self.grant.released else None
        self.grant = Grant(owner, nonce, token, self.now + most, self.now + least)
        self.history.append(("LOCK_ACQUIRED", token))

    def repeated(self, nonce: str) -> str | None:
        if self.grant and self.grant.nonce == nonce:
            return "ok" if self.held else "over"
        if (self.before and self.before.nonce == nonce) or nonce in self.gone:
            return "over"
        return None


class LockMachine(RuleBasedStateMachine):
    """Runs every step on the server and on the model."""

    client: redis.Redis
    clock: Any = None  # of the fake server; None on a real one, where time stands still
    scale, extends = 1, 0

    def __init__(self) -> None:
        super().__init__()
        self.model, self.count = Model(), 0
        self.nonces: list[str] = []
        self.tokens: list[int] = [1]
        self.client.flushall()
        self.tick(0)

    def tick(self, ms: int) -> None:
        self.model.now += ms
        if self.clock:
            self.clock.now = self.model.now / 1000

    def run(self, name: str, *args: Any) -> list[str]:
        reply = self.client.eval(script(name)[0], 1, PREFIX, *args)
        return [part.decode() if isinstance(part, bytes) else str(part) for part in reply]

    def granted(self, reply: list[str], owner: str, nonce: str, most: int, least: int) -> None:
        token = int(reply[1])
        assert token > max(self.tokens)
        self.tokens.append(token)
        self.model.take(owner, nonce, token, most, least)
        if self.clock:
            assert int(reply[2]) == self.model.grant.until and int(reply[3]) == self.model.now

    def again(self, reply: list[str]) -> None:
        """The reply to a repeated call: the very same grant."""
        assert reply[:2] == ["ok", str(self.model.grant.token)]
        if self.clock:
            assert int(reply[2]) == self.model.grant.until

    def nonce(self, pick: int | None = None) -> str:
        """A new nonce, or a known one: of the current grant, of the one before, of a waiter, or gone."""
        m = self.model
        known = [g.nonce for g in (m.grant, m.before) if g] + [w.nonce for w in m.queue] + sorted(m.gone)
        if pick is not None and known:
            return known[pick % len(known)]
        self.count += 1
        return f"n{self.count}"

    @precondition(lambda self: self.clock)
    @rule(ms=st.integers(1, 30))
    def time_passes(self, ms):
        self.tick(ms)

    @rule(owner=OWNERS, most=MOST, least=LEAST, repeat=st.booleans(), pick=PICK)
    def acquire(self, owner, most, least, repeat, pick):
        m, least, nonce = self.model, min(most, least) * self.scale, self.nonce(pick if repeat else None)
        if any(w.nonce == nonce for w in m.queue):
            return  # that is a waiter's
        expected, most = m.repeated(nonce), most * self.scale
        reply = self.run("lock_acquire", "n", owner, nonce, most, least)
        if expected == "ok":
            self.again(reply)
        elif expected == "over":
            assert reply == ["over"]
        elif m.head() or (m.ends > m.now and not m.unclaimed):
            assert reply == ["taken"]
        else:
            assert reply[0] == "ok"
            m.bury()
            self.granted(reply, owner, nonce, most, least)

    @rule(owner=OWNERS, most=MOST, least=LEAST, alive=st.integers(1, 40), repeat=st.booleans(), pick=PICK)
    def wait(self, owner, most, least, alive, repeat, pick):
        m, nonce = self.model, self.nonce(pick if repeat else None)
        most, least, alive = most * self.scale, min(most, least) * self.scale, alive * self.scale
        expected = m.repeated(nonce)
        reply = self.run("lock_wait", "n", owner, nonce, most, least, f"box-{nonce}", alive)
        head = m.head()
        first = head is None or head.nonce == nonce
        if expected == "ok":
            self.again(reply)
        elif expected == "over":
            assert reply == ["over"]
        elif first and (m.ends <= m.now or m.unclaimed):
            assert reply[0] == "ok"
            m.bury()
            m.queue = [w for w in m.queue if w.nonce != nonce]
            self.granted(reply, owner, nonce, most, least)
        else:
            assert reply[0] == "wait"
            if self.clock:
                assert reply[1] == (str(max(m.ends - m.now, 1)) if first else "")
            m.bury(keep=nonce)
            mine = Waiter(owner, nonce, most, least, m.now + alive)
            at = next((i for i, w in enumerate(m.queue) if w.nonce == nonce), len(m.queue))
            m.queue[at : at + 1] = [mine]

    @rule(pick=PICK)
    def leave(self, pick):
        m, nonce = self.model, self.nonce(pick)
        head = m.head()
        reply = self.run("lock_leave", "n", nonce, "nobody")
        m.gone.add(nonce)
        m.queue = [w for w in m.queue if w.nonce != nonce]
        if m.held and m.grant.nonce == nonce:
            m.grant.least = 0
            self.dropped()
        elif head and head.nonce == nonce and m.head():
            assert self.line(m.head().nonce) == f"{m.head().nonce} again"
        assert reply[0] == "left"

    @rule(owner=OWNERS, pick=PICK, current=st.booleans())
    def release(self, owner, pick, current):
        m, token = self.model, self.tokens[-1] if current else self.tokens[pick % len(self.tokens)]
        reply = self.run("lock_release", "n", owner, token, "elsewhere")
        if (m.grant and m.grant.token == token and m.grant.released) or (
            m.before and m.before.token == token
        ):
            assert reply == ["repeated"]
        elif m.held and m.grant.token == token:
            assert reply == ["ok", ""]
            self.dropped()
        else:
            why = "expired" if m.grant and m.grant.token == token else "token"
            assert reply == ["refused", "release", why]
            m.history.append(("REFUSED", token))

    @rule(owner=OWNERS, most=MOST, pick=PICK, current=st.booleans())
    def extend(self, owner, most, pick, current):
        m, token = self.model, self.tokens[-1] if current else self.tokens[pick % len(self.tokens)]
        self.extends += 1
        reply = self.run("lock_extend", "n", owner, token, most * self.scale, self.extends)
        if m.held and m.grant.token == token:
            assert reply[0] == "ok"
            # The line about it names the old end, and the unread grant can no longer be told by it.
            m.grant.until, m.grant.claimed_by = m.now + most * self.scale, None
            m.history.append(("LOCK_EXTENDED", token))
        else:
            expired = m.grant and m.grant.token == token and not m.grant.released
            assert reply == ["refused", "extend", "expired" if expired else "token"]
            m.history.append(("REFUSED", token))

    @precondition(lambda self: self.model.held and self.model.grant.claimed_by is not None)
    @rule()
    def the_waiter_reads_its_grant(self):
        m = self.model
        assert self.line(m.grant.nonce).startswith(f"{m.grant.nonce} granted {m.grant.token} ")
        m.grant.claimed_by = None

    @precondition(lambda self: self.model.held and self.model.queue)
    @rule()
    def the_queue_moves_on(self):
        """Makes hand-overs common."""
        self.release("a", 0, True)

    def line(self, nonce: str) -> str:
        """The newest line of a waiter's box, and empties it."""
        lines = self.client.lrange(f"{PREFIX}box:box-{nonce}", 0, -1)
        self.client.delete(f"{PREFIX}box:box-{nonce}")
        return lines[-1].decode()

    def dropped(self) -> None:
        """The holder let go: what becomes of the lock."""
        m = self.model
        m.grant.released = True
        head = m.head()
        if m.grant.least > m.now:
            m.history.append(("LOCK_RELEASED", m.grant.token))
            m.grant.until = m.grant.least
            if head:
                assert self.line(head.nonce) == f"{head.nonce} again"
            return
        m.history.append(("LOCK_RELEASED", m.grant.token))
        m.grant.until, m.grant.least = m.now, 0
        m.bury()
        if head:
            m.queue.remove(head)
            line = self.client.lrange(f"{PREFIX}box:box-{head.nonce}", -1, -1)[0].decode().split()
            assert line[:2] == [head.nonce, "granted"]
            self.granted(["ok", line[2], line[3], str(m.now)], head.owner, head.nonce, head.most, head.least)
            m.grant.claimed_by = head.alive

    @invariant()
    def the_queue_is_the_models(self):
        queued = [nonce.decode() for nonce in self.client.zrange(f"{PREFIX}lockq:n", 0, -1)]
        assert queued == [w.nonce for w in self.model.queue]

    @invariant()
    def the_lock_is_the_models(self):
        grant, kept = self.model.grant, self.client.hgetall(f"{PREFIX}lock:n")
        if grant:
            assert int(kept[b"token"]) == grant.token and kept[b"owner"].decode() == grant.owner
            assert (kept[b"released"] == b"1") == grant.released
            listed = self.run("lock_list", 10)[1:]
            assert listed[:3] == (
                [] if self.model.ends <= self.model.now else ["n", grant.owner, str(grant.token)]
            )

    @invariant()
    def the_history_is_the_models(self):
        entries = self.client.xrange(f"{PREFIX}events")
        told = [(e[b"kind"].decode(), int(e[b"token"])) for _, e in entries]
        assert told == self.model.history
        ends = 0  # of the last grant, as the events tell it
        for (kind, _), (_, e) in zip(told, entries, strict=True):
            data = json.loads(e[b"data"])
            if kind == "LOCK_ACQUIRED" and self.clock:
                assert data["least_until"] >= ends, "granted while the events say that it is held"
            if kind != "REFUSED":
                ends = data["until"]


def run(client: redis.Redis, clock: Any, scale: int, examples: int, steps: int) -> None:
    machine = type("Machine", (LockMachine,), {"client": client, "clock": clock, "scale": scale})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_lock_calls_do_what_the_model_does_while_leases_end_at_any_moment():
    clock = SimpleNamespace(now=START / 1000)
    fake_time = SimpleNamespace(time=lambda: clock.now)
    with mock.patch.object(server_mixin, "time", fake_time):
        run(fakeredis.FakeRedis(), clock, scale=1, examples=150, steps=40)


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_lock_calls_do_what_the_model_does_on_a_real_server(kind, request):
    server: Server = request.getfixturevalue(f"{kind}_process")
    with redis.Redis(host="127.0.0.1", port=server.port) as client:
        run(client, None, scale=1_000_000, examples=60, steps=40)
