"""`labsched up`: a server and n instances, left running until Ctrl-C."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..app import Scheduler
from ..connect import hide_password
from ..errors import Unreachable
from ..model import Kind
from ..serving import stopping
from . import logs
from .call import Call, Failed, advised, command, run
from .dashboard import INSTALL, TOKEN, dashboard, given_token, made_token, missing
from .events import line
from .output import echo, note
from .usercode import add_tasks, in_force, load_app

if TYPE_CHECKING:
    from ..web import Web
    from ..worlds.processes import ProcessCluster

PACKAGED_TASKS = Path(__file__).resolve().parents[1] / "tasks.yml"
# What is printed while it runs: the cluster's own life, and runs that went wrong.
TOLD = frozenset(
    {
        Kind.INSTANCE_JOINED, Kind.INSTANCE_DRAINING, Kind.INSTANCE_LEFT, Kind.INSTANCE_LOST,
        Kind.LEADER_ELECTED, Kind.LEADER_RESIGNED, Kind.LOST, Kind.FAILED, Kind.DEAD,
        Kind.TASK_PAUSED, Kind.TASK_RESUMED,
    }
)  # fmt: skip
LOOK_EVERY = 0.5  # seconds between looks for instances that ended: their end writes no event


@command(short_help="A server and N instances, left running until Ctrl-C.")
@click.option("-n", "--instances", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--tasks", metavar="FILE", help="Tasks as YAML; by default the samples.")
@click.option("--app", metavar="MODULE:ATTR", help="The Scheduler of your code; FILE.py:ATTR works too.")
@click.option("--data-dir", metavar="DIR", help="Keep the embedded server's data here.")
@click.option("--show-password", is_flag=True, help="Print the server's URL with its password.")
def up(
    call: Call, instances: int, tasks: str | None, app: str | None, data_dir: str | None, show_password: bool
) -> int | None:
    """Start a cluster of N instances as processes of their own, and drain it on Ctrl-C or SIGTERM.

    The server is the embedded one unless --url or the settings name another.
    """
    from ..worlds.processes import ProcessCluster

    logs.set_up("DEBUG" if call.verbose else "ERROR")
    settings = call.settings
    if tasks is None and app is None and not settings.tasks:
        tasks = str(PACKAGED_TASKS)
    code = _loaded(app, tasks or settings.tasks or None)
    if app is not None:
        own = {"redis_url": settings.redis_url, "tasks": settings.tasks}
        settings = in_force(code, call, settings).replace(**own)
    cluster = ProcessCluster(
        instances, tasks=tasks, app=app, settings=settings, url=settings.redis_url, data_dir=data_dir
    )
    return run(_serve(cluster, show_password, _again(call, cluster, tasks, app)))


def _loaded(app: str | None, tasks: str | None) -> Scheduler:
    """What the instances will load: a mistake in it is told in one line, before anything is started."""
    code = Scheduler() if app is None else load_app(app)
    add_tasks(code, tasks)
    return code


def _again(call: Call, cluster: ProcessCluster, tasks: str | None, app: str | None) -> str:
    """The words, less the name, that start one of these instances by hand.

    All of them, though much may be the default: an instance without --app would define the samples here for good,
    and one without --url go to the server that the code names.
    """
    words = ["labsched", "instance", "--namespace", cluster.namespace]
    words += ["--url", "embedded" if cluster.server else hide_password(cluster.url)]
    words += [] if call.config is None else ["--config", call.config]
    words += [] if tasks is None or tasks == str(PACKAGED_TASKS) else ["--tasks", tasks]
    words += [] if app is None else ["--app", app]
    return shlex.join(words)


async def _serve(cluster: ProcessCluster, show_password: bool, again: str) -> int:
    current = asyncio.current_task()
    assert current is not None

    def insisted(name: str) -> None:
        note(f"{name} again: killing what is left ...")
        current.cancel()

    try:
        with stopping(lambda name: None, insisted) as stop:
            return await _until_stopped(cluster, stop, show_password, again)
    except asyncio.CancelledError:
        raise Failed("ended without draining") from None


async def _until_stopped(
    cluster: ProcessCluster, stop: asyncio.Event, show_password: bool, again: str
) -> int:
    note(f"starting {len(cluster.names)} instances ...")
    entering = asyncio.ensure_future(cluster.__aenter__())
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((entering, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not entering.done():
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)
        return 0
    with advised(cluster.url):
        await entering
    try:
        names = [info.name for info in await cluster.app.tasks()]
        token = given_token() or made_token()
        async with dashboard(cluster.app, token=token) as web:
            _show(web, token)
            _greet(
                cluster, show_password, "data-backup" if "data-backup" in names else next(iter(names), "NAME")
            )
            await _watch(cluster, stopped, again)
        note(f"draining (at most {cluster.settings.drain_timeout:g} s), once more kills ...")
    finally:
        stopped.cancel()
        await cluster.__aexit__(None, None, None)
    note("stopped")
    return 0


def _show(web: Web | None, token: str) -> None:
    if web is not None:
        echo(f"dashboard  {web.dashboard}")
        # One that was set is known already, and what is printed may be kept.
        shown = f"as in {TOKEN}" if given_token() else token
        echo(f"token      {shown}  (the dashboard asks for it when you steer)")
    elif missing():
        echo(f"dashboard  none: {INSTALL} brings it")


def _greet(cluster: ProcessCluster, show_password: bool, task: str) -> None:
    url = cluster.url if show_password else hide_password(cluster.url)
    pids = ", ".join(f"{name} (pid {pid})" for name, pid in cluster.pids.items())
    echo(f"server     {url}" + ("  (embedded; gone when this ends)" if cluster.server else ""))
    echo(f"namespace  {cluster.namespace}")
    echo(f"instances  {pids}")
    there = "" if cluster.server else f" --url {hide_password(cluster.url)}"
    space = "" if cluster.server or cluster.namespace == "labsched" else f" --namespace {cluster.namespace}"
    echo("\nIn another terminal" + (", in this folder:" if cluster.server else ":"))
    for words, what in (
        ("tasks", "what runs, and when next"),
        ("executions", "what ran"),
        ("events --follow", "everything, as it happens"),
        (f"trigger {task} --wait", "run something now"),
        ("doctor", "what is wrong, and what to do"),
    ):
        echo(f"  labsched {words}{there}{space}".ljust(44) + f"  # {what}")
    echo(f"  kill -9 {next(iter(cluster.pids.values()), 0)}".ljust(44) + "  # and see who takes over")
    echo("\nCtrl-C drains and stops everything.\n")


async def _watch(cluster: ProcessCluster, stopped: asyncio.Future[Any], again: str) -> None:
    """Print what happens until a signal comes. Raises `Unreachable` when the embedded server has ended."""
    telling = asyncio.create_task(_tell(cluster))
    alive = set(cluster.alive)
    try:
        while not stopped.done():
            await asyncio.wait((stopped, telling), timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                await telling
            for name in sorted(alive - set(cluster.alive)):
                echo(f"{name} has ended: `{again} --name {name}` starts it again")
            alive = set(cluster.alive)
            if cluster.server is not None and not cluster.server.running:
                raise Unreachable("the embedded server has ended")
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(cluster: ProcessCluster) -> None:
    async for event in cluster.app.events("$"):
        if event.kind in TOLD:
            echo(line(event))
