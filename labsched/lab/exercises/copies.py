"""A learner works on a copy of the notebooks, outputs cleared: committed outputs would give every prediction away."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat

from labsched.errors import ConfigError

COPY = Path("my-notebooks")
NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"


def course() -> Path:
    """The folder of the notebooks: of the project in whose folder, or copy, one is; else the one beside the package.

    They are no part of an installed package, since they read `../data` and point at files beside them: then, outside
    of the project's folder, ConfigError.
    """
    for folder in (Path("notebooks").resolve(), Path("../notebooks").resolve(), NOTEBOOKS):
        if list(folder.glob("00-*.ipynb")):
            return folder
    raise ConfigError(
        "the notebooks are not part of the installed package: get the project's files, and call this in their folder"
    )


def make_copy(source: Path, target: Path = COPY) -> list[Path]:
    """Copy the notebooks that are not there yet, without outputs; returns those. What is there stays as it is."""
    notebooks = sorted(source.glob("*.ipynb"))
    if not notebooks:
        raise ConfigError(f"there are no notebooks in {source}")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder {target} cannot be made: {error.strerror}") from None
    made = [target / path.name for path in notebooks if not (target / path.name).exists()]
    for path in made:
        _clear(source / path.name, path)
    return made


def outdated(source: Path, target: Path = COPY) -> list[Path]:
    """Copies of notebooks whose code has changed since they were made, by the mark that `rerun` leaves in them."""
    there = [target / path.name for path in sorted(source.glob("*.ipynb")) if (target / path.name).exists()]
    return [path for path in there if _mark(path) not in (None, _mark(source / path.name))]


def reset(number: str, source: Path | None = None, target: Path | None = None) -> Path:
    """Put the copy of one notebook back to its beginning; what was there is kept beside it, as `NAME.before-reset`.

    `target` is the learner's folder: this one, if a copy lies here, else `my-notebooks`. ConfigError when no notebook
    has that number.
    """
    source = source or course()
    if target is None:
        target = Path() if list(Path().glob(f"{number}-*.ipynb")) else COPY
    if target.resolve() == source.resolve():
        raise ConfigError(f"{source} holds the notebooks themselves: work on a copy, which `make lab` makes")
    found = sorted(source.glob(f"{number}-*.ipynb"))
    if not found:
        raise ConfigError(f"no notebook begins with {number!r}")
    copy = target / found[0].name
    if copy.exists():
        shutil.move(copy, _beside(copy))
    target.mkdir(parents=True, exist_ok=True)
    _clear(found[0], copy)
    return copy


def _beside(copy: Path) -> Path:
    """A name that no earlier reset has used: that work may be wanted too."""
    first = copy.with_suffix(".ipynb.before-reset")
    number = 2
    free = first
    while free.exists():
        free, number = first.with_name(f"{first.name}-{number}"), number + 1
    return free


def _mark(path: Path) -> str | None:
    """None when it has none, or is no notebook any more."""
    try:
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except (OSError, ValueError):
        return None
    mark: str | None = notebook.metadata.get("labsched", {}).get("sources")
    return mark


def _clear(source: Path, target: Path) -> None:
    notebook = nbformat.read(source, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, target)  # type: ignore[no-untyped-call]
