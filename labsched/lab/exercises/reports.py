"""A report written under a lock by two machines, a and b: what notebook 05 pauses, breaks and mends.

The lock is SET NX PX, renewed in the background while the holder works; its token is a counter. Everything is told as
events, so that `check()` and the pictures know what happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from labsched.model import Kind
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.clocks import EPOCH
from labsched.worlds.simulated.guest import Machine

from ..zoo.stage import TASK, Chronicle, Exhibit

REPORT, LOCK, TOKENS = "report", "lock:report", "tokens"
EXECUTION = f"{TASK}~report"
_BEFORE = 2  # tokens that the machines have from joining

Write = Callable[[Any, str, int, str], Awaitable[bool]]

# Scripts: each is one step on the server. Whoever takes the lock may raise the store's fence in that step.
TAKE = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
local token = redis.call('INCR', KEYS[2])
if ARGV[3] == 'raise' then redis.call('SET', KEYS[3] .. ':fence', token) end
return token"""
RENEW = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0"
FENCED = """
if ARGV[1] + 0 < tonumber(redis.call('GET', KEYS[1] .. ':fence') or 0) then return 0 end
redis.call('SET', KEYS[1] .. ':fence', ARGV[1])
redis.call('SET', KEYS[1], ARGV[2])
return 1"""


async def plain_write(redis: Any, name: str, token: int, value: str) -> bool:
    """No question, no comparison."""
    await redis.set(name, value)
    return True


async def fenced_write(redis: Any, name: str, token: int, value: str) -> bool:
    """Refused when somebody with a newer token has written, or has raised the fence. One step on the server."""
    return bool(await redis.eval(FENCED, 1, name, token, value))


@dataclass(frozen=True)
class Report:
    """One telling of the story. All times in seconds: `lasts` is the lock's life, `renew` the pause between renewals,
    `work` what the report takes; b asks for the lock from 2 s on, again after each `poll`.

    `raises`: whoever gets the lock raises the store's fence to its token, in one step with the token.
    """

    write: Write = plain_write
    lasts: float = 10.0
    renew: float = 3.0
    work: float = 2.5
    poll: float = 1.0
    raises: bool = False

    def run(
        self, pause: float = 0.0, length: float = 0.0, *, kill: float = 0.0, until: float = 30.0
    ) -> Recording:
        """a is paused at `pause` for `length`, or killed at `kill`; 0 leaves it alone."""

        def faults(sim: Any) -> None:
            if length:
                sim.at(pause).pause("a").at(pause + length).resume("a")
            if kill:
                sim.at(kill).kill("a")

        story = Exhibit("report", "", "", "", "no-stale-write", self.program, faults)
        return story.run(seed=5, until=until)

    async def program(self, machine: Machine, told: Chronicle) -> None:
        await machine.sleep(1.0 if machine.name == "a" else 1.5)
        token = await self._take(machine, told)
        if token is None:
            return
        renewing = asyncio.create_task(self._keep(machine, told, token))
        await machine.sleep(self.work)
        accepted = await self.write(machine.redis, REPORT, token, f"by {machine.name}")
        _tell_write(told, machine.name, token, accepted)
        renewing.cancel()
        await self._free(machine, told, token)

    async def _free(self, machine: Machine, told: Chronicle, token: int) -> None:
        """Delete the lock, unless it has become somebody else's: notebook 04 says why, and how to do it in one step."""
        if await machine.redis.get(LOCK) == machine.name.encode():
            await machine.redis.delete(LOCK)
            told.committed(EXECUTION, token, machine.name)
            told.tell("LOCK_RELEASED", **_LOCKED, token=token, instance=machine.name, until=_ms(machine))

    async def _take(self, machine: Machine, told: Chronicle) -> int | None:
        redis: Any = machine.redis
        await redis.set(TOKENS, _BEFORE, nx=True)
        ms, raised = round(self.lasts * 1000), "raise" if self.raises else ""
        until = _ms(machine, self.lasts)
        while not (token := await redis.eval(TAKE, 3, LOCK, TOKENS, REPORT, machine.name, ms, raised)):
            await machine.sleep(self.poll)
            if any(event.kind == Kind.SUCCEEDED for event in told.events):
                return None  # the report is there
            until = _ms(machine, self.lasts)
        attempt = 1 if machine.name == "a" else 2
        if attempt == 2:  # what the end of a lock says of its holder
            told.tell(
                "LOST",
                task=TASK,
                execution=EXECUTION,
                token=token - 1,
                instance="a",
                reason="hard-end",
                losses=1,
            )
        again = {"source": "trigger"} if attempt == 1 else {"source": "lost"}
        told.tell("READY", task=TASK, execution=EXECUTION, slot=None, **again)
        told.tell("RUNNING", task=TASK, execution=EXECUTION, attempt=attempt, token=token, instance=machine.name,
                  until=_ms(machine, 1800), late_ms=0)  # fmt: skip
        told.tell("LOCK_ACQUIRED", **_LOCKED, token=token, instance=machine.name, until=until, least_until=0)
        return int(token)

    async def _keep(self, machine: Machine, told: Chronicle, token: int) -> None:
        """Renew for as long as it is ours. When it no longer is, nobody is told: the work goes on, as in the thread."""
        redis: Any = machine.redis
        while True:
            await machine.sleep(self.renew)
            until = _ms(machine, self.lasts)
            if await redis.eval(RENEW, 1, LOCK, machine.name, round(self.lasts * 1000)):
                told.tell("LOCK_EXTENDED", token=token, instance=machine.name, lock=LOCK, until=until)


_LOCKED: dict[str, Any] = {"task": TASK, "execution": EXECUTION, "lock": LOCK}


def _tell_write(told: Chronicle, name: str, token: int, accepted: bool) -> None:
    if accepted:
        told.wrote(EXECUTION, token, name, REPORT)
    else:
        told.tell("REFUSED", token=token, instance=name, execution=EXECUTION, what="fence", why="token")


def _ms(machine: Machine, more: float = 0.0) -> int:
    return round((machine.now() + more) * 1000)


def story(rec: Recording) -> str:
    """What happened, numbered, for people: who took, renewed, freed, wrote, and when."""
    said = {
        "LOCK_ACQUIRED": "takes the lock", "LOCK_EXTENDED": "renews the lock", "LOCK_RELEASED": "frees the lock",
        "FENCE_WRITTEN": "writes the report", "REFUSED": "is refused by the store",
    }  # fmt: skip
    rows = [
        (e.at - EPOCH, f"{e.instance} {said[e.kind]} (#{e.token})") for e in rec.history if e.kind in said
    ]
    ends = {"pause": "is paused", "resume": "wakes up", "kill": "is killed"}
    rows += [(fault["t"], f"{fault['target']} {ends[fault['kind']]}") for fault in rec.fault_log]
    rows.sort(key=lambda row: row[0])
    return "\n".join(f"{n:>2}  {t:5.1f} s  {what}" for n, (t, what) in enumerate(rows, 1))
