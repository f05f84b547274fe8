"""What must hold after every atomic step: indexes, counters and history all tell what the hashes tell.

`violations` compares them on one consistent dump and returns what is wrong, in sentences.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import redis.asyncio as aioredis

from labsched.model import TRANSITIONS, State
from labsched.store import CATALOGUE, text

_DUMP = """
local out = {}
local read = {hash = {'HGETALL'}, zset = {'ZRANGE', 0, -1, 'WITHSCORES'}, set = {'SMEMBERS'}, list = {'LRANGE', 0, -1},
  string = {'GET'}, stream = {'XRANGE', '-', '+'}}
for i, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local kind = redis.call('TYPE', key)['ok']
  local c = read[kind]
  out[i] = {key, kind, redis.call('PTTL', key), redis.call(c[1], key, unpack(c, 2))}
end
local clock = redis.call('TIME')
return {clock[1] .. '', clock[2] .. '', out}
"""

STATES = {str(state) for state in State}
WAITING = {"READY", "RETRYING", "BUFFERED"}
ACTIVE = {"READY", "RUNNING", "RETRYING"}
_INTEGERS = re.compile(r"-?\d+")


# The first word of a key -> its name in the catalogue, and how many arguments follow.
_HEADS = {pattern.partition(":")[0]: (name, pattern.count("{}")) for name, (pattern, _) in CATALOGUE.items()}
assert len(_HEADS) == len(CATALOGUE)


def _split(key: str) -> tuple[str, tuple[str, ...]]:
    """A key as its name in the catalogue ('' for none) and its arguments; only the last may hold a colon."""
    head, colon, rest = key.partition(":")
    name, arguments = _HEADS.get(head, ("", 0))
    if bool(colon) != bool(arguments):
        return "", ()
    return name, tuple(rest.split(":", arguments - 1)) if arguments else ()


class Dump:
    """Everything under one namespace at one instant; `keys` maps the key without prefix to (type, content)."""

    def __init__(self, now: int, keys: dict[str, tuple[str, Any]], forever: set[str]) -> None:
        self.now, self.keys, self.forever = now, keys, forever
        self._of: dict[str, dict[tuple[str, ...], Any]] = {}
        for key, (_, content) in keys.items():
            name, arguments = _split(key)
            self._of.setdefault(name, {})[arguments] = content
        self.executions: dict[str, dict[str, str]] = {id: h for (id,), h in self.of("x").items()}

    def of(self, name: str) -> dict[tuple[str, ...], Any]:
        """Contents of all keys of one kind of the catalogue, by their arguments."""
        return self._of.get(name, {})

    def one(self, key: str, default: Any) -> Any:
        return self.keys.get(key, ("", default))[1]

    @functools.cached_property
    def events(self) -> list[dict[str, Any]]:
        rows = []
        for id, flat in self.one("events", []):
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            rows.append({**fields, "id": id, "data": json.loads(fields["data"])})
        return rows


async def take_dump(redis: aioredis.Redis, prefix: str) -> Dump:
    seconds, micros, rows = await redis.execute_command("EVAL", _DUMP, 0, prefix + "*")
    keys, forever = {}, set()
    for key, kind, ttl, content in rows:
        name, sort = text(key)[len(prefix) :], text(kind)
        keys[name] = (sort, _content(sort, content))
        if int(ttl) < 0:
            forever.add(name)
    return Dump(int(seconds) * 1000 + int(micros) // 1000, keys, forever)


def _content(kind: str, raw: Any) -> Any:
    if kind == "string":
        return text(raw)
    if kind == "stream":
        return [(text(id), [text(v) for v in flat]) for id, flat in raw]
    values = [text(v) for v in raw]
    if kind == "hash":
        return dict(zip(values[::2], values[1::2], strict=True))
    if kind == "zset":
        return {member: float(score) for member, score in zip(values[::2], values[1::2], strict=True)}
    return set(values) if kind == "set" else values


def violations(d: Dump) -> list[str]:
    """What is wrong, [] when nothing is."""
    checks = (
        _catalogue, _states, _queues, _timers, _counters, _members, _running, _locks, _definitions, _history,
        _totals, _numbers,
    )  # fmt: skip
    return [f"{check.__name__[1:]}: {said}" for check in checks for said in check(d)]


def _same(what: str, found: Any, expected: Any) -> Iterator[str]:
    if found != expected:
        yield f"{what} is {found!r}, expected {expected!r}"


def _catalogue(d: Dump) -> Iterator[str]:
    for key, (sort, _) in d.keys.items():
        name = _split(key)[0]
        if not name:
            yield f"{key} is no key of the catalogue"
        elif sort != CATALOGUE[name][1]:
            yield f"{key} is a {sort}, expected {CATALOGUE[name][1]}"
    for name in ("log", "fence"):
        for (id,) in d.of(name):
            if id not in d.executions:
                yield f"{name}:{id} belongs to no execution"
    alive = d.one("leases", {})
    for (box,) in d.of("box"):
        if box not in alive and f"box:{box}" in d.forever:
            yield f"box:{box} would stay for ever"
    for name in ("lock", "lockq", "waiter"):
        for parts in d.of(name):
            if f"{name}:{parts[0]}" in d.forever:
                yield f"{name}:{parts[0]} would stay for ever"


def _by_state(d: Dump, *states: str) -> dict[str, dict[str, str]]:
    return {id: h for id, h in d.executions.items() if h["state"] in states}


def _states(d: Dump) -> Iterator[str]:
    for state in STATES:
        yield from _same(f"state:{state}", set(d.one(f"state:{state}", {})), set(_by_state(d, state)))
    yield from _same("all", d.one("all", {}), {id: float(h["created"]) for id, h in d.executions.items()})
    for task in {h["task"] for h in d.executions.values()} | {t for (t,) in d.of("bytask")}:
        mine = {id: float(h["created"]) for id, h in d.executions.items() if h["task"] == task}
        yield from _same(f"bytask:{task}", d.one(f"bytask:{task}", {}), mine)
    for id, h in d.executions.items():
        if h["state"] not in STATES:
            yield f"{id} is in state {h['state']!r}"
        if State(h["state"]).terminal != bool(h.get("ended")):
            yield f"{id} is {h['state']} and ended at {h.get('ended')!r}"


def _queues(d: Dump) -> Iterator[str]:
    queued: dict[tuple[str, str], set[str]] = {}
    for id, h in _by_state(d, "READY").items():
        queued.setdefault((h["prio"], h["task"]), set()).add(id)
    yield from _same("ready", {k: set(v) for k, v in d.of("ready").items()}, queued)
    for priority in ("high", "normal", "low"):
        expected = {task for p, task in queued if p == priority}
        yield from _same(f"turn:{priority}", set(d.one(f"turn:{priority}", {})), expected)


def _timers(d: Dump) -> Iterator[str]:
    waiting = {
        id for id, h in _by_state(d, "RETRYING", "BUFFERED").items()
        if h["state"] == "RETRYING" or h.get("reason") != "overlap"
    }  # fmt: skip
    yield from _same("timers", set(d.one("timers", {})), waiting)


def _counters(d: Dump) -> Iterator[str]:
    for (task,), h in d.of("task").items():
        mine = [x for x in d.executions.values() if x["task"] == task]
        count = Counter(x["state"] for x in mine)
        yield from _same(f"{task}.running", int(h["running"]), count["RUNNING"])
        yield from _same(f"{task}.backlog", int(h["backlog"]), sum(count[s] for s in WAITING))
        turns = sum(x.get("turn") == "1" and x["state"] in ACTIVE for x in mine)
        yield from _same(f"{task}.slots", int(h["slots"]), turns)
        held = [
            id
            for id, x in _by_state(d, "BUFFERED").items()
            if x["task"] == task and x.get("reason") == "overlap"
        ]
        yield from _same(f"{task}.buffered", [h["buffered"]] if h.get("buffered") else [], held)


def _members(d: Dump) -> Iterator[str]:
    leases = set(d.one("leases", {}))
    yield from _same("names", set(d.one("names", {}).values()), leases)
    yield from _same("inst", {inc for (inc,) in d.of("inst")}, leases)
    for name in ("handlers", "held"):
        if strays := {inc for (inc,) in d.of(name)} - leases:
            yield f"{name} is left of {strays}"
    if strays := set(d.one("idle", {})) - leases:
        yield f"idle holds {strays}, which have no lease"
    for (inc,), h in d.of("inst").items():
        yield from _same(f"names[{h['name']}]", d.one("names", {}).get(h["name"]), inc)
        if h["state"] == "DRAINING" and inc in d.one("idle", {}):
            yield f"{inc} drains and is among the idle"
    scopes = {h["scope"] for h in d.of("inst").values() if h["scope"]}
    yield from _same("scopes", d.one("scopes", set()), scopes)
    if strays := {scope for (scope,) in d.of("due")} - scopes - {""}:
        yield f"due is left of {strays}"


def _running(d: Dump) -> Iterator[str]:
    held: dict[tuple[str, ...], set[str]] = {}
    tokens: Counter[str] = Counter()
    for id, h in _by_state(d, "RUNNING").items():
        held.setdefault((h["inc"],), set()).add(id)
        tokens[h["token"]] += 1
        if not h["token"] or int(h["attempt"]) < 1:
            yield f"{id} runs with token {h['token']!r} as attempt {h['attempt']}"
        yield from _same(f"hard end of {id}", d.one("state:RUNNING", {}).get(id), float(h["until"]))
    yield from _same("held", d.of("held"), held)
    if doubled := [token for token, n in tokens.items() if n > 1]:
        yield f"tokens {doubled} run twice"
    last = int(d.one("token", "0"))
    for id, h in d.executions.items():
        if h.get("token") and int(h["token"]) > last:
            yield f"{id} has token {h['token']}, but the last one handed out is {last}"
        # After a backoff the token of the failed attempt stays, so that its finish may still be repeated.
        if h["state"] == "READY" and h.get("token") and h["fails"] == "0":
            yield f"{id} is READY and still has token {h['token']}"


def _locks(d: Dump) -> Iterator[str]:
    for id, h in _by_state(d, "RUNNING").items():
        if h.get("lock") != "1" or int(h["until"]) <= d.now:
            continue
        lock = d.one(f"lock:task:{h['task']}", {})
        yield from _same(f"lock of {id}", (lock.get("token"), lock.get("released")), (h["token"], "0"))
    for (name,), lock in d.of("lock").items():
        free_at = max(int(lock["until"]), int(lock["least"]))
        if lock["released"] == "0" and free_at > d.now:
            yield from _same(f"locks[{name}]", d.one("locks", {}).get(name), float(free_at))


def _definitions(d: Dump) -> Iterator[str]:
    names = {task for (task,) in d.of("task")}
    yield from _same("tasks", d.one("tasks", set()), names)
    active = {task for (task,), h in d.of("task").items() if h["status"] == "ACTIVE"}
    for (scope,), due in d.of("due").items():
        if strays := set(due) - active:
            yield f"due:{scope} holds {strays}, which are not ACTIVE"


def _history(d: Dump) -> Iterator[str]:
    """Each execution's events walk the table and end where its record is; tokens of attempts grow."""
    trimmed = "trimmed" in d.one("meta", {})
    states: dict[str, str] = {}
    running: dict[str, str] = {}
    forgotten, last = False, 0
    for e in d.events:
        forgotten = forgotten or e["kind"] == "FORGOTTEN"
        if e["kind"] in ("LEADER_ELECTED", "RUNNING", "INSTANCE_JOINED"):
            token = int(e["epoch"] or e["token"])
            if token <= last:
                yield f"{e['kind']} of {e['execution']} has token {token}, not above {last}"
            last = token
        id = e["execution"]
        if e["kind"] not in STATES or not id:
            continue
        was = states.get(id, "")
        again = forgotten and State(was).terminal if was else False
        if not (was == "" and trimmed) and e["kind"] not in TRANSITIONS["" if again else was]:
            yield f"{id} went from {was!r} to {e['kind']}"
        if was == "RUNNING" and e["kind"] != "CANCELLED" and e["token"] not in ("", running[id]):
            yield f"{id} became {e['kind']} by token {e['token']}, but {running[id]} ran"
        if e["kind"] == "RUNNING":
            running[id] = e["token"]
        states[id] = e["kind"]
    for id, h in d.executions.items():
        if not (trimmed and id not in states):
            yield from _same(f"history of {id}", states.get(id), h["state"])
        if h["state"] == "RUNNING":
            yield from _same(f"token of {id} in its history", running.get(id), h["token"])
    for id, state in states.items():
        if id not in d.executions and state != "SKIPPED" and not forgotten:
            yield f"{id} is in the history as {state} and nowhere else"


def _totals(d: Dump) -> Iterator[str]:
    if "trimmed" in d.one("meta", {}):
        return
    told: Counter[str] = Counter()
    by_task: Counter[tuple[str, str]] = Counter()
    seen: set[str] = set()
    for e in d.events:
        n = e["data"].get("count") or 1 if e["kind"] == "SKIPPED" else 1
        told[e["kind"]] += n
        by_task[e["task"], e["kind"]] += n
        if e["kind"] in ("READY", "BUFFERED") and "due" in e["data"]:
            told["CREATED"] += 1
            seen.add(e["execution"])
    counts = d.one("counts", {})
    for kind in (
        "SUCCEEDED",
        "FAILED",
        "DEAD",
        "CANCELLED",
        "SKIPPED",
        "LOST",
        "REFUSED",
        "CREATED",
        "LOCK_ACQUIRED",
    ):
        yield from _same(f"counts.{kind}", int(counts.get(kind, "0")), told[kind])
    for (task,), h in d.of("task").items():
        for kind in ("SUCCEEDED", "FAILED", "DEAD", "CANCELLED", "SKIPPED", "LOST", "RETRYING"):
            yield from _same(f"{task}.n:{kind}", int(h.get(f"n:{kind}", "0")), by_task[task, kind])


_WHOLE = ("created", "due", "started", "ended", "until", "token", "attempt", "losses", "fails", "slot")


def _numbers(d: Dump) -> Iterator[str]:
    """No number was written the way Lua's tostring would."""
    for id, h in d.executions.items():
        for name in _WHOLE:
            if h.get(name) and not _INTEGERS.fullmatch(h[name]):
                yield f"{id}.{name} is {h[name]!r}"
