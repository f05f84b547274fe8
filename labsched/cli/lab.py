"""`labsched lab`: JupyterLab on the learner's own copy of the course."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from .call import Call, command
from .needs import HOST, free, needs
from .output import echo


@command(short_help="Open the course in JupyterLab, on a copy of your own.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: the first free one from 8888 on.")
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
def lab(call: Call, port: int | None, no_browser: bool) -> None:
    """Copy the notebooks that are new into my-notebooks, without outputs, and open JupyterLab at the first.

    What is in my-notebooks already is never touched. This process becomes JupyterLab: Ctrl-C twice ends it.
    """
    needs("jupyterlab", "lab")
    from ..lab.exercises.copies import COPY, course

    notebooks = course()
    copy = notebooks.parent / COPY
    _prepare(notebooks, copy)
    first = min(notebooks.glob("00-*.ipynb")).name
    words = _words(notebooks.parent, f"{COPY}/{first}", free(port, 8888), no_browser)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *words])


def _prepare(notebooks: Path, copy: Path) -> None:
    from ..lab.exercises.copies import make_copy, outdated

    made = make_copy(notebooks, copy)
    echo(f"your notebooks  {copy}, {len(made)} of them new")
    for path in outdated(notebooks, copy):
        echo(
            f'there is a newer {path.name}; lab.reset("{path.name[:2]}") in a cell takes it, and keeps yours beside it'
        )


def _words(folder: Path, notebook: str, port: int, no_browser: bool) -> list[str]:
    """Its root is the project's folder, so that solutions, data and source can be opened beside the notebooks."""
    words = ["-m", "jupyterlab", f"--ip={HOST}", f"--port={port}", "--ServerApp.port_retries=0"]
    words += [f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/lab/tree/{notebook}"]
    if no_browser:
        words.append("--no-browser")
    if (
        hasattr(os, "geteuid") and os.geteuid() == 0
    ):  # a container; it serves the loopback alone, and asks for a token
        words.append("--allow-root")
    return words
