"""`labsched sim SCENARIO`: a cluster on virtual time, one seed or many, judged; or a recording run again."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..durations import seconds
from ..errors import ConfigError, LabschedError
from .call import Call, Failed, command
from .check import print_report, summary
from .needs import needs
from .output import as_json, echo, facts, note, table
from .progress import bar

if TYPE_CHECKING:
    from ..worlds.outcomes import SweepResult
    from ..worlds.recording import Recording


@command(short_help="Run a scenario on virtual time: any fault, any seed.")
@click.argument("scenario", required=False)
@click.option("--seed", type=click.IntRange(0), help="Which run (default 0); the same seed is the same run.")
@click.option("--seeds", type=click.IntRange(1), metavar="N", help="So many runs, from --seed on.")
@click.option(
    "--jobs", type=click.IntRange(1), metavar="N", help="Processes for --seeds; default: all processors."
)
@click.option("--until", metavar="DURATION", help="Virtual time that a run takes; default: the scenario's.")
@click.option(
    "--save", metavar="PATH", help="Recording of the run; with --seeds a folder for those that fail."
)
@click.option("--explain", is_flag=True, help="Tell the faults and what became of each, too.")
@click.option("--twice", is_flag=True, help="Run the seed twice and show the first event that differs.")
@click.option("--replay", metavar="FILE", help="Run a recording again, instead of a scenario.")
@click.option("--json", "json", is_flag=True, help="One JSON document.")
def sim(call: Call, scenario: str | None, seeds: int | None, **options: Any) -> int:
    """Run SCENARIO, a name or a YAML file, and check every guarantee. Without SCENARIO: list the names.

    Exits 1 when a guarantee was violated, a run raised, or two runs of one seed differ.
    """
    _check_together(scenario, seeds, options)
    needs("fakeredis", "lab")
    if options["replay"]:
        return _replay(options["replay"], options)
    if scenario is None:
        return _list(options["json"])
    until = None if options["until"] is None else seconds(options["until"], "--until", minimum=1)
    if seeds is not None:
        return _many(scenario, seeds, until, options)
    return _one(call, scenario, until, options)


_ALONE = ("seed", "jobs", "until", "twice")


def _check_together(scenario: str | None, seeds: int | None, options: dict[str, Any]) -> None:
    """Refuse what would be ignored."""
    given = [name for name, value in options.items() if value not in (None, False)]
    if options["replay"]:
        wrong = [name for name in given if name in _ALONE] + ["seeds"] * (seeds is not None)
        if scenario or wrong:
            raise click.UsageError(f"--replay takes no {'SCENARIO' if scenario else '--' + wrong[0]}")
    elif scenario is None and [name for name in given if name != "json"] + ["seeds"] * (seeds is not None):
        raise click.UsageError("which SCENARIO? `labsched sim` alone lists them")
    elif seeds is None and options["jobs"]:
        raise click.UsageError("--jobs goes with --seeds")
    elif seeds is not None and (options["twice"] or options["explain"]):
        raise click.UsageError(f"--{'twice' if options['twice'] else 'explain'} goes with one seed")


def _list(json: bool) -> int:
    from ..worlds.scenarios import described

    found = list(described())
    if json:
        as_json([{"name": name, "about": about} for name, about in found])
    else:
        table(["SCENARIO", "WHAT HAPPENS"], found)
    return 0


# --- one run


def _one(call: Call, name: str, until: float | None, options: dict[str, Any]) -> int:
    from ..worlds.outcomes import in_one_line
    from ..worlds.replay import twice
    from ..worlds.scenarios import scenario

    seed = options["seed"] or 0
    run = scenario(name, until=until, messages=bool(options["save"]))
    again = _again(name, seed, options["until"])
    try:
        if options["twice"]:
            rec, differs = twice(run, seed)
        else:
            rec, differs = run(seed), None
    except (LabschedError, ExceptionGroup) as error:
        if isinstance(error, ConfigError):
            raise
        if call.verbose:
            note(str(error))
        raise Failed(f"seed {seed} raised {in_one_line(error)}; run it again: {again} -v") from None
    return _judge(rec, again, options, None if differs is None else str(differs))


def _judge(rec: Recording, again: str, options: dict[str, Any], differs: str | None) -> int:
    report = rec.check()
    ok = report.ok and differs is None
    _save(rec, options["save"])
    if options["json"]:
        told = {"seed": rec.seed, "digest": rec.digest, "events": len(rec.history), "differs": differs}
        as_json({**told, "command": again, **summary(report), "ok": ok})
        return 0 if ok else 1
    if options["explain"]:
        _explain(rec)
    print_report(report)
    same = "the same digest twice" if options["twice"] else ""
    facts(
        [
            ("\nrun", f"{rec!r}, seed {rec.seed}"),
            ("digest", rec.digest),
            ("determinism", "" if differs else same),
        ]
    )
    for violation in report.violations:
        echo(f"\n{violation.at - rec.started:.3f} s {violation.guarantee}: {violation.sentence}")
    if differs:
        echo(f"\n{differs}")
    if not ok:
        echo(f"\nseed {rec.seed} failed; run it again: {again}")
    return 0 if ok else 1


def _explain(rec: Recording) -> None:
    """What was done, and what could not be done."""
    rows = [
        (f"{fault['t']:.3f}", fault["kind"], fault["target"], fault["by"], _more(fault))
        for fault in rec.fault_log
    ]
    rows += [
        (f"{step['t']:.3f}", step["kind"], step["target"], "plan", f"not done: {step['missed']}")
        for step in rec.plan
        if "missed" in step
    ]
    table([">AT (s)", "FAULT", "TARGET", "BY", "MORE"], sorted(rows, key=lambda row: float(str(row[0]))))
    echo()
    facts([(str(state), count) for state, count in rec.executions["state"].value_counts().items()])
    echo()


def _more(fault: dict[str, Any]) -> str:
    known = ("at", "t", "kind", "target", "by")
    return ", ".join(
        f"{name}={value}" for name, value in fault.items() if name not in known and value is not None
    )


def _replay(path: str, options: dict[str, Any]) -> int:
    from ..worlds.recording import load
    from ..worlds.replay import difference

    first = load(path)
    second = first.replay()
    found = difference(first, second)
    again = f"labsched sim --replay {shlex.quote(path)}"
    return _judge(second, again, options, None if found is None else str(found))


# --- many


def _many(name: str, seeds: int, until: float | None, options: dict[str, Any]) -> int:
    from ..worlds.scenarios import scenario
    from ..worlds.sweeper import sweep

    first, save = options["seed"] or 0, options["save"]
    with bar("seeds", seeds) as progress:
        result = sweep(
            scenario(name, until=until),
            range(first, first + seeds),
            jobs=options["jobs"],
            save=save,
            progress=progress,
        )

    def again(seed: int) -> str:
        return _again(name, seed, options["until"])

    if options["json"]:
        as_json(_as_values(result, again))
    else:
        _tell(result, again)
    return 130 if result.stopped == "interrupted" else 0 if result.ok else 1


def _tell(result: SweepResult, again: Callable[[int], str]) -> None:
    rows = [
        (row.Index, row.tested, row.exercised, row.violated, f"{row.low:.2%} to {row.high:.2%}")
        for row in result.guarantees.itertuples()
    ]
    table(["GUARANTEE", ">TESTED", ">SEEDS", ">VIOLATED IN", "TRUE SHARE (95 %)"], rows)
    echo()
    for line in result.lines():
        echo(line)
    echo(f"{len(result) / max(result.took, 1e-9):.2f} seeds/s")
    for one in result.failures[:1]:
        echo(f"\nrun the first one again: {again(one.seed)}")


def _as_values(result: SweepResult, again: Callable[[int], str]) -> dict[str, Any]:
    failures = [
        {
            "seed": one.seed,
            "broken": one.broken,
            "error": one.error,
            "saved": one.saved,
            "command": again(one.seed),
        }
        for one in result.failures
    ]
    table = result.guarantees.reset_index().astype(object)
    return {
        "ok": result.ok, "seeds": len(result), "asked": result.asked, "stopped": result.stopped,
        "guarantees": table.where(table.notna(), None).to_dict("records"), "failures": failures,
    }  # fmt: skip


# --- words


def _again(name: str, seed: int, until: str | None) -> str:
    more = f" --until {shlex.quote(until)}" if until else ""
    return f"labsched sim {shlex.quote(name)} --seed {seed}{more}"


def _save(rec: Recording, path: str | None) -> None:
    if path is None:
        return
    try:
        rec.save(Path(path))
    except OSError as error:
        raise ConfigError(f"--save {path!r} cannot be written: {error.strerror or error}") from None
