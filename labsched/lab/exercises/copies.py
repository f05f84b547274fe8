"""A learner works on a copy of the notebooks, outputs cleared: committed outputs would give every prediction away."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat

from labsched.errors import ConfigError

COPY = Path("my-notebooks")
NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"


def make_copy(source: Path, target: Path = COPY) -> list[Path]:
    """Copy the notebooks that are not there yet, without outputs; returns those. What is there stays as it is."""
    notebooks = sorted(source.glob("*.ipynb"))
    if not notebooks:
        raise ConfigError(f"there are no notebooks in {source}")
    target.mkdir(parents=True, exist_ok=True)
    made = [target / path.name for path in notebooks if not (target / path.name).exists()]
    for path in made:
        _clear(source / path.name, path)
    return made


def reset(number: str, source: Path | None = None, target: Path | None = None) -> Path:
    """Put the copy of one notebook back to its beginning; what was there is kept beside it, as `NAME.before-reset`.

    `target` is the learner's folder: this one, if a copy lies here, else `my-notebooks`. ConfigError when no notebook
    has that number.
    """
    source = source or NOTEBOOKS
    if target is None:
        target = Path() if list(Path().glob(f"{number}-*.ipynb")) else COPY
    if target.resolve() == source.resolve():
        raise ConfigError(f"{source} holds the notebooks themselves: work on a copy, which `make lab` makes")
    found = sorted(source.glob(f"{number}-*.ipynb"))
    if not found:
        raise ConfigError(f"no notebook begins with {number!r}")
    copy = target / found[0].name
    if copy.exists():
        shutil.move(copy, copy.with_suffix(".ipynb.before-reset"))
    target.mkdir(parents=True, exist_ok=True)
    _clear(found[0], copy)
    return copy


def _clear(source: Path, target: Path) -> None:
    notebook = nbformat.read(source, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, target)  # type: ignore[no-untyped-call]
