"""The safeguards of ring 1, each with what switches it off (mutation.py), and the seed of the swarm that misses it."""

from __future__ import annotations

from typing import Any

import pytest
from mutation import EVERYWHERE, UNTIL, Edit, Patch, Safeguard

from labsched.instance import Instance
from labsched.membership import Membership
from labsched.store import Store
from labsched.worker import Worker
from labsched.worlds.simulated.alarm import SimAlarm

# --- what needs more than another text


def _client_time(patch: pytest.MonkeyPatch) -> None:
    """Each script gets the caller's clock as one more argument, and believes it."""

    def stamped(self: Store, args: Any) -> list[Any]:
        return [*args, str(int(self.host.clock.now() * 1e6))]

    one, several = Store._evalsha, Store._several
    patch.setattr(Store, "_evalsha", lambda self, name, args: one(self, name, stamped(self, args)))
    patch.setattr(
        Store, "_several", lambda self, steps: several(self, [(n, stamped(self, a)) for n, a in steps])
    )


def _event_after_reply(patch: pytest.MonkeyPatch) -> None:
    """The worker appends SUCCEEDED itself, once it knows that the server took the end."""
    calls = Store.calls

    async def then_append(self: Store, *steps: Any) -> list[Any]:
        replies = await calls(self, *steps)
        for (name, args), reply in zip(steps, replies, strict=True):
            for i, word in enumerate(reply if name == "finish" else ()):
                execution, token, to = args[1 + 8 * i : 4 + 8 * i]
                if to == "SUCCEEDED" and word == b"ok":
                    fields = {"kind": to, "task": execution.partition("@")[0].partition("~")[0],
                              "execution": execution, "token": token, "instance": args[0], "attempt": "",
                              "epoch": "", "data": "{}"}  # fmt: skip
                    await self.redis.xadd(self.key("events"), fields)
        return replies

    patch.setattr(Store, "calls", then_append)


def _no_cancel(patch: pytest.MonkeyPatch) -> None:
    stop_all = Worker.stop_all
    patch.setattr(
        Worker,
        "stop_all",
        lambda self, why: list(self.attempts.values()) if why == "lease" else stop_all(self, why),
    )


def _no_compare(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Worker, "compare", lambda self, held: None)


def _greedy(patch: pytest.MonkeyPatch) -> None:
    """The worker asks for a whole pool whatever it runs."""
    patch.setattr(
        Worker,
        "_wants",
        lambda self: self._settings.pool_size if self.claiming and self._hungry and self.incarnation else 0,
    )


def _claims_on(patch: pytest.MonkeyPatch) -> None:
    """Draining, the worker does not stop asking."""
    patch.setattr(
        Worker,
        "claiming",
        property(lambda self: bool(self.incarnation), lambda self, value: None),
        raising=False,
    )


def _leaves_at_once(patch: pytest.MonkeyPatch) -> None:
    async def no_wait(self: Instance, seconds: float) -> None:
        return None

    patch.setattr(Instance, "_finish_bodies", no_wait)


def off(
    name: str,
    breaks: str,
    where: str,
    old: str,
    new: str = "",
    patch: Patch | None = None,
    until: float = UNTIL,
) -> Safeguard:
    return Safeguard(name, breaks, (Edit(where, old, new),), patch, until)


def method(name: str, breaks: str, patch: Patch) -> Safeguard:
    return Safeguard(name, breaks, (), patch)


def _silently(kind: type, attribute: str) -> Patch:
    return lambda patch: patch.setattr(kind, attribute, lambda self, *args: None)


CLOCK = "local clock = redis.call('TIME')"
CALLERS_CLOCK = (
    "local us = tonumber(table.remove(ARGV)); local clock = {math.floor(us / 1000000), us % 1000000}"
)
LEASE = "if not lease or tonumber(lease) <= now then"

SAFEGUARDS: dict[str, Safeguard] = {
    s.name: s
    for s in (
        off("finish: token", "no-stale-write", "finish", "if x.token ~= token then", "if not x.token then"),
        off("finish: once", "legal-transitions", "finish",
            "if x.state == 'RUNNING' and not seen[id] then", "if true then"),
        off("fence write: token", "no-stale-write", "fence_write",
            "if x[1] ~= token or x[2] ~= 'RUNNING' then return refuse('fence', 'token', id, token, name, '') end"),
        off("fence write: first wins", "effect-once", "fence_write",
            "if redis.call('HEXISTS', k_fence(id), '=' .. key) == 1 then", "if false then"),
        off("dispatch: epoch", "no-stale-write", "dispatch", "if stale then return refuse("
            "'dispatch', stale, '', inc, me, epoch) end"),
        off("dispatch: watermark", "", "dispatch",
            "(d[2] ~= p.seen or (d[10] or '') ~= p.catch_up)", "false"),
        off("dispatch: id exists", "", "dispatch", "if f.exists then return end"),
        off("leader: one lease at a time", "one-leader-per-epoch", "lead", "if left > 0 then",
            "if false then", until=0.2),
        off("leader: epoch in renewal", "", "lead",
            "if leader[1] ~= inc or leader[2] ~= epoch then return refuse('renew', 'epoch', '', inc, name, epoch) end"),
        off("release: owner", "", "lock_release",
            "if l.token ~= token then return refuse('release', 'token', '', token, owner, '') end"),
        off("release: owner, below", "", EVERYWHERE, "if l.token ~= token or l.released == '1' then return false end",
            "if l.released == '1' then return false end"),
        off("extend: owner", "no-stale-write", "lock_extend",
            "if l.token ~= token or l.released == '1' then return refuse('extend', 'token', '', token, owner, '') end"),
        off("extend: expiry", "no-stale-write", "lock_extend",
            "if l.ends <= now then return refuse('extend', 'expired', '', token, owner, '') end"),
        off("acquire: taken", "one-holder", "lock_acquire", "(lock_until(l) > now and not unclaimed)", "false"),
        off("acquire: nonce", "", EVERYWHERE,
            "if l.nonce == nonce then\n    if l.released", "if false then\n    if l.released"),
        off("acquire: queue first", "", "lock_acquire", "if head or (", "if ("),
        off("at_least_for", "one-holder", EVERYWHERE, "local least = void and 0 or l.least", "local least = 0"),
        off("server's clock", "one-holder", EVERYWHERE, CLOCK, CALLERS_CLOCK, _client_time),
        off("token: above the last", "one-holder", EVERYWHERE, "math.max(last + 1, now_us)", "now_us"),
        Safeguard("event in the same step", "history-complete",
                  (Edit("finish", "  event('SUCCEEDED', x.task, id, x.attempt, x.token, name, '', "
                        "'{\"duration_ms\":' .. num(took / 1000) .. '}')\n", ""),), _event_after_reply),
        off("claim: nonce", "", "claim", "if me[2] == nonce then", "if false then"),
        off("claim: late copy", "", "claim", "if last and this and this < last then return {'over'} end"),
        method("what the server holds is compared", "", _no_compare),
        off("trigger: id", "legal-transitions", "enqueue", "if found == 'none' then", "if found then"),
        off("claim: lease", "", "claim", LEASE + "\n  return refuse('claim'", "if false then\n  return refuse('claim'"),
        off("heartbeat: incarnation", "", "heartbeat", LEASE, "if false then"),
        off("join: supersedes", "bounded-recovery", "join", "  bury(old, 'superseded', alive)\n"),
        method("lease loss: bodies cancelled", "lease-loss-is-told", _no_cancel),
        method("lease loss: timer", "lease-loss-is-told", _silently(Membership, "_expire")),
        method("lease loss: alarm", "lease-loss-is-told", _silently(SimAlarm, "set")),
        Safeguard("recovery: dead instances", "bounded-recovery", (
            Edit("recover", "local dead = redis.call('ZRANGEBYSCORE', k_leases, '-inf', num(now), 'LIMIT', 0, limit)",
                 "local dead = {}"),
            Edit("recover", "redis.call('ZRANGE', k_leases, 0, 0, 'WITHSCORES')[2]", "nil"))),
        Safeguard("recovery: hard end", "nothing-lost", (
            Edit("recover",
                 "local overdue = redis.call('ZRANGEBYSCORE', k_state('RUNNING'), '-inf', num(now), 'LIMIT', 0, limit)",
                 "local overdue = {}"),
            Edit("recover", "redis.call('ZRANGE', k_state('RUNNING'), 0, 0, 'WITHSCORES')[2]", "nil"))),
        off("recovery: token revoked", "", EVERYWHERE, "'token', '', 'inc', '', 'prog', '')", "'prog', '')"),
        off("claim: pool", "", "claim",
            "free = math.max(math.min(free, tonumber(me[4]) - redis.call('SCARD', k_held(inc))), 0)"),
        method("worker: free slots", "", _greedy),
        off("claim: max_concurrency", "pool-respected", "claim",
            "allowed = math.min(allowed, tonumber(d.max_concurrency) - tonumber(d.running))"),
        off("claim: rate", "pool-respected", "claim", "allowed = math.min(allowed, room)"),
        off("claim: draining", "", "claim", "if me[1] ~= 'ACTIVE' then return {'draining'} end"),
        method("worker: draining", "", _claims_on),
        method("drain: bodies are waited for", "", _leaves_at_once),
        off("leave: gives back", "", "leave", "for _, id in ipairs(held) do lost(id, 'left') end"),
        off("retention: only what ended", "history-complete", "trim",
            "ipairs({'SUCCEEDED', 'FAILED', 'DEAD', 'CANCELLED', 'SKIPPED'})",
            "ipairs({'SUCCEEDED', 'FAILED', 'DEAD', 'CANCELLED', 'SKIPPED', 'READY'})"),
        off("hint: repeated by heartbeats", "", "heartbeat", "if work_waits() then tell('work') end"),
    )
}  # fmt: skip


def _pair(one: str, other: str, breaks: str, until: float = UNTIL) -> Safeguard:
    a, b = SAFEGUARDS[one], SAFEGUARDS[other]
    patches = [p for p in (a.patch, b.patch) if p is not None]

    def both(patch: pytest.MonkeyPatch) -> None:
        for each in patches:
            each(patch)

    return Safeguard(f"{one} + {other}", breaks, a.edits + b.edits, both, until)


# Neither is missed while the other is there.
PAIRS: dict[str, Safeguard] = {
    s.name: s
    for s in (
        _pair("dispatch: watermark", "dispatch: id exists", "one-execution-per-slot", until=6.1),
        _pair("release: owner", "release: owner, below", "no-stale-write"),
        _pair("claim: pool", "worker: free slots", "pool-respected", until=8),
        _pair("claim: draining", "worker: draining", "clean-drain"),
        _pair("drain: bodies are waited for", "leave: gives back", "clean-drain"),
        _pair("claim: nonce", "what the server holds is compared", "nothing-lost"),
        _pair("claim: late copy", "what the server holds is compared", "nothing-lost"),
    )
}

# The first seed of the swarm that shows each.
FIRST: dict[str, int] = {
    "finish: token": 11,
    "finish: once": 3,
    "fence write: token": 20,
    "fence write: first wins": 0,
    "dispatch: epoch": 11,
    "leader: one lease at a time": 0,
    "extend: owner": 4,
    "extend: expiry": 16,
    "acquire: taken": 4,
    "at_least_for": 2,
    "server's clock": 2,
    "token: above the last": 2,
    "event in the same step": 29,
    "trigger: id": 1,
    "join: supersedes": 3,
    "lease loss: bodies cancelled": 0,
    "lease loss: timer": 4,
    "lease loss: alarm": 0,
    "recovery: dead instances": 39,
    "recovery: hard end": 0,
    "claim: max_concurrency": 2,
    "claim: rate": 0,
    "retention: only what ended": 3,
    "dispatch: watermark + dispatch: id exists": 153,
    "release: owner + release: owner, below": 4,
    "claim: pool + worker: free slots": 0,
    "claim: draining + worker: draining": 34,
    "drain: bodies are waited for + leave: gives back": 7,
    "claim: nonce + what the server holds is compared": 7,
}
