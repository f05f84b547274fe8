"""The command line, `labsched …` and `python -m labsched …`.

root.py     the command group: where each command lives, what errors become, exit codes
call.py     options that every command has; from them to settings and a client
output.py   tables, JSON, times and progress, on a terminal and in a pipe
params.py   times, durations and payloads as people type them
listing.py look.py     what there is: listings; one thing, and why
events.py              the history
steer.py trigger.py waiting.py    what changes something
serve.py usercode.py   one instance               up.py              a whole cluster
demo.py story.py stage.py         a cluster hurt, understood and shown
doctor.py findings.py clusterfindings.py   what is wrong, and what to do
check.py               a recording judged
sim.py fidelity.py bench.py       the simulated world, how true it is, and how fast the real one
logs.py progress.py               stderr, signs of life

Modules are imported when their command is used: `labsched instance` must stay small.
"""

from __future__ import annotations


def main() -> None:
    """The console script. Ends the process with 0, 1, 2 or 130 (see docs/cli.md)."""
    from .root import root

    root()
