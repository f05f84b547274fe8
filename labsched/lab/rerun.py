"""`python -m labsched.lab.rerun notebooks/*.ipynb`: run notebooks and store what they print, and only what changed.

A cell tagged `nbval-ignore-output` shows something that differs from run to run (real processes, wall time). Its
stored output stays as long as no code cell has changed since, so that a second run changes no byte; `--fresh`
takes new ones. All other cells must print the same each time, and are told when they do not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from pathlib import Path
from typing import Any

VOLATILE = "nbval-ignore-output"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"
MOST_LINES = 12
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m labsched.lab.rerun", description="Run notebooks in place."
    )
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--fresh", action="store_true", help="take new outputs of volatile cells too")
    parser.add_argument(
        "--timeout", type=float, default=120, metavar="S", help="seconds that a cell may take"
    )
    given = parser.parse_args(arguments)
    failed = False
    for path in given.notebooks:
        told = rerun(path, fresh=given.fresh, timeout=given.timeout)
        failed |= bool(told)
        print(f"{path}: {'; '.join(told) or 'fine'}")
    return 1 if failed else 0


def rerun(path: Path, *, fresh: bool = False, timeout: float = 120) -> list[str]:
    """Execute one notebook in its folder and write it back, unless a cell raised. What is wrong with it, in words."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    before = path.read_text(encoding="utf-8")
    stored, notebook = (nbformat.reads(before, as_version=4) for _ in range(2))  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(path.parent)}},
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
    )
    try:
        # What its author has solved before must not show in the outputs, nor the run in the author's progress.
        client.execute(env={**os.environ, "LABSCHED_PROGRESS": "off"})
    except CellExecutionError as error:
        return [f"a cell raised {error.ename}: {error.evalue}"]
    keep = not fresh and stored.metadata.get("labsched") == {"sources": _sources(stored)}
    changed = _settle(notebook, stored, keep=keep)
    after = nbformat.writes(notebook) + "\n"  # type: ignore[no-untyped-call]
    if after != before:
        path.write_text(after, encoding="utf-8")
    return [*problems(notebook), *(changed if keep else [])]


def _settle(notebook: Any, stored: Any, *, keep: bool) -> list[str]:
    """Drop what differs between runs and machines; keep stored outputs of volatile cells if asked."""
    notebook.metadata = {
        "kernelspec": dict(KERNEL),
        "labsched": {"sources": _sources(notebook)},
        "language_info": {"name": "python"},
    }
    changed = []
    for cell, old in zip(_code(notebook), _code(stored), strict=True):
        cell.metadata.pop("execution", None)
        for output in cell.outputs:
            # A widget's id is another one in each run, and names nothing once its kernel is gone.
            output.get("data", {}).pop(WIDGET, None)
        if keep and is_volatile(cell):
            cell.outputs = old.outputs
        elif cell.outputs != old.outputs:
            changed.append(f"cell {cell.id} now prints something else")
    return changed


def problems(notebook: Any) -> list[str]:
    """What a stored notebook must not be; docs/pictures.md names the rules. Empty when all is well."""
    told = []
    if notebook.metadata.get("kernelspec") != KERNEL:
        told.append("its kernelspec is not python3")
    if "widgets" in notebook.metadata:
        told.append("it stores widget state")
    for number, cell in enumerate(_code(notebook), 1):
        told += [f"cell {cell.id}: {what}" for what in _cell_problems(cell, number)]
    return told


def _cell_problems(cell: Any, number: int) -> list[str]:
    told = []
    if cell.execution_count != number:
        told.append(f"it ran as number {cell.execution_count}, not {number}")
    if "execution" in cell.metadata:
        told.append("it stores timing")
    lines = len(cell.source.splitlines())
    if not 1 <= lines <= MOST_LINES:
        told.append(f"it has {lines} lines, allowed are 1 to {MOST_LINES}")
    for output in cell.outputs:
        if output.output_type == "error" or output.get("name") == "stderr":
            told.append(f"it stores {output.get('ename', 'stderr')}")
        if found := _ADDRESS.search(_text(output)):
            told.append(f"its output holds the address {found[0]}")
    return told


def is_volatile(cell: Any) -> bool:
    """Whether its output may differ from run to run."""
    return VOLATILE in cell.metadata.get("tags", [])


def _text(output: Any) -> str:
    shown = [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join([output.get("text", ""), *map(str, shown)])


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _sources(notebook: Any) -> str:
    told = hashlib.sha256()
    for cell in _code(notebook):
        told.update(f"{cell.id}\0{cell.source}\0{is_volatile(cell)}\0".encode())
    return told.hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
