"""`labsched events`: the history, and following it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..app import Scheduler
from ..durations import show
from ..errors import EventsGap
from ..model import Event, Kind
from .call import client_command
from .output import STYLES, as_json, clean, echo, fancy, json_line, note, utc
from .params import moment

# How far back to look for the newest events before reading everything: one minute, an hour, a day.
_WINDOWS = (60, 3600, 86400)
# Of no use to people who read along.
_BULKY = frozenset({"definition", "handlers", "least_until"})

Wanted = Callable[[Event], bool]


def _check(kinds: tuple[str, ...], since: str | None, **_: Any) -> None:
    known = {str(kind) for kind in Kind}
    for kind in sorted({kind.upper() for kind in kinds} - known):
        from ..yamlfile import nearest

        raise click.UsageError(f"no kind of event is called {kind!r}; {nearest(kind, known)}")
    if since is not None and since not in ("-", "$") and not _is_id(since):
        moment(since, 0, "--since")


@client_command(short_help="The history; with --follow, as it happens.", check=_check)
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens, until interrupted.")
@click.option(
    "--since", metavar="ID|TIME", help="After this event id, or this time (-10m, 12:00 …); - is all."
)
@click.option("--limit", "-n", type=click.IntRange(min=1), help="At most so many, the newest. [default: 50]")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only this kind; may be repeated.")
@click.option("--task", metavar="NAME", help="Only of this task.")
@click.option("--execution", metavar="ID", help="Only of this execution.")
@click.option("--instance", metavar="NAME", help="Only of this instance.")
@click.option("--json", "json", is_flag=True, help="One JSON document; with --follow one per line.")
async def events(
    app: Scheduler,
    follow: bool,
    since: str | None,
    limit: int | None,
    kinds: tuple[str, ...],
    task: str | None,
    execution: str | None,
    instance: str | None,
    json: bool,
) -> None:
    """Print events, oldest first: the newest 50, or all after --since.

    With --follow it begins with now, or after --since, and misses nothing from there on.
    """
    wanted = _filter(kinds, task, execution, instance)
    if task is not None:
        await app.registry_open().task(task)
    if follow:
        await _follow(app, since, wanted, json)
        return
    found = await _newest(app, wanted, limit or 50) if since is None else await _since(app, since)
    found = [event for event in found if wanted(event)]
    found = found[-limit:] if limit else found
    if json:
        as_json(found)
    else:
        for event in found:
            echo(line(event))
        if not found:
            note("no events")


def _filter(kinds: tuple[str, ...], task: str | None, execution: str | None, instance: str | None) -> Wanted:
    chosen = {kind.upper() for kind in kinds}

    def wanted(event: Event) -> bool:
        return (
            (not chosen or event.kind in chosen)
            and task in (None, event.task)
            and execution in (None, event.execution)
            and instance in (None, event.instance)
        )

    return wanted


async def _since(app: Scheduler, since: str) -> list[Event]:
    """All events after an id (a gap is an error) or after a time (a gap is not)."""
    if since in ("-", "$") or _is_id(since):
        return await app.history(since)
    begin = round(moment(since, await app.now(), "--since").timestamp() * 1000)
    return await _after(app, begin)


async def _after(app: Scheduler, ms: int) -> list[Event]:
    try:
        return await app.history(str(ms))
    except EventsGap:
        # Nothing is as young as that, or what is as old has been trimmed: look through what there is.
        return [event for event in await app.history("-") if event.at * 1000 >= ms]


async def _newest(app: Scheduler, wanted: Wanted, limit: int) -> list[Event]:
    """The newest events, without reading a long history when a short stretch of it is enough."""
    now = await app.now()
    for seconds in _WINDOWS:
        try:
            found = [e for e in await app.history(str(now - seconds * 1000)) if wanted(e)]
        except EventsGap:
            continue
        if len(found) >= limit:
            return found[-limit:]
    return [e for e in await app.history("-") if wanted(e)][-limit:]


def _is_id(since: str) -> bool:
    ms, dash, seq = since.partition("-")
    return bool(dash) and ms.isdigit() and seq.isdigit() and len(ms) > 4


async def _follow(app: Scheduler, since: str | None, wanted: Wanted, json: bool) -> None:
    place = since or "$"
    if since is not None and since not in ("-", "$") and not _is_id(since):
        for event in (past := await _since(app, since)):
            _show(event, wanted, json)
        place = past[-1].id if past else "$"
    async for event in app.events(place):
        _show(event, wanted, json)


def _show(event: Event, wanted: Wanted, json: bool) -> None:
    if not wanted(event):
        return
    if json:
        json_line(event)
    else:
        echo(line(event))


def line(event: Event) -> str:
    """One event for people."""
    kind = f"{event.kind:<17}"
    if fancy() and event.kind in STYLES:
        kind = click.style(kind, fg=STYLES[event.kind].split()[-1].replace("dim", "bright_black"))
    words = [event.execution or event.task or ""]
    if event.attempt is not None:
        words.append(f"try {event.attempt}")
    if event.instance:
        words.append(f"on {event.instance}" if event.execution else event.instance)
    if event.epoch is not None:
        words.append(f"epoch {event.epoch}")
    words += [
        f"{k.removesuffix('_ms')}={_value(k, v)}"
        for k, v in event.data.items()
        if k not in _BULKY and v not in (None, "")
    ]
    return f"{utc(round(event.at * 1000), millis=True)} {kind} " + " ".join(clean(w) for w in words if w)


def _value(key: str, value: object) -> str:
    if key.endswith("_ms") and isinstance(value, int | float):
        return show(value / 1000)
    if key in ("until", "due", "slot", "since", "first", "last", "before", "retry_at") and isinstance(
        value, int
    ):
        return utc(value).replace(" ", "T")
    return str(value)
