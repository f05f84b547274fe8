"""`labsched check FILE`: every guarantee, judged on a recording."""

from __future__ import annotations

from typing import Any

import click

from ..durations import seconds
from .call import Call, command
from .output import as_json, echo, table, utc


@command(short_help="Judge every guarantee on a recording.")
@click.argument("recording")
@click.option(
    "--settle", metavar="DURATION", help="How long a healthy cluster may take to decide what was due."
)
@click.option("--json", "json", is_flag=True, help="One JSON document.")
def check(call: Call, recording: str, settle: str | None, json: bool) -> int:
    """Check the recording in file RECORDING, as `demo` and recorded runs write it."""
    from ..worlds.recording import load

    within = None if settle is None else seconds(settle, "--settle")
    rec = load(recording)
    report = rec.check(within)
    if json:
        as_json(summary(report))
        return 0 if report.ok else 1
    echo(f"{recording}: {rec!r}\n")
    print_report(report)
    for violation in report.violations:
        shown = f" ({', '.join(violation.events)})" if violation.events else ""
        echo(
            f"\n{utc(round(violation.at * 1000), millis=True)} {violation.guarantee}: {violation.sentence}{shown}"
        )
    return 0 if report.ok else 1


def print_report(report: Any) -> None:
    rows = ([r.id, r.tested, r.status, r.sentence()] for r in report)
    table(["GUARANTEE", ">TESTED", "VERDICT", "WHAT WAS SEEN"], rows)


def summary(report: Any) -> dict[str, Any]:
    """A report as plain values."""
    return {
        "ok": report.ok,
        "history_reset": report.history_reset,
        "guarantees": [
            {"id": r.id, "tested": r.tested, "status": r.status, "note": r.note, "violations": r.violations}
            for r in report
        ],
    }
