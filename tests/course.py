"""The course as its tests read it: notebooks, exercises, solutions, and answers with the verdict that each deserves.

A notebook 03 has graders in labsched/lab/exercises/n03.py, solutions in notebooks/solutions/03-*.py, and answers to
try in tests/answers/n03.py. The cell that holds the stub of exercise 03-acquire has that very id.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat

from labsched.lab import exercises

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
SOLUTIONS = FOLDER / "solutions"
ANSWERS = Path(__file__).parent / "answers"
NOTEBOOKS = {path.name[:2]: path for path in sorted(FOLDER.glob("[0-9][0-9]-*.ipynb"))}
GRADED = sorted(path.stem[1:] for path in Path(exercises.__file__).parent.glob("n[0-9][0-9].py"))


def graders(number: str) -> dict[str, Any]:
    """The exercises of one notebook, by id."""
    return importlib.import_module(f"labsched.lab.exercises.n{number}").GRADERS


def module(path: Path) -> ModuleType:
    """That file as a module: `inspect` finds the source of what it defines, other processes what they unpickle."""
    name = f"course_{path.parent.name}_{path.stem.replace('-', '_')}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def answers(number: str, kind: str) -> dict[str, list[Any]]:
    """WRONG: pairs of an answer and the guarantee that it breaks. RIGHT: answers beside the solution."""
    path = ANSWERS / f"n{number}.py"
    return getattr(module(path), kind) if path.exists() else {}


@functools.cache
def notebook(number: str) -> Any:
    """As stored. Not to be changed: `solved` gives a copy."""
    return nbformat.read(NOTEBOOKS[number], as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def checks(notebook: Any) -> dict[str, tuple[Any, str]]:
    """For each exercise that the notebook has judged: the cell, and the expression that it hands in."""
    found = {}
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "lab.check":
                id, answer = node.args
                found[id.value] = (cell, ast.unparse(answer))
    return found


def shown(cell: Any) -> str:
    """What the last line of a cell showed, as text."""
    values = [
        output.data.get("text/plain", "") for output in cell.outputs if output.output_type == "execute_result"
    ]
    return "".join(values)


def solution(id: str) -> Any:
    """What the notebook would hand in, had the solution been typed."""
    _, expression = checks(notebook(id[:2]))[id]
    return eval(expression, vars(module(SOLUTIONS / f"{id}.py")))


def solved(number: str) -> Any:
    """A copy of the notebook without outputs, in which each stub has given way to its solution."""
    made = nbformat.reads(nbformat.writes(notebook(number)), as_version=4)
    for cell in code_cells(made):
        cell.outputs = []
        if cell.id in graders(number):
            cell.source = (SOLUTIONS / f"{cell.id}.py").read_text()
    return made
