"""What is printed: tables (rich on a terminal, aligned text in a pipe), JSON, and times.

Text in a pipe is never coloured, wrapped or cut. Foreign text (payloads, errors, names) is printed with
its control characters replaced, so that nothing from Redis can drive the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec

from ..model import as_datetime

STYLES = {
    "SUCCEEDED": "green", "FAILED": "red", "DEAD": "bold red", "RUNNING": "cyan", "RETRYING": "yellow",
    "CANCELLED": "magenta", "SKIPPED": "dim", "READY": "blue", "LOST": "red", "TIMED_OUT": "red",
    "ACTIVE": "green", "PAUSED": "yellow", "DISABLED": "red", "DRAINING": "yellow", "EXPIRED": "red",
    "OK": "green", "WARN": "yellow", "FAIL": "bold red",
    "held": "green", "VIOLATED": "bold red", "KILLED": "bold red", "up": "green", "DOWN": "bold red",
    "INSTANCE_LOST": "red", "LEADER_ELECTED": "bold green", "INSTANCE_JOINED": "green",
}  # fmt: skip


def fancy() -> bool:
    """Whether stdout is a terminal that wants tables with lines and colours."""
    return sys.stdout.isatty()


def clean(value: object, lines: bool = False) -> str:
    """Text without control characters; with `lines`, line breaks and tabs stay."""
    keep = "\n\t" if lines else ""
    return "".join(c if c.isprintable() or c in keep else " " if c.isspace() else "?" for c in str(value))


def echo(text: str = "", **options: Any) -> None:
    click.echo(text, **options)


def note(text: str) -> None:
    """A remark beside the output: stderr."""
    click.echo(text, err=True)


def as_json(value: Any) -> None:
    """One JSON document. Structs keep their field names: times are as docs/cli.md says."""
    echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def json_line(value: Any) -> None:
    """One JSON document on one line, at once."""
    echo(msgspec.json.encode(value).decode())
    sys.stdout.flush()


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "") -> None:
    """Print rows; a header that begins with ">" is set to the right. Without rows, `empty` goes to stderr."""
    cells = [["" if cell is None else clean(cell) for cell in row] for row in rows]
    if not cells and empty:
        note(empty)
        return
    if fancy():
        _rich_table(headers, cells)
        return
    for line in plain_table(headers, cells):
        echo(line)


def plain_table(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Aligned lines; the last column is as long as it is, nothing ends in blanks."""
    rows = [[header.lstrip(">") for header in headers], *cells]
    widths = [max(len(row[i]) for row in rows) for i in range(len(headers))]

    def padded(i: int, cell: str) -> str:
        return cell.rjust(widths[i]) if headers[i].startswith(">") else cell.ljust(widths[i])

    return ["  ".join(padded(i, cell) for i, cell in enumerate(row)).rstrip() for row in rows]


def _rich_table(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.console import Console

    Console(highlight=False).print(rich_table(headers, cells))


def rich_table(headers: Sequence[str], cells: Iterable[Sequence[str]]) -> Any:
    """The same as a rich table, states in colour."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for header in headers:
        right = header.startswith(">")
        made.add_column(header.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in cells:
        made.add_row(*(Text(cell, STYLES.get(cell.partition(" ")[0], "")) for cell in row))
    return made


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Aligned `name  value` lines; pairs whose value is None or empty are left out."""
    shown = [(name, clean(value)) for name, value in pairs if value not in (None, "")]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        echo(f"{name:<{width}}  {value}")


# --- times ------------------------------------------------------------------------------------------


def utc(ms: int | None, millis: bool = False) -> str:
    """`2026-11-23 12:00:00Z`."""
    when = as_datetime(ms)
    if when is None or ms is None:
        return ""
    return f"{when:%Y-%m-%d %H:%M:%S}" + (f".{ms % 1000:03d}" if millis else "") + "Z"


def when(ms: int | None, now: int) -> str:
    """`2026-11-23 12:00:00Z (5s ago)`, or `(in 5s)`."""
    return "" if ms is None else f"{utc(ms)} ({relative(ms, now)})"


def relative(ms: int, now: int) -> str:
    return f"{span((now - ms) / 1000)} ago" if ms <= now else f"in {span((ms - now) / 1000)}"


def span(seconds: float | None) -> str:
    """A duration to about two digits: 3ms, 2.4s, 45s, 12m, 5h, 3d."""
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms" if seconds >= 0.001 or seconds == 0 else f"{seconds * 1000:.2g}ms"
    for limit, unit, length in ((9.95, "s", 1), (120, "s", 1), (7200, "m", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / length:.{1 if limit == 9.95 else 0}f}{unit}"
    return f"{seconds / 86400:.0f}d"


def percent(rate: float | None) -> str:
    return "" if rate is None else f"{rate * 100:.1f}%"
