"""`labsched doctor`: what is wrong with server, namespace and cluster, and what to do about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import click
from redis.exceptions import RedisError

from ..app import Scheduler
from ..clock import Host
from ..config import Settings
from ..connect import Opened, hide_password, open_url
from ..durations import show
from ..errors import ConfigError, LabschedError, ServerUnsuitable
from ..preflight import preflight
from ..sources import PATHS, variable
from ..store import Store
from . import clusterfindings, findings, hints, logs
from .call import PATIENCE, Call, command, run
from .findings import Finding
from .output import as_json, echo, fancy, table


@command(short_help="What is wrong, and what to do about it.")
@click.option("--json", "json", is_flag=True, help="One JSON document.")
def doctor(call: Call, json: bool) -> int:
    """Look at settings, server, clock, keys, instances, leader, tasks and runs.

    Every finding is OK, WARN or FAIL, and says what to do. Exits 1 when one is FAIL.
    """
    url, namespace = call.where()
    logs.set_up("DEBUG" if call.verbose else "ERROR")
    found = [settings_in_force(call.settings), Finding("url", "OK", hide_password(url))]
    found += run(_look(url, namespace, call.settings))
    if json:
        as_json(found)
    else:
        _print(found)
    return 1 if any(f.verdict == "FAIL" for f in found) else 0


def _print(found: list[Finding]) -> None:
    if fancy():
        table(["", "WHAT", "FOUND", "WHAT TO DO"], ([f.verdict, f.what, f.text, f.todo] for f in found))
    else:
        width = max(len(f.what) for f in found)
        for f in found:
            echo(f"{f.verdict:<4}  {f.what:<{width}}  {f.text}")
            if f.todo:
                echo(f"{'':<4}  {'':<{width}}  -> {f.todo}")
    bad = [sum(f.verdict == verdict for f in found) for verdict in ("FAIL", "WARN")]
    echo(f"\n{bad[0]} to mend, {bad[1]} to know about, {len(found) - sum(bad)} fine")


def settings_in_force(settings: Settings) -> Finding:
    """What differs from the defaults, by its place in the file."""
    default, changed = Settings(), []
    for path, field in PATHS.items():
        value: Any = getattr(settings, field)
        if value != getattr(default, field):
            shown = (
                show(value)
                if isinstance(value, float)
                else hide_password(value)
                if field == "redis_url"
                else value
            )
            changed.append(f"{path} {shown}")
    if not changed:
        return Finding(
            "settings",
            "OK",
            f"the defaults (a file, or variables such as {variable('scheduler.pool-size')}, change them)",
        )
    return Finding("settings", "OK", "; ".join(changed))


async def _look(url: str, namespace: str, settings: Settings) -> list[Finding]:
    host = Host()
    opened = open_url(url, request_timeout=settings.request_timeout)
    try:
        store = Store(opened.redis, namespace, host=host, patience=PATIENCE)
        found: list[Finding] = []
        # What was found before something makes looking further impossible is still worth telling.
        try:
            async for finding in _findings(opened, store, settings):
                found.append(finding)
        except ServerUnsuitable as error:
            found.append(Finding("server", "FAIL", str(error), "mend the server, or use another one"))
        except ConfigError as error:
            found.append(
                Finding("namespace", "FAIL", str(error), "upgrade labsched here, or use another namespace")
            )
        except (LabschedError, RedisError) as error:
            found.append(Finding("server", "FAIL", str(error), hints.server(error, url)))
        return found
    finally:
        await opened.close()


async def _findings(opened: Opened, store: Store, settings: Settings) -> AsyncIterator[Finding]:
    for finding in findings.server(await store.retrying(lambda: preflight(opened.redis))):
        yield finding
    yield findings.clock(*await _offset(store))
    async for finding in findings.layout(store):
        yield finding
        if finding.verdict == "FAIL":
            return
    # The client closes what it was given: the same server again, on connections of its own.
    async with Scheduler(opened.url, namespace=store.namespace, settings=settings, patience=PATIENCE) as app:
        async for finding in _cluster(app, settings):
            yield finding
        yield await findings.history(store, settings.max_events)


async def _offset(store: Store) -> tuple[float, float]:
    """This machine's wall clock minus the server's, and the round trip, in seconds."""
    clock = store.host.clock
    began, before = clock.now(), clock.monotonic()
    seconds, micros = await store.retrying(lambda: store.redis.execute_command("TIME"))
    trip = clock.monotonic() - before
    return began + trip / 2 - (int(seconds) + int(micros) / 1e6), trip


async def _cluster(app: Scheduler, settings: Settings) -> AsyncIterator[Finding]:
    infos, members, now = await app.tasks(), await app.instances(), await app.now()
    alive = [i for i in members if i.state != "EXPIRED"]
    led = any(i.leader for i in alive) or not settings.leader_election
    for finding in clusterfindings.members(members, infos, settings.lease_margin, settings.leader_election):
        yield finding
    for finding in (*clusterfindings.handlers(infos, alive), *clusterfindings.statuses(infos)):
        yield finding
    for finding in clusterfindings.overdue(infos, now, led and bool(alive)):
        yield finding
    async for finding in clusterfindings.runs(app, infos, now):
        yield finding
    async for finding in clusterfindings.ends(app):
        yield finding
