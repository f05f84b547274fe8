"""Short words to the cluster: pause, resume, disable, cancel, requeue, drain."""

from __future__ import annotations

import asyncio

import click

from ..app import Scheduler
from ..errors import ConfigError
from ..model import CatchUp
from .call import Failed, client_command
from .output import echo
from .progress import spinner
from .waiting import WAIT, duration


@client_command(short_help="No more slots of a task until resume.")
@click.argument("name")
async def pause(app: Scheduler, name: str) -> None:
    """Stop making runs for the slots of task NAME; triggers still run."""
    changed = await app.pause(name)
    echo(f"{name} is paused" if changed else f"{name} was paused already")


@client_command(short_help="Slots again.")
@click.argument("name")
@click.option(
    "--catch-up", type=click.Choice(["none", "latest", "all"]), default="none", show_default=True,
    help="What becomes of the slots missed meanwhile.",
)  # fmt: skip
async def resume(app: Scheduler, name: str, catch_up: CatchUp) -> None:
    """Let task NAME run at its slots again."""
    changed = await app.resume(name, catch_up)
    echo(f"{name} is active" if changed else f"{name} was active already")


@client_command(short_help="Neither slots nor triggers until resume.")
@click.argument("name")
async def disable(app: Scheduler, name: str) -> None:
    """Stop making runs of task NAME at all; what runs or waits already goes on."""
    changed = await app.disable(name)
    echo(f"{name} is disabled" if changed else f"{name} was disabled already")


@client_command(short_help="Cancel runs that have not ended.")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--force", is_flag=True, help="Revoke a running attempt's token: it can commit nothing more.")
async def cancel(app: Scheduler, ids: tuple[str, ...], force: bool) -> int:
    """Cancel executions: "cancelled", or "requested" for one that runs and was asked to stop.

    Exits 1 when one of them was over: "already", with the state that it ended in.
    """
    over = False
    for id in ids:
        verdict = await app.cancel(id, force)
        if verdict == "already":
            over, verdict = True, f"already {(await app.execution(id)).state}"
        echo(verdict if len(ids) == 1 else f"{id}  {verdict}")
    return 1 if over else 0


@client_command(short_help="Give FAILED or DEAD runs another life.")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
async def requeue(app: Scheduler, ids: tuple[str, ...]) -> None:
    """Put FAILED and DEAD executions back to READY. Exits 1 for one in another state."""
    for id in ids:
        try:
            await app.requeue(id)
        except ConfigError as error:
            raise Failed(str(error)) from None
        echo(f"{id} is READY")


@client_command(short_help="Ask an instance to finish what it runs and leave.")
@click.argument("instance")
@click.option("--wait", **WAIT)
async def drain(app: Scheduler, instance: str, wait: str | None) -> None:
    """Drain INSTANCE: it claims nothing more, hands back what has not begun, ends the rest, and leaves."""
    limit = duration(wait)
    alive = {i.name: i.incarnation for i in await app.instances()}
    if not await app.drain(instance):
        known = ", ".join(sorted(alive)) or "none is alive"
        raise ConfigError(f"no instance {instance!r} in namespace {app.namespace!r}: {known}")
    if wait is None:
        echo(f"{instance} was asked to leave")
        return
    with spinner(f"waiting for {instance} to leave"):
        try:
            async with asyncio.timeout(limit):
                await _until_gone(app, instance, alive.get(instance))
        except TimeoutError:
            raise TimeoutError(f"{instance} has not left within {wait}") from None
    echo(f"{instance} has left")


async def _until_gone(app: Scheduler, instance: str, incarnation: int | None) -> None:
    """Looks first and then at every event; a lost lease counts as gone too."""

    async def there() -> bool:
        return any(i.name == instance and i.incarnation == incarnation for i in await app.instances())

    events = app.events("$")
    following = asyncio.ensure_future(anext(events))
    try:
        while await there():
            await asyncio.wait((following,), timeout=1.0)
            if following.done():
                following = asyncio.ensure_future(anext(events))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
