"""The pages around the course keep up with it: every notebook, exercise and wrong answer, every stored file."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import course
import pytest

DOCS = course.ROOT / "docs"
DATA = course.ROOT / "data"
EXERCISES = [id for number in course.GRADED for id in course.graders(number)]


def page(name: str) -> str:
    return (DOCS / name).read_text()


@pytest.mark.parametrize("number", sorted(course.NOTEBOOKS))
def test_a_notebook_has_its_row_in_the_course_and_its_section_for_instructors(number):
    link = rf"^\| \[{number}\]\(\.\./notebooks/{re.escape(course.NOTEBOOKS[number].name)}\) \| .+ \| \d\d \|$"
    assert re.search(link, page("course.md"), re.MULTILINE)
    assert re.search(rf"^## {number} \S+", page("instructors.md"), re.MULTILINE)


def test_the_minutes_of_the_course_are_those_of_the_guide():
    rows = re.findall(r"^\| (?:\[(\d\d)\]\S+|(\d\d)) \| .+ \| (\d\d) \|$", page("course.md"), re.MULTILINE)
    minutes = {linked or plain: said for linked, plain, said in rows}
    guide = re.findall(r"^## (\d\d) .+\n\n(\d\d) minutes", page("instructors.md"), re.MULTILINE)
    assert minutes == dict(guide) and len(minutes) == 18
    assert "just under ten hours" in page("course.md") and sum(map(int, minutes.values())) == 590


@pytest.mark.parametrize("id", EXERCISES)
def test_the_guide_names_what_is_believed_behind_every_wrong_answer(id):
    section = page("instructors.md").partition(f"\n## {id[:2]} ")[2].partition("\n## ")[0]
    assert f"`{id}`" in section
    named = {answer.__name__ for answer, _ in course.answers(id[:2], "WRONG")[id] if callable(answer)}
    assert {name for name in named if f"`{name}`" not in section} == set()


@pytest.mark.parametrize("path", sorted(DATA.glob("sweeps/*")), ids=lambda path: path.name)
def test_a_stored_result_can_be_rebuilt_and_is_small(path):
    number = path.name[:2]
    assert importlib.util.find_spec(f"labsched.lab.stored.n{number}")
    source = "".join(cell.source for cell in course.code_cells(course.notebook(number)))
    graded = "".join(p.read_text() for p in Path(course.exercises.__file__).parent.glob(f"n{number}*.py"))
    assert path.name in source + graded
    assert path.stat().st_size < 100_000


def test_binder_makes_the_learners_copy(tmp_path):
    script = course.ROOT / "postBuild"
    assert script.stat().st_mode & 0o100
    (tmp_path / "notebooks").mkdir()
    path = course.NOTEBOOKS["00"]
    (tmp_path / "notebooks" / path.name).write_text(path.read_text())
    subprocess.run(["sh", str(script)], cwd=tmp_path, check=True, timeout=60, env=with_this_python())
    assert '"outputs": []' in (tmp_path / "my-notebooks" / path.name).read_text()


def with_this_python():
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(course.ROOT),
    }
