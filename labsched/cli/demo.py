"""`labsched demo`: three processes share work, the leader is killed in the middle of it, they carry on."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config import Settings
from ..errors import ConfigError, LabschedError
from ..model import Event
from . import logs
from .call import Call, Failed, advised, command, run
from .check import print_report
from .output import echo, facts, fancy, note, span, utc
from .stage import Stage
from .story import Run, Story
from .up import PACKAGED_TASKS

if TYPE_CHECKING:
    from ..worlds.checks.result import Report
    from ..worlds.processes import ProcessCluster
    from ..worlds.recording import Recording

BACKUP = "data-backup"
CALM = 2.5  # seconds of ordinary life before the demo asks for backups
ASK_UNTIL = 8.0  # seconds until which the leader is given the chance to run one
BACKUP_LASTS = "4s"
TAKEOVER_WITHIN = 15.0
AGAIN_WITHIN = 15.0
# Seconds between two triggers. No simple share of a second: idle instances take turns, and in step with the
# clean-ups of each second one instance, the leader perhaps, would get those and never a backup.
ASK_EVERY = 0.7
GO_ON = 15.0  # seconds: `nothing-lost` wants 12.5 undisturbed ones before it judges what was due

WORDS = """
slot       a moment at which a task is due; the leader makes one run of it: TASK@SLOT, in Unix milliseconds
TASK~KEY   a run that somebody asked for
epoch      the number of a leadership: each new leader has a higher one, and what comes with an older is refused
"""
TOKENS = """
token      a number that grows with every grant of a lock and every try of a run
fence      refuses what comes with an older token: whoever has been replaced changes nothing any more
"""


@dataclass
class Plot:
    """What the demo did and what came of it."""

    killed: str = ""
    killed_at: float = 0.0
    held: list[str] = field(default_factory=list)
    before: Event | None = None
    after: Event | None = None
    again: dict[str, Run | None] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    skipped: int = 0


@command(short_help="See three instances lose their leader and carry on.")
@click.option(
    "--out", metavar="DIR", default="labsched-demo", show_default=True, help="For picture and recording."
)
def demo(call: Call, out: str) -> int:
    """Start three instances on an embedded server, kill the leader in mid-run, and check the guarantees.

    It asks nothing and takes less than a minute. Exits 1 when a guarantee was violated.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out!r} cannot be made: {error.strerror}") from None
    logs.set_up("ERROR")
    # Variables such as REDIS_URL are not meant for a demo: only what is typed counts.
    settings = Settings.load(call.config, env={}).replace(namespace=call.namespace or "demo")
    return run(_perform(settings, call.url or "embedded", folder))


async def _perform(settings: Settings, url: str, folder: Path) -> int:
    from ..worlds.processes import ProcessCluster

    began = asyncio.get_running_loop().time()
    note("Starting a server and three instances ...")
    cluster = ProcessCluster(3, tasks=PACKAGED_TASKS, settings=settings, url=url)
    async with contextlib.AsyncExitStack() as leaving:
        with advised(url):
            await leaving.enter_async_context(cluster)
        echo(WORDS)
        stage = Stage(cluster.names)
        # The picture counts its seconds from there too.
        zero = (await cluster.recording()).started
        story = Story(cluster.names, zero, stage.tell)
        with stage.open(story):
            async with _following(story, cluster):
                plot = await _play(cluster, story)
        rec = await cluster.recording()
    rec.save(folder / "run.json.gz")
    picture = _draw(rec, folder / "timeline.png")
    report = rec.check()
    _tell(plot, report, folder / "run.json.gz", picture)
    echo(f"\nAll of this took {asyncio.get_running_loop().time() - began:.0f} s.")
    return 0 if report.ok and plot.after is not None else 1


@contextlib.asynccontextmanager
async def _following(story: Story, cluster: ProcessCluster) -> AsyncIterator[None]:
    """From the beginning, so that the first election is part of the story."""
    task = asyncio.create_task(story.follow(cluster.app, "-"))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


# --- the play ---------------------------------------------------------------------------------------


async def _play(cluster: ProcessCluster, story: Story) -> Plot:
    plot = Plot()
    await _leader_busy(cluster, story)
    await _kill_leader(cluster, story, plot)
    await _take_over(story, plot)
    story.say(await _now(cluster), f"{plot.killed} is started again")
    await cluster.restart(plot.killed)
    await story.until(lambda: story.tallies[plot.killed].state == "alive", 10)
    story.say(await _now(cluster), f"{GO_ON:g} quiet seconds, in which nothing may go missing")
    await story.until(lambda: False, GO_ON)
    story.say(await _now(cluster), "all three are asked to stop (SIGTERM)")
    await asyncio.gather(*(cluster.terminate(name) for name in cluster.alive))
    counted = await cluster.app.metrics()
    plot.states, plot.skipped = counted.states, counted.skipped
    # The last events are on their way to the story.
    await story.until(lambda: all(t.state == "left" for t in story.tallies.values()), 2)
    return plot


async def _now(cluster: ProcessCluster) -> float:
    return await cluster.app.now() / 1000


def _busy(story: Story) -> bool:
    return story.leader is not None and bool(story.runs_on(story.leader, BACKUP))


async def _leader_busy(cluster: ProcessCluster, story: Story) -> None:
    """Until the leader runs a backup; backups are asked for, since by chance it may take half a minute."""
    await story.until(lambda: False, CALM)
    for _ in range(round((ASK_UNTIL - CALM) / ASK_EVERY)):
        if _busy(story):
            break
        await cluster.app.trigger(BACKUP, duration=BACKUP_LASTS)
        await story.until(lambda: _busy(story), ASK_EVERY)
    else:
        await story.until(lambda: any(t.running for t in story.tallies.values()), 12)
    await story.until(lambda: False, 0.7)  # let it get somewhere before it dies


async def _kill_leader(cluster: ProcessCluster, story: Story, plot: Plot) -> None:
    if story.leader is None and not await story.until(lambda: story.leader is not None, TAKEOVER_WITHIN):
        raise Failed("nobody leads: there is no leader to kill")
    assert story.leader is not None
    plot.killed, plot.before = story.leader, story.reigns[-1]
    plot.held = story.runs_on(plot.killed)
    plot.killed_at = await _now(cluster)
    await cluster.kill(plot.killed)
    story.tallies[plot.killed].state = "KILLED"
    doing = f", in the middle of {', '.join(plot.held)}" if plot.held else ""
    story.say(plot.killed_at, f"SIGKILL to {plot.killed}, the leader{doing}")


async def _take_over(story: Story, plot: Plot) -> None:
    reigns = len(story.reigns)
    if await story.until(lambda: len(story.reigns) > reigns, TAKEOVER_WITHIN):
        plot.after = story.reigns[reigns]

    def run_again() -> bool:
        return all(x in story.over or story.again(x, plot.killed, plot.killed_at) for x in plot.held)

    await story.until(run_again, AGAIN_WITHIN)
    plot.again = {x: story.again(x, plot.killed, plot.killed_at) for x in plot.held}


# --- the end ----------------------------------------------------------------------------------------


def _draw(rec: Recording, path: Path) -> str:
    """Where the picture is, or why there is none."""
    try:
        lab: Any = importlib.import_module("labsched.lab")
        lab.timeline(rec).savefig(path)
    except ImportError as error:
        return f'none: {error} (pip install "labsched[lab]")'
    except LabschedError as error:
        return f"none: {error}"
    return str(path)


def _tell(plot: Plot, report: Report, recording: Path, picture: str) -> None:
    echo("\nWhat happened\n" if not fancy() else click.style("\nWhat happened\n", bold=True))
    facts(_happened(plot))
    echo("\nWhat was promised" if not fancy() else click.style("\nWhat was promised", bold=True))
    echo(TOKENS)
    print_report(report)
    echo(f"\n{_verdict(report)}\n")
    facts([("timeline", picture), ("recording", f"{recording}   (labsched check {recording})")])


def _verdict(report: Report) -> str:
    """In one sentence, and without claiming anything for what had no chance to go wrong."""
    if not report.ok:
        return f"{len(report.violations)} times a guarantee was violated"
    held = [result for result in report if result.status == "held"]
    idle = [result.id for result in report if result.status != "held"]
    times = sum(result.tested for result in held)
    said = f"{len(held)} of {len(report)} guarantees were put to the test, {times} times in all, and held"
    return said + (f"\nnot put to the test in this run: {', '.join(idle)}" if idle else "")


def _happened(plot: Plot) -> Iterator[tuple[str, str]]:
    first = plot.before.instance if plot.before else "nobody"
    yield "led", f"{first}, epoch #1"
    busy = f", while it was running {', '.join(plot.held)}" if plot.held else ""
    yield "killed", f"{plot.killed}, by SIGKILL at {utc(round(plot.killed_at * 1000), millis=True)}{busy}"
    if plot.after is None:
        yield "taken over", f"by nobody within {TAKEOVER_WITHIN:g} s"
    else:
        yield (
            "taken over",
            f"by {plot.after.instance}, epoch #2, after {span(plot.after.at - plot.killed_at)}",
        )
    for execution, at in plot.again.items():
        said = (
            f"on {at.instance} after {span(at.at - plot.killed_at)}, try {at.attempt}"
            if at
            else "not needed: it had ended"
        )
        yield "run again", f"{execution} {said}"
    yield "executions", ", ".join(f"{n} {state}" for state, n in plot.states.items() if n) or "none"
    if plot.skipped:
        yield (
            "slots skipped",
            f"{plot.skipped}, by policy: a run of the same task was waiting or not over",
        )
