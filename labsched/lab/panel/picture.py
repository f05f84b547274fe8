"""The pictures beside the live panel: of a violation, and of the whole run for readers without a kernel."""

from __future__ import annotations

from typing import Any

from labsched import lab
from labsched.worlds.recording import Recording

AROUND = 1.5  # seconds shown before and after the violated moment
PAGE = 60.0  # seconds of a run that one timeline shows


def of_violation(rec: Recording, guarantee: str) -> tuple[bytes, str]:
    """PNG and alternative text of the moment at which that guarantee was first violated; of the end if it was not."""
    found = rec.check()[guarantee].violations
    at = (found[0].at if found else rec.ended) - rec.started
    first, last = max(at - AROUND, 0.0), min(at + AROUND, rec.ended - rec.started)
    picture: Any
    if rec.world == "simulated":
        # Named, since another may be violated at that moment too.
        picture = lab.spacetime(rec, first, last, guarantee=guarantee)
    else:
        picture = lab.timeline(rec, max(first - 5, 0.0), last)  # messages of real processes are not recorded
    return picture.png(), picture.alt


def of_run(rec: Recording) -> tuple[bytes, str]:
    """PNG and alternative text of its last minute."""
    length = rec.ended - rec.started
    picture = lab.timeline(rec, max(length - PAGE, 0.0), length)
    return picture.png(), picture.alt
