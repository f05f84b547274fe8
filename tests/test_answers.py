"""Every exercise refuses what is wrong, for the right reason, and accepts what is right, however it is written."""

from __future__ import annotations

import time

import course
import pytest

from labsched.lab.exercises.grading import check

EXERCISES = [id for number in course.GRADED for id in course.graders(number)]
MOST = 10  # seconds of this process's time; a learner waits for it (5 on a quiet machine, 0.7 for most)


def named(answer) -> str:
    return getattr(answer, "__name__", "value")


def tries(kind):
    """A case for each answer, in an order and with names that are the same in every process."""
    return [
        pytest.param(id, entry, id=f"{id}-{place}-{named(entry[0] if kind == 'WRONG' else entry)}")
        for number in course.GRADED
        for id, entries in course.answers(number, kind).items()
        for place, entry in enumerate(entries)
    ]


@pytest.fixture(autouse=True)
def unrecorded(monkeypatch, tmp_path):
    monkeypatch.setenv("LABSCHED_PROGRESS", "off")
    monkeypatch.chdir(tmp_path)


def judged(id, answer):
    began = time.process_time()
    verdict = check(id, answer)
    spent = time.process_time() - began
    assert verdict.sentence and "\n" not in verdict.sentence
    assert spent < MOST, f"{spent:.1f} s"
    return verdict


@pytest.mark.parametrize(("id", "entry"), tries("WRONG"))
def test_a_wrong_answer_is_refused_and_the_guarantee_that_it_breaks_is_named(id, entry):
    answer, guarantee = entry
    verdict = judged(id, answer)
    assert not verdict.ok
    assert verdict.guarantee == guarantee, verdict.sentence


@pytest.mark.parametrize("id", EXERCISES)
def test_the_solution_passes(id):
    verdict = judged(id, course.solution(id))
    assert verdict.ok, verdict


@pytest.mark.parametrize(("id", "answer"), tries("RIGHT"))
def test_another_right_answer_passes(id, answer):
    verdict = judged(id, answer)
    assert verdict.ok, verdict


@pytest.mark.parametrize("id", EXERCISES)
def test_an_exercise_has_a_stub_a_solution_and_enough_answers_to_be_judged_by(id):
    number = id[:2]
    assert (course.SOLUTIONS / f"{id}.py").exists()
    assert len(course.answers(number, "WRONG").get(id, [])) >= 3
    assert len(course.answers(number, "RIGHT").get(id, [])) >= 1  # beside the solution
    cells = [cell.id for cell in course.code_cells(course.notebook(number))]
    check_cell, _ = course.checks(course.notebook(number))[id]
    assert id in cells and cells.index(id) < cells.index(check_cell.id)


@pytest.mark.parametrize("id", EXERCISES)
def test_the_stub_of_the_notebook_is_refused_in_words(id):
    cell, _ = course.checks(course.notebook(id[:2]))[
        id
    ]  # what is stored is what it prints: tests/test_notebooks.py
    assert course.shown(cell).startswith("not yet: ")
    assert len(course.shown(cell).splitlines()) == 1


@pytest.mark.parametrize("number", sorted(course.NOTEBOOKS))
def test_a_notebook_but_the_first_has_two_exercises_or_more(number):
    exercises = course.graders(number) if number in course.GRADED else {}
    assert all(id.startswith(f"{number}-") for id in exercises)
    assert set(course.checks(course.notebook(number))) == set(exercises)
    assert len(exercises) >= (0 if number == "00" else 2)


def test_no_solution_and_no_answer_is_without_its_exercise():
    assert {path.stem for path in course.SOLUTIONS.glob("*.py")} == set(EXERCISES)
    assert {path.stem[1:] for path in course.ANSWERS.glob("n*.py")} == set(course.GRADED)
    for number in course.GRADED:
        for kind in ("WRONG", "RIGHT"):
            assert course.answers(number, kind).keys() == course.graders(number).keys()
