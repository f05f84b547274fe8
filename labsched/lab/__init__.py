"""The lab: what notebooks import. Every call here yields something to look at.

    timeline(rec)     who ran what when, as a Picture          pictures/
    spacetime(rec)    which messages went between whom
    metrics(rec)      rates, durations, lateness, queue, over time
    sweep_picture(frame, x=, y=)    what a setting changes, with intervals
    lattice(explored)    every order of two clients
    control(world)    a live panel of it                       panel/
    Picture           a figure with `.data` and `.alt`         figures.py
    style("talk")    larger pictures, for a projector          projector.py
    predict, check, progress, reset    what a learner says before a run, and what is judged      exercises/
    zoo               algorithms that failed in public    zoo/
    rerun             python -m labsched.lab.rerun notebooks/*.ipynb

Names are loaded when they are first used: matplotlib costs half a second, and `lab` itself nothing. No module
here is named like one of these calls, because importing it would put the module in the call's place.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .exercises.copies import reset
    from .exercises.grading import check
    from .exercises.predictions import predict
    from .exercises.progress import progress
    from .figures import Picture
    from .panel.widget import control
    from .pictures.lattices import lattice
    from .pictures.metrics import metrics
    from .pictures.spacetime import spacetime
    from .pictures.sweeps import sweep_picture
    from .pictures.timeline import timeline
    from .projector import style

__all__ = [
    "Picture",
    "check",
    "control",
    "lattice",
    "metrics",
    "predict",
    "progress",
    "reset",
    "spacetime",
    "style",
    "sweep_picture",
    "timeline",
]

_HOMES = {
    "check": "exercises.grading",
    "control": "panel.widget",
    "predict": "exercises.predictions",
    "progress": "exercises.progress",
    "reset": "exercises.copies",
    "Picture": "figures",
    "lattice": "pictures.lattices",
    "metrics": "pictures.metrics",
    "spacetime": "pictures.spacetime",
    "style": "projector",
    "sweep_picture": "pictures.sweeps",
    "timeline": "pictures.timeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
