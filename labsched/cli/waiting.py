"""`--wait`: until runs are over, with a sign of life, and what is said then."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..app import Scheduler
from ..durations import seconds
from ..model import Execution, State
from .listing import execution_row
from .look import compact
from .output import as_json, echo, note, table
from .progress import spinner

LOOK_EVERY = 0.5  # seconds between looks at progress, on a terminal only
AT_ONCE = 200  # executions waited for at the same time

# --wait alone waits for ever, --wait=30s at most so long.
WAIT: dict[str, Any] = {
    "is_flag": False, "flag_value": "", "default": None, "metavar": "[=DURATION]",
    "help": "Wait until it is over; --wait=30s waits at most so long.",
}  # fmt: skip


def duration(wait: str | None) -> float | None:
    """Seconds to wait at most; None for ever."""
    return seconds(wait, "--wait") if wait else None


async def report(app: Scheduler, ids: Sequence[str], limit: float | None, json: bool) -> int:
    """Wait for all of them, say what became of them; 0 when all SUCCEEDED."""
    ended = await _all_ended(app, ids, limit)
    bad = [x for x in ended if x.state is not State.SUCCEEDED]
    if json:
        as_json(ended)
    elif len(ended) == 1:
        _tell(ended[0])
    else:
        now = await app.now()
        if bad:
            table(
                ["EXECUTION", "STATE", "CREATED", "TOOK", ">TRY", "ON", "NOTE"],
                (execution_row(x, now) for x in bad),
            )
        counts = Counter(str(x.state) for x in ended)
        echo(", ".join(f"{n} {state}" for state, n in sorted(counts.items())))
    return 1 if bad else 0


def _tell(x: Execution) -> None:
    echo(f"{x.id}  {x.state}")
    if x.result is not None:
        echo(compact(x.result))
    if x.state is not State.SUCCEEDED:
        reason = f"{x.error.type}: {x.error.message}" if x.error else x.reason
        note(f"labsched: {x.id} is {x.state}" + (f": {reason}" if reason else ""))


async def _all_ended(app: Scheduler, ids: Sequence[str], limit: float | None) -> list[Execution]:
    done: dict[str, Execution] = {}
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(id: str) -> None:
        async with turn:
            done[id] = await app.wait(id)

    what = ids[0] if len(ids) == 1 else f"{len(ids)} runs"
    with spinner(f"waiting for {what}") as say:
        watching = asyncio.create_task(_watch(app, ids, done, say))
        try:
            async with asyncio.timeout(limit):
                await asyncio.gather(*(one(id) for id in dict.fromkeys(ids)))
        except TimeoutError:
            left = next(id for id in ids if id not in done)
            missing = len(set(ids)) - len(done)
            which = left if missing == 1 else f"{missing} of {len(ids)} runs, {left} among them,"
            raise TimeoutError(f"{which} did not end within {limit:g} s") from None
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
    return [done[id] for id in ids]


async def _watch(app: Scheduler, ids: Sequence[str], done: dict[str, Execution], say: Any) -> None:
    """Keep the line on the terminal true. Progress makes no event, so it is looked at now and then."""
    while sys.stderr.isatty():
        if len(ids) == 1:
            x = await app.execution(ids[0])
            progress = "" if x.progress is None else f", {x.progress[0]:g} of {x.progress[1]:g}"
            where = f" on {x.instance}" if x.state is State.RUNNING else ""
            say(f"{x.id} is {x.state}{where}{progress}")
        else:
            say(f"{len(done)} of {len(ids)} runs are over")
        await asyncio.sleep(LOOK_EVERY)
