"""`labsched fidelity`: whether the simulated world tells the truth."""

from __future__ import annotations

import click

from .call import Call, command
from .needs import needs
from .output import as_json, echo, table
from .progress import spinner


@command(short_help="Compare the simulated world with real processes.")
@click.option(
    "--runs", type=click.IntRange(2), default=50, show_default=True, help="Leaders killed in each world."
)
@click.option("--json", "json", is_flag=True, help="One JSON document.")
def fidelity(call: Call, runs: int, json: bool) -> int:
    """Run the same programme on three real processes and in a simulation that is given their latencies, and compare.

    A leader of the real world takes about 2 s. Exits 1 when the two differ: in how executions ended, in their
    events, or by more than 20 % in the median start latency or failover time beyond the lease.
    """
    needs("fakeredis", "lab")
    from ..worlds.fidelity import run

    with spinner(f"two worlds, {runs} leaders to kill in each: about {runs * 2 + 15} s"):
        rows = run(runs)
    same = all(row.same is not False for row in rows)
    if json:
        as_json({"same": same, "rows": rows})
        return 0 if same else 1
    verdicts = {True: "same", False: "DIFFERS", None: "-"}
    table(
        ["WHAT", "REAL", "SIMULATED", "VERDICT", "NOTE"],
        ([row.what, row.real, row.simulated, verdicts[row.same], row.note] for row in rows),
    )
    echo("" if same else "the two worlds differ; on a machine that does other work too, measure again")
    return 0 if same else 1
