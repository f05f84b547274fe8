"""`labsched panel`: the live panel as a page of its own, served by Voila."""

from __future__ import annotations

import secrets
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigError
from .call import Call, command
from .needs import HOST, free, needs
from .output import echo

FREE = """from labsched import lab
from labsched.worlds import Simulation
from labsched.worlds.scenarios import SAMPLES
panel = lab.control(Simulation(3, seed={seed}, tasks=SAMPLES), pace={pace})
panel"""
PLANNED = """from labsched import lab
from labsched.worlds.scenarios import scenario
panel = lab.control(scenario({name!r}).world({seed}), pace={pace})
panel"""


@command(short_help="Press Kill yourself: a live cluster on virtual time, in the browser.")
@click.argument("scenario", required=False)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed is the same run."
)
@click.option(
    "--pace", type=click.FloatRange(0.25, 20), default=1.0, show_default=True, help="Virtual s per second."
)
@click.option("--port", type=click.IntRange(1, 65535), help="Default: the first free one from 8866 on.")
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
def panel(
    call: Call, scenario: str | None, seed: int, pace: float, port: int | None, no_browser: bool
) -> None:
    """Serve the live panel of SCENARIO, a name or a YAML file; without it, of three instances left in peace.

    Each page that is opened has a world of its own. `labsched sim` lists the names. Ctrl-C ends it.
    """
    needs("voila", "panel")
    code = _code(scenario, seed, pace)
    with tempfile.TemporaryDirectory(prefix="labsched-panel-") as folder:
        _serve(_page(Path(folder), scenario, seed, code), free(port, 8866), not no_browser)


def _code(name: str | None, seed: int, pace: float) -> str:
    """The page's one cell. What is wrong with a scenario is told before anything is served."""
    from ..worlds.scenarios import SWARM, scenario

    if name is None:
        return FREE.format(seed=seed, pace=pace)
    if name == SWARM:
        raise ConfigError(
            f"{SWARM} draws a world for each seed and judges it: `labsched sim {SWARM}` runs it"
        )
    scenario(name)
    return PLANNED.format(name=str(Path(name).resolve()) if "." in name else name, seed=seed, pace=pace)


def _page(folder: Path, name: str | None, seed: int, code: str) -> Path:
    """A notebook of one heading and one cell; its name is the page's title."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    heading = f"# {Path(name).stem if name else 'A cluster of three'}, seed {seed}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [new_markdown_cell(heading), new_code_cell(code)]  # type: ignore[no-untyped-call]
    made = new_notebook(cells=cells, metadata={"kernelspec": kernel})  # type: ignore[no-untyped-call]
    path = folder / "labsched.ipynb"
    nbformat.write(made, path)  # type: ignore[no-untyped-call]
    return path


def _serve(page: Path, port: int, browser: bool) -> None:
    """Until a signal ends it. The token keeps other users, and other pages, of this machine out."""
    from voila.app import Voila

    token = secrets.token_urlsafe(24)
    address = f"http://{HOST}:{port}/?token={token}"

    class Server(Voila):  # type: ignore[misc]
        def launch_browser(self) -> Any:
            webbrowser.open(address)  # Voila's own leaves the token out

    server = Server(token=token, ip=HOST, port=port, port_retries=0, open_browser=browser, log_level="ERROR")
    server.initialize([str(page)])
    echo(f"panel  {address}")
    sys.stdout.flush()
    server.start()
