"""A platform that stops processes: SIGTERM, and SIGKILL some seconds later, on virtual time."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from labsched import Scheduler, Settings, manual
from labsched.context import Context
from labsched.worlds.recording import Recording
from labsched.worlds.simulated.simulation import Simulation

YAML = """\
scheduler:
  namespace: shop
  pool-size: 2
  leader-election: {lease: 2500ms, renew-deadline: 1500ms, retry: 400ms}
  instance: {lease: 2500ms, heartbeat: 400ms, lease-margin: 800ms, sweep-every: 400ms, drain-timeout: 45s}
"""
GRACE = 20.0  # seconds from SIGTERM to SIGKILL
LONGEST = 12.0  # seconds that the longest letter takes


class Stopped(NamedTuple):
    """What became of the instance that had the work when SIGTERM came. Times are seconds after it."""

    state: str
    attempts: int
    cut: bool  # the first attempt did not end by itself
    left: float | None  # when it was out, None when SIGKILL came first
    recording: Recording


def settings(env: Mapping[str, str]) -> Settings:
    """Those of a process that finds `shop.yml` and these variables. ConfigError for what cannot be."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shop.yml"
        path.write_text(YAML, encoding="utf-8")
        return Settings.load(path, env)


def stopped(found: Settings, seconds: float) -> Stopped:
    """A letter that takes `seconds` has just begun on one of two instances; the platform stops that one."""

    async def letter(ctx: Context) -> None:
        await ctx.work(seconds)

    app = Scheduler("fake", settings=found)
    app.add("letter", manual(), letter)
    with Simulation(2, seed=17, app=app, messages=False) as sim:
        sim.run(until=2)
        execution = sim.call(lambda app: app.trigger("letter"))
        sim.run(until=2.5)
        holder = sim.peek(lambda app: app.execution(execution)).instance or "i1"
        sim.terminate(holder)
        sim.advance(2.5 + GRACE)
        left = holder not in sim.alive
        if not left:
            sim.kill(holder)
        rec = sim.run(until=2.5 + GRACE + 8)
    run, first = rec.executions.iloc[0], rec.attempts[:1]
    gone = rec.events[(rec.events.kind == "INSTANCE_LEFT") & (rec.events.instance == holder)].t
    return Stopped(
        str(run.state),
        int(run.attempts),
        bool(len(first)) and str(first.outcome.iloc[0]) != "SUCCEEDED",
        float(gone.iloc[0]) - 2.5 if left and len(gone) else None,
        rec,
    )
