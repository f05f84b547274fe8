"""`labsched trigger` and `labsched backfill`: make runs, and wait for them if asked."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from ..app import Scheduler
from ..errors import ConfigError, PayloadError
from ..model import Priority
from .call import Failed, client_command
from .output import as_json, echo, note
from .params import TIME_HELP, moment, pairs, payload
from .progress import spinner
from .waiting import WAIT, duration, report


def _check_trigger(**given: Any) -> None:
    duration(given["wait"])
    if given["many"] is None:
        _payload(given["text"], given["words"])
        if given["at"] is not None:
            moment(given["at"], 0, "--at")
    elif given["text"] or given["words"] or given["key"] or given["at"]:
        raise click.UsageError("--many goes with --priority, --wait and --json only")


def _payload(text: str | None, words: tuple[str, ...]) -> dict[str, Any]:
    return {**(payload(text, "--payload") if text is not None else {}), **pairs(words)}


@client_command(short_help="Run a task now or at a time, once or many times.", check=_check_trigger)
@click.argument("name")
@click.option("--payload", "text", metavar="JSON", help="A JSON object.")
@click.option("-p", "words", multiple=True, metavar="KEY=VALUE", help="One field of it; may be repeated.")
@click.option("--key", metavar="KEY", help="The same key makes one run, however often it is sent.")
@click.option("--at", "at", metavar="TIME", help=f"Not now but then: {TIME_HELP}.")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]))
@click.option("--many", metavar="FILE", help="One run per line, each a JSON object; - is stdin.")
@click.option("--wait", **WAIT)
@click.option("--json", "json", is_flag=True, help="One JSON document: ids, or after --wait executions.")
async def trigger(
    app: Scheduler,
    name: str,
    text: str | None,
    words: tuple[str, ...],
    key: str | None,
    at: str | None,
    priority: Priority | None,
    many: str | None,
    wait: str | None,
    json: bool,
) -> int:
    """Run task NAME and print the id of the run, one line for each.

    With --wait also print what became of it, and exit 1 unless it SUCCEEDED.
    """
    limit = duration(wait)
    if many is not None:
        ids = await _refusable(app, name, app.trigger_many(name, _lines(many), priority=priority))
    else:
        ids = [await _one(app, name, _payload(text, words), key, at, priority)]
    if wait is None:
        _print_ids(ids, json)
        return 0
    return await report(app, ids, limit, json)


def _lines(path: str) -> list[dict[str, Any]]:
    try:
        body = sys.stdin.buffer.read() if path == "-" else _read(path)
        lines = body.decode().splitlines()
    except UnicodeDecodeError:
        raise PayloadError(f"{path}: not UTF-8 text") from None
    return [payload(line, f"{path}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"--many {path!r} cannot be read: {error.strerror}") from None


async def _one(
    app: Scheduler,
    name: str,
    given: dict[str, Any],
    key: str | None,
    at: str | None,
    priority: Priority | None,
) -> str:
    if at is None:
        keys = None if key is None else [key]
        ids: list[str] = await _refusable(app, name, app.trigger_many(name, [given], keys, priority=priority))
        return ids[0]
    if clash := given.keys() & {"_key", "_at", "_priority"}:
        raise PayloadError(f"payload field {min(clash)!r} cannot be used together with --at")
    when = moment(at, await app.now(), "--at")
    sending = app.trigger(name, _key=key, _at=when, _priority=priority, **given)
    found: str = await _refusable(app, name, sending)
    return found


async def _refusable(app: Scheduler, name: str, sending: Any) -> Any:
    """A DISABLED task is no mistake in the call: it may be enabled again."""
    try:
        return await sending
    except ConfigError as error:
        if str(error).endswith("is DISABLED"):
            raise Failed(f"{error}: `labsched resume {name}` allows it again") from None
        raise


def _check_backfill(start: str, end: str, wait: str | None, **_: Any) -> None:
    duration(wait)
    moment(start, 0, "START")
    moment(end, 0, "END")


class _Times(click.Command):
    """`-1h` as an argument would be taken for options, `-h` among them: its dash is another one until then."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [re.sub(r"^-(?=\d|P)", _MINUS, word) for word in args])


_MINUS = "\N{MINUS SIGN}"


def _typed(ctx: click.Context, param: click.Parameter, value: str) -> str:
    return value.replace(_MINUS, "-")


@client_command(
    short_help="Run a task for every slot of a stretch of time.", check=_check_backfill, cls=_Times
)
@click.argument("name")
@click.argument("start", callback=_typed)
@click.argument("end", callback=_typed)
@click.option("--wait", **WAIT)
@click.option("--json", "json", is_flag=True, help="One JSON document: ids, or after --wait executions.")
async def backfill(app: Scheduler, name: str, start: str, end: str, wait: str | None, json: bool) -> int:
    """Run task NAME for each of its slots after START up to END, and print the ids.

    START and END are times (UTC unless they have an offset), now, +10m, -2h, or Unix milliseconds:
    labsched backfill daily-report -1h now

    A slot that was backfilled before is not run again.
    """
    limit, now = duration(wait), await app.now()
    first, last = moment(start, now, "START"), moment(end, now, "END")
    if last <= first:
        raise ConfigError(f"END {end!r} is not after START {start!r}")
    with spinner(f"making the runs of {name}"):
        ids = await _refusable(app, name, app.backfill(name, first, last))
    if not ids:
        note(f"{name} has no slot in that time")
    if wait is None or not ids:
        _print_ids(ids, json)
        return 0
    return await report(app, ids, limit, json)


def _print_ids(ids: Sequence[str], json: bool) -> None:
    if json:
        as_json(ids)
        return
    for id in ids:
        echo(id)
