"""`labsched instance`: this process is one member of a cluster, until SIGTERM.

Nothing heavy may be imported here: an instance stays under 60 MiB.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from ..app import Scheduler
from ..clock import Host
from ..config import Settings
from ..errors import ConfigError
from ..handle import check_word
from ..serving import end_process
from . import logs
from .call import Call, command, run
from .dashboard import dashboard, given_token
from .usercode import add_tasks, adopt, load_app

log = logging.getLogger("labsched")


@command(short_help="Run one member of a cluster, until SIGTERM.")
@click.option("--name", metavar="NAME", help="Its name in the cluster, unique; by default one is made.")
@click.option("--tasks", metavar="FILE", help="Tasks as YAML, for handlers of --app or of the samples.")
@click.option("--app", metavar="MODULE:ATTR", help="The Scheduler of your code; FILE.py:ATTR works too.")
@click.option("--journal", metavar="FILE", help="Append what this process alone knows, as JSON lines.")
@click.option("--pool-size", type=click.IntRange(1, 10_000), metavar="N", help="Attempts to run at once.")
@click.option("--no-web", is_flag=True, help="No dashboard.")
def instance(
    call: Call,
    name: str | None,
    tasks: str | None,
    app: str | None,
    journal: str | None,
    pool_size: int | None,
    no_web: bool,
) -> int | None:
    """Join the cluster under NAME and run its tasks, until SIGTERM or Ctrl-C; then drain.

    Draining means: step down, claim nothing more, hand back what has not begun, give the rest
    drain-timeout to end, leave. A second signal ends the process at once, with exit code 1.

    Without --app and --tasks it runs the sample tasks. A server that is not there is waited for.
    """
    changes: dict[str, Any] = {} if pool_size is None else {"pool_size": pool_size}
    if no_web:
        changes["web_enabled"] = False
    settings = call.settings.replace(**changes)
    away = logs.set_up("DEBUG" if call.verbose else settings.log_level)
    host = Host(journal=_journal(journal, away))
    if app is None:
        scheduler = _samples(call, settings, host, tasks)
    else:
        scheduler = adopt(load_app(app), call, settings, host)
        add_tasks(scheduler, tasks or settings.tasks or None)
    name = name or scheduler.own_name()
    check_word("instance name", name)
    run(_serve(scheduler, name))
    end_process()
    return 0


async def _serve(scheduler: Scheduler, name: str) -> None:
    async with dashboard(scheduler, name=name, token=given_token()) as web:
        if web is not None:
            log.info("dashboard at %s", web.dashboard)
        await scheduler.serve(name)


def _samples(call: Call, settings: Settings, host: Host, tasks: str | None) -> Scheduler:
    url, namespace = _where(call, settings)
    scheduler = Scheduler(url, namespace=namespace, settings=settings, host=host, patience=None)
    packaged = Path(__file__).resolve().parents[1] / "tasks.yml"
    add_tasks(scheduler, tasks or settings.tasks or str(packaged))
    return scheduler


def _where(call: Call, settings: Settings) -> tuple[str, str]:
    """As `Call.where`, but "fake" is allowed: a cluster of one."""
    if settings.redis_url.partition(":")[0] == "fake":
        return settings.redis_url, settings.namespace
    return call.where()


# --- the journal ------------------------------------------------------------------------------------


def _journal(path: str | None, away: logs.Away) -> Callable[[str, dict[str, Any]], None]:
    """What the host calls for each fact. Each line is one write: whole, or (killed) not at all."""
    descriptor = -1
    if path is not None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise ConfigError(f"journal {path!r} cannot be written: {error.strerror}") from None

    def note(kind: str, fields: dict[str, Any]) -> None:
        if kind == "proved" and (lasted := away.back()) is not None:
            log.info("the server answers again, after %.1f s", lasted)
        if descriptor >= 0:
            os.write(descriptor, msgspec.json.encode({"kind": kind, **fields}) + b"\n")

    return note
