"""Every notebook runs and prints what it says it prints, with its exercises solved too, and follows the rules."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import course
import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labsched.lab import rerun

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = [pytest.param(path, id=path.name) for path in sorted(FOLDER.glob("*.ipynb"))]
SOLVABLE = [pytest.param(n, id=path.name) for n, path in course.NOTEBOOKS.items() if n in course.GRADED]


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_a_notebook_runs_and_prints_what_is_stored(path):
    # Outputs are compared on the pinned Python; on the others it is enough that nothing raises.
    mode = "--nbval" if sys.version_info[:2] == (3, 11) else "--nbval-lax"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        mode,
        "--nbval-kernel-name=python3",
        "-p",
        "no:cacheprovider",
        str(path),
    ]
    quiet = {
        name: value for name, value in os.environ.items() if not name.startswith(("LABSCHED_", "PYTEST_"))
    }
    quiet["LABSCHED_PROGRESS"] = "off"
    ran = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER.parent, env=quiet, timeout=180)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    number = len(course.code_cells(nbformat.read(path, as_version=4)))
    assert f"{number} passed" in ran.stdout


@pytest.mark.parametrize("number", SOLVABLE)
def test_with_the_solutions_in_place_of_the_stubs_every_check_of_a_notebook_passes(number, monkeypatch):
    monkeypatch.setenv("LABSCHED_PROGRESS", "off")
    notebook = course.solved(number)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    verdicts = {id: course.shown(cell) for id, (cell, _) in course.checks(notebook).items()}
    assert verdicts.keys() == course.graders(number).keys()
    assert [id for id, told in verdicts.items() if not told.startswith("right: ")] == [], verdicts


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_a_notebook_is_stored_as_the_rules_ask(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert rerun.problems(notebook) == []
    assert 10 <= len(notebook.cells) <= 60
    assert notebook.cells[0].source.startswith("# ")
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_a_cell_whose_output_is_not_compared_asserts_what_matters_or_only_looks(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in course.code_cells(notebook):
        changes = re.search(r"\.(kill|pause|partition|restart|trigger\w*|wait)\(", cell.source)
        if rerun.is_volatile(cell) and changes:
            assert "assert " in cell.source, cell.id


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_a_notebook_uses_no_private_name_of_labsched(path):
    for cell in course.code_cells(nbformat.read(path, as_version=4)):
        for node in ast.walk(ast.parse(cell.source)):
            name = getattr(node, "attr", "") if isinstance(node, ast.Attribute) else getattr(node, "name", "")
            assert not re.match(r"_[a-z]", name or ""), (cell.id, name)


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_every_file_that_a_notebook_names_exists(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for found in re.findall(
            r"[\"`]((?:\.\./)?(?:data|docs|notebooks|labsched)/[\w./-]+)[\"`]", cell.source
        ):
            base = FOLDER if found.startswith("..") else FOLDER.parent
            assert (base / found).exists(), found


def notebook_of(*cells):
    kernel = {"kernelspec": dict(rerun.KERNEL), "language_info": {"name": "python"}}
    return new_notebook(cells=[new_markdown_cell("# A title", id="title"), *cells], metadata=kernel)


def saved(folder: Path, *cells) -> Path:
    path = folder / "n.ipynb"
    nbformat.write(notebook_of(*cells), path)
    return path


def test_rerun_changes_no_byte_the_second_time_even_where_outputs_differ(tmp_path):
    volatile = {"tags": [rerun.VOLATILE]}
    path = saved(
        tmp_path,
        new_code_cell("import time\nprint('a')\nprint('b')", id="one"),
        new_code_cell("time.time_ns()", id="two", metadata=volatile),
    )
    assert rerun.rerun(path) == []
    once = path.read_bytes()
    assert rerun.rerun(path) == []
    assert path.read_bytes() == once
    assert rerun.rerun(path, fresh=True) == []
    assert path.read_bytes() != once


def test_rerun_takes_new_outputs_once_a_cell_was_changed(tmp_path):
    volatile = {"tags": [rerun.VOLATILE]}
    path = saved(tmp_path, new_code_cell("n = 1", id="one"), new_code_cell("n", id="two", metadata=volatile))
    rerun.rerun(path)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].source = "n = 2"
    nbformat.write(notebook, path)
    assert rerun.rerun(path) == []
    assert nbformat.read(path, as_version=4).cells[2].outputs[0].data["text/plain"] == "2"


def test_rerun_tells_when_a_compared_cell_prints_something_else(tmp_path):
    path = saved(tmp_path, new_code_cell("import time\ntime.time_ns()", id="one"))
    rerun.rerun(path)
    assert rerun.rerun(path) == ["cell one now prints something else"]


def test_rerun_stores_no_id_of_a_widget_and_nothing_is_kept_of_what_was_solved(tmp_path):
    solved = "from labsched import lab\nlab.predict('00-a', 'b?', ['c'], answer='c')"
    path = saved(
        tmp_path,
        new_code_cell("import ipywidgets\nipywidgets.IntSlider()", id="one"),
        new_code_cell(solved, id="two"),
    )
    assert rerun.rerun(path) == []
    shown = nbformat.read(path, as_version=4).cells[1].outputs[0].data
    assert list(shown) == ["text/plain"]
    assert [file.name for file in tmp_path.iterdir()] == ["n.ipynb"]


def test_rerun_leaves_a_notebook_alone_when_a_cell_raises(tmp_path):
    path = saved(tmp_path, new_code_cell("1 / 0", id="one"))
    before = path.read_bytes()
    assert rerun.rerun(path) == ["a cell raised ZeroDivisionError: division by zero"]
    assert path.read_bytes() == before
    assert rerun.main([str(path)]) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"execution_count": 3}, "cell one: it ran as number 3, not 1"),
        ({"execution_count": None}, "cell one: it ran as number None, not 1"),
        ({"source": "\n".join("x" * 13)}, "cell one: it has 13 lines, allowed are 1 to 12"),
        ({"source": ""}, "cell one: it has 0 lines, allowed are 1 to 12"),
        ({"outputs": [new_output("stream", name="stderr", text="!")]}, "cell one: it stores stderr"),
        (
            {"outputs": [new_output("error", ename="ValueError", evalue="", traceback=[])]},
            "cell one: it stores ValueError",
        ),
        (
            {"outputs": [new_output("stream", name="stdout", text="<a at 0x7f00aabbccdd>")]},
            "cell one: its output holds the address 0x7f00aabbccdd",
        ),
        (
            {"outputs": [new_output("execute_result", data={"text/plain": "<b at 0x7f00aabbccdd>"})]},
            "cell one: its output holds the address 0x7f00aabbccdd",
        ),
        ({"metadata": {"execution": {}}}, "cell one: it stores timing"),
    ],
)
def test_the_rules_refuse(change, told):
    notebook = notebook_of(new_code_cell("1", id="one", execution_count=1))
    assert rerun.problems(notebook) == []
    notebook.cells[1].update(nbformat.from_dict(change))
    assert rerun.problems(notebook) == [told]


def test_the_rules_want_python3_and_no_widget_state():
    notebook = notebook_of()
    notebook.metadata = {"widgets": {}}
    assert rerun.problems(notebook) == ["its kernelspec is not python3", "it stores widget state"]
