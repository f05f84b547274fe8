"""The registry as clients see it: definitions, executions and what operators do to them.

Every method is one or two round trips on the indexes that the scripts keep; no listing scans.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from typing import Any

from . import codec, replies
from .definition import script_fields
from .errors import BacklogFull, ConfigError, UnknownExecution, UnknownTask
from .model import (
    CatchUp,
    Execution,
    InstanceInfo,
    LockInfo,
    Priority,
    State,
    Task,
    TaskInfo,
    TaskStatus,
)
from .replies import Heads, Roll
from .store import Store, pairs, text, texts

CHUNK = 1000  # executions per enqueue call: long enough to be cheap, short enough not to hold up the server
PAGE = 500
AT_ONCE = 100  # tasks decoded in one go: heartbeats go on between, however many tasks there are
MOST_LOCKS = 500
# What a listing shows of an execution.
BRIEF = ("state", "task", "slot", "created", "due", "started", "ended", "attempt", "losses", "token", "inst", "prio",
         "error", "reason", "prog", "cancel")  # fmt: skip


class Registry:
    """Reads and changes what one namespace holds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def define(self, task: Task) -> str:
        """Write a definition: "ok", "same", or "older" when a higher version is in force.

        Raises `ConfigError` when the name is taken by another handler at the same version.
        """
        reply = await self._store.call(
            "define",
            task.name,
            task.version,
            task.handler,
            codec.encode_task(task),
            task.status,
            *script_fields(task),
        )
        verdict = text(reply[0])
        if verdict == "clash":
            raise ConfigError(
                f"task {task.name!r} is defined with handler {text(reply[1])!r} already, not {task.handler!r}; "
                f"give one of them another name, or raise the version to replace it"
            )
        return verdict

    async def enqueue(
        self,
        task: str,
        items: Sequence[tuple[str, str, str]],
        *,
        source: str = "trigger",
        priority: Priority | None = None,
        at: int | None = None,
    ) -> int:
        """Make executions from (id, payload JSON, slot or ""); those whose id exists are left alone.

        Returns how many are new. Raises `UnknownTask`, `ConfigError` (DISABLED) or `BacklogFull`.
        """
        made = 0
        for first in range(0, len(items), CHUNK):
            chunk = items[first : first + CHUNK]
            flat = [value for item in chunk for value in item]
            reply = await self._store.call(
                "enqueue", task, source, priority or "", "" if at is None else at, *flat
            )
            verdict = text(reply[0])
            if verdict == "unknown":
                raise UnknownTask(f"no task {task!r} in namespace {self._store.namespace!r}")
            if verdict == "disabled":
                raise ConfigError(f"task {task!r} is DISABLED")
            if verdict == "full":
                raise BacklogFull(
                    f"task {task!r} has {int(reply[1])} executions waiting, max_backlog is {text(reply[2])}; "
                    f"{made} of {len(items)} were added"
                )
            made += int(reply[1])
        return made

    def _nonce(self) -> str:
        """Marks one call: a copy of it that is sent because the reply was lost gets the same answer."""
        return self._store.host.new_id()

    async def set_status(self, task: str, status: TaskStatus, catch_up: CatchUp = "none") -> bool:
        """Pause, resume or disable; False when it already was so. Raises `UnknownTask`."""
        verdict = text(await self._store.call("set_status", task, status, catch_up, self._nonce()))
        if verdict == "unknown":
            raise UnknownTask(f"no task {task!r} in namespace {self._store.namespace!r}")
        return verdict == "ok"

    async def cancel(self, id: str, force: bool) -> str:
        verdict = text(await self._store.call("cancel", id, "1" if force else "0", self._nonce()))
        if verdict == "unknown":
            raise UnknownExecution(f"no execution {id!r}")
        return verdict

    async def requeue(self, id: str) -> None:
        verdict = text(await self._store.call("requeue", id, self._nonce()))
        if verdict == "unknown":
            raise UnknownExecution(f"no execution {id!r}")
        if verdict != "ok":
            raise ConfigError(f"execution {id!r} is {verdict}, only FAILED and DEAD can be requeued")

    async def watch(self, id: str, box: str) -> State:
        """The state of an execution; `box` is told when it ends."""
        verdict = text(await self._store.call("watch", id, box))
        if not verdict:
            raise UnknownExecution(f"no execution {id!r}")
        return State(verdict)

    # Reading. Raw commands here are reads on the indexes, sent in one pipeline each.

    async def _read(self, *commands: tuple[Any, ...]) -> list[Any]:
        return await self._store.reads(commands)

    async def execution(self, id: str) -> Execution:
        """One execution with its log. Raises `UnknownExecution`."""
        key = self._store.key
        found, log = await self._read(("HGETALL", key("x", id)), ("LRANGE", key("log", id), 0, -1))
        if not found:
            raise UnknownExecution(f"no execution {id!r}")
        return codec.execution(id, pairs(found), texts(log))

    async def load(self, ids: Sequence[str], *, brief: bool = False) -> list[Execution]:
        """Those of `ids` that exist, in that order, without their logs; `brief`: without payload, result and earlier
        attempts too, which may be megabytes each."""
        if not brief:
            found = await self._read(*(("HGETALL", self._store.key("x", id)) for id in ids))
            return [codec.execution(id, pairs(h)) for id, h in zip(ids, found, strict=True) if h]
        rows = await self._read(*(("HMGET", self._store.key("x", id), *BRIEF) for id in ids))
        known = ({f: text(v) for f, v in zip(BRIEF, row, strict=True) if v is not None} for row in rows)
        return [codec.execution(id, h) for id, h in zip(ids, known, strict=True) if "state" in h]

    async def executions(
        self, task: str | None, state: State | None, limit: int, before: int | None, *, brief: bool = False
    ) -> list[Execution]:
        """Newest first. `before`: only those older than this (ms of creation; of the end for a terminal state)."""
        if state is State.RUNNING:
            return await self._running(task, limit, before, brief)
        index = self._store.key("state", state) if state else self._store.key("all")
        if task is not None and (state is None or state is State.SUCCEEDED):
            index = self._store.key("bytask", task)
        found: list[Execution] = []
        high, offset = "+inf" if before is None else f"({before}", 0
        while len(found) < limit:
            # With a filter that the index does not have, pages are read until enough are found.
            page = texts(
                (
                    await self._read(
                        ("ZREVRANGEBYSCORE", index, high, "-inf", "LIMIT", offset, max(limit, 100))
                    )
                )[0]
            )
            wanted = [id for id in page if task is None or replies.task_of(id) == task]
            loaded = await self.load(wanted, brief=brief)
            found += [x for x in loaded if state is None or x.state is state]
            offset += len(page)
            if len(page) < max(limit, 100):
                break
        return found[:limit]

    async def _running(
        self, task: str | None, limit: int, before: int | None, brief: bool
    ) -> list[Execution]:
        # RUNNING is indexed by the hard end; it is no longer than the pools together.
        ids = texts((await self._read(("ZRANGE", self._store.key("state", State.RUNNING), 0, -1)))[0])
        loaded = await self.load(ids, brief=brief)
        running = [x for x in loaded if x.state is State.RUNNING and task in (None, x.task)]
        younger = [x for x in running if before is None or (x.started or 0) < before]
        return heapq.nlargest(limit, younger, key=lambda x: x.started or 0)

    async def names(self) -> list[str]:
        """Of all tasks, sorted."""
        return sorted(texts((await self._read(("SMEMBERS", self._store.key("tasks"))))[0]))

    async def tasks(self) -> list[TaskInfo]:
        """All definitions, by name."""
        names = await self.names()
        found: list[TaskInfo | None] = []
        for first in range(0, len(names), AT_ONCE):
            found += await self._task_infos(names[first : first + AT_ONCE])
        return [info for info in found if info]

    async def task(self, name: str) -> TaskInfo:
        """One definition. Raises `UnknownTask`."""
        (info,) = await self._task_infos([name])
        if info is None:
            raise UnknownTask(f"no task {name!r} in namespace {self._store.namespace!r}")
        return info

    async def _task_infos(self, names: Sequence[str]) -> list[TaskInfo | None]:
        key = self._store.key
        both = await self._read(
            *(("HGETALL", key("task", name)) for name in names),
            *(("ZSCORE", key("due", ""), name) for name in names),
        )
        hashes, due = both[: len(names)], both[len(names) :]
        return [replies.task_info(pairs(h), d) if h else None for h, d in zip(hashes, due, strict=True)]

    async def instances(self) -> list[InstanceInfo]:
        """Members, by name; one whose lease is over and that nobody has recovered yet is EXPIRED."""
        clock, *roll = await self._read(("TIME",), *self._roll())
        return [info for info, _ in await self.members(replies.rolled(clock, roll))]

    def _roll(self) -> tuple[tuple[Any, ...], ...]:
        key = self._store.key
        return (
            ("HGETALL", key("names")), ("ZRANGE", key("leases"), 0, -1, "WITHSCORES"), ("HGETALL", key("leader")),
        )  # fmt: skip

    async def members(
        self, roll: Roll, only: Collection[str] | None = None, *, with_handlers: bool = True
    ) -> list[tuple[InstanceInfo, float]]:
        """Those on the roll, or `only` those incarnations of them, by name, each with the length of its lease (ms).
        Three commands for each, two without its handlers, in one pipeline."""
        key = self._store.key
        asked = [(name, inc) for name, inc in sorted(roll.names.items()) if only is None or inc in only]
        each = ("inst", "held", "handlers") if with_handlers else ("inst", "held")
        read = await self._read(
            *(("SCARD" if kind == "held" else "HGETALL", key(kind, inc)) for _, inc in asked for kind in each)
        )
        rows = zip(asked, (read[at : at + len(each)] for at in range(0, len(read), len(each))), strict=True)
        return [
            (
                replies.instance(name, inc, pairs(h), pairs(known[0]) if known else {}, held, roll),
                replies.lease_ms(pairs(h)),
            )
            for (name, inc), (h, held, *known) in rows
            if h
        ]

    async def elects(self, member: InstanceInfo) -> bool:
        """Whether a member takes part in leader election, by the settings that it joined with."""
        (facts,) = await self._read(("HGET", self._store.key("inst", str(member.incarnation)), "facts"))
        return not facts or (codec.from_json(text(facts)) or {}).get("election") is not False

    async def locks(self) -> list[LockInfo]:
        """Locks that cannot be taken now, by name."""
        key = self._store.key
        (clock,) = await self._read(("TIME",))
        now = replies.ms(clock)
        (names,) = await self._read(("ZRANGEBYSCORE", key("locks"), f"({now}", "+inf"))
        return await self.load_locks(sorted(texts(names)), now)

    async def load_locks(self, names: Sequence[str], now: int) -> list[LockInfo]:
        """Those of `names` that cannot be taken at `now` (ms). Two commands for each."""
        key = self._store.key
        read = await self._read(
            *(("HGETALL", key("lock", name)) for name in names), *(("ZCARD", key("lockq", name)) for name in names)
        )  # fmt: skip
        locks = zip(names, map(pairs, read[: len(names)]), read[len(names) :], strict=True)
        return [
            replies.lock(name, h, now, waiters) for name, h, waiters in locks if h and int(h["until"]) > now
        ]

    async def counts(self) -> dict[str, int]:
        """Totals of the namespace by kind, since its first execution."""
        (found,) = await self._read(("HGETALL", self._store.key("counts")))
        return {kind: int(value) for kind, value in pairs(found).items()}

    async def sizes(self, states: Sequence[State] = tuple(State)) -> dict[State, int]:
        """How many executions are in each of `states` now."""
        sizes = await self._read(*(("ZCARD", self._store.key("state", state)) for state in states))
        return dict(zip(states, (int(size) for size in sizes), strict=True))

    async def heads(self, waiting: Sequence[State]) -> Heads:
        """The clock, who is a member, what comes next, what runs, what is locked, and how much is `waiting`: in one
        pipeline eight commands, and one for each of `waiting`."""
        key = self._store.key
        clock, names, leases, leader, due, counts, running, locks, *sizes = await self._read(
            ("TIME",), *self._roll(), ("ZRANGE", key("due", ""), 0, -1, "WITHSCORES"), ("HGETALL", key("counts")),
            ("ZRANGE", key("state", State.RUNNING), 0, -1),
            ("ZREVRANGE", key("locks"), 0, MOST_LOCKS - 1, "WITHSCORES"),
            *(("ZCARD", key("state", state)) for state in waiting),
        )  # fmt: skip
        now = replies.ms(clock)
        return Heads(
            now=now,
            roll=replies.rolled(clock, (names, leases, leader)),
            due={text(name): int(float(score)) for name, score in replies.scores(due)},
            counts={kind: int(value) for kind, value in pairs(counts).items()},
            running=tuple(texts(running)),
            locks={
                text(name): int(float(until)) for name, until in replies.scores(locks) if float(until) > now
            },
            sizes=dict(zip(waiting, map(int, sizes), strict=True)),
        )

    async def counted(self, names: Sequence[str]) -> tuple[int, list[tuple[TaskInfo, dict[str, int]]]]:
        """The server's clock (Unix ms), and those of `names` that are there, without their next slot, with their raw
        histograms. Two commands for each, and one."""
        key = self._store.key
        clock, *read = await self._read(
            ("TIME",),
            *(("HGETALL", key("task", name)) for name in names), *(("HGETALL", key("stats", name)) for name in names)
        )  # fmt: skip
        both = zip(read[: len(names)], read[len(names) :], strict=True)
        return replies.ms(clock), [
            (replies.task_info(pairs(h), None), replies.whole(stats)) for h, stats in both if h
        ]

    async def last_ends(self, tasks: Sequence[str]) -> dict[str, State]:
        """How the newest run that is over ended, of those tasks of whose two newest one is. Three commands for each."""
        key = self._store.key
        ids = await self._read(*(("ZREVRANGE", key("bytask", task), 0, 1) for task in tasks))
        runs = [(task, id) for task, found in zip(tasks, ids, strict=True) for id in texts(found)]
        states = await self._read(*(("HGET", key("x", id), "state") for _, id in runs))
        return {
            task: State(text(state))
            for (task, _), state in reversed(list(zip(runs, states, strict=True)))  # newest last: it counts
            if state and State(text(state)).terminal
        }

    async def all_stats(self, tasks: Sequence[str]) -> list[dict[str, int]]:
        """Raw histogram fields of each task (metrics.py reads them)."""
        found: list[dict[str, int]] = []
        for first in range(0, len(tasks), AT_ONCE):
            chunk = tasks[first : first + AT_ONCE]
            read = await self._read(*(("HGETALL", self._store.key("stats", task)) for task in chunk))
            found += [replies.whole(stats) for stats in read]
        return found
