"""Predictions, verdicts and progress: what a learner says and does, kept beside the notebooks."""

from __future__ import annotations

import contextlib
import json
import types

import nbformat
import pytest

from labsched.config import Settings
from labsched.errors import ConfigError
from labsched.lab.exercises import grading
from labsched.lab.exercises.copies import make_copy, reset
from labsched.lab.exercises.grading import Verdict, check
from labsched.lab.exercises.predictions import predict
from labsched.lab.exercises.progress import progress


@pytest.fixture(autouse=True)
def own_file(tmp_path, monkeypatch):
    monkeypatch.setenv("LABSCHED_PROGRESS", str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


ASK = ("00-gap", "How long is nobody in charge?", ["not at all", "about 4 s", "30 min"])


def test_a_prediction_left_out_says_so_and_keeps_nothing(own_file):
    asked = predict(*ASK)
    assert repr(asked).startswith("How long is nobody in charge?\n  - not at all\n")
    assert repr(asked).endswith(
        "no prediction yet: put one of these in place of the dots, and run the cell again"
    )
    assert repr(asked.was("about 4 s")) == "it was: about 4 s (you made no prediction)"
    assert not own_file.exists()


def test_a_prediction_is_kept_and_compared():
    assert predict(*ASK, answer="30 min").was("about 4 s").right is False
    assert repr(progress()) == "00-gap  prediction  predicted 30 min; it was about 4 s\n" \
        "0 of 0 exercises that were tried are solved"  # fmt: skip
    assert predict(*ASK).answer == "30 min"  # the cell was run again with dots


def test_a_prediction_may_be_changed_before_the_reveal_and_is_shown_as_changed_after_it():
    predict(*ASK, answer="not at all")
    predict(*ASK, answer="30 min").was("about 4 s")
    assert repr(progress()).startswith("00-gap  prediction  predicted 30 min; it was")
    later = predict(*ASK, answer="about 4 s")
    assert "(it was 30 min before you saw the answer)" in repr(later)
    assert repr(later.was("about 4 s")) == "it was: about 4 s; you said 30 min"
    assert "predicted 30 min, changed to about 4 s afterwards; it was about 4 s" in repr(progress())


def test_an_answer_that_is_no_option_is_refused_in_one_line():
    with pytest.raises(
        ConfigError, match="'4 s' is none of the options of 00-gap: 'not at all', 'about 4 s', '30 min'"
    ):
        predict(*ASK, answer="4 s")


@pytest.fixture
def exercise(monkeypatch):
    def add(grader):
        monkeypatch.setattr(
            grading, "_module", lambda number: types.SimpleNamespace(GRADERS={"03-acquire": grader})
        )

    return add


def test_a_verdict_says_what_is_missing_and_the_tries_are_counted(exercise):
    exercise(lambda answer: Verdict(answer == 3, "b took it too", "one-holder"))
    assert repr(check("03-acquire", 1)) == "not yet: one-holder: b took it too"
    assert (
        check("03-acquire", 2).ok is False
        and check("03-acquire", 3).ok
        and check("03-acquire", 0).ok is False
    )
    assert "03-acquire  exercise    solved after 3 tries\n1 of 1 exercises" in repr(progress())


def test_what_an_answer_raises_is_told_with_the_learners_line_and_breaks_no_guarantee(exercise):
    exercise(lambda answer: answer())

    def answer():
        raise ZeroDivisionError("oops")

    verdict = check("03-acquire", answer)
    assert (verdict.ok, verdict.guarantee) == (False, "")
    assert "your code raised ZeroDivisionError: oops (line" in verdict.sentence and "oops" in verdict.sentence


def test_an_answer_that_never_ends_is_interrupted_and_told(exercise, monkeypatch):
    monkeypatch.setattr(grading, "LONGEST", 0.2)
    exercise(lambda answer: answer())

    def answer():
        while True:
            with contextlib.suppress(Exception):
                pass

    assert "did not come to an end within 0.2 s" in check("03-acquire", answer).sentence


@pytest.mark.parametrize("id", ["99-none", "03", "x", "../03-acquire"])
def test_an_exercise_that_does_not_exist_is_one_line(id):
    with pytest.raises(ConfigError, match="there is no exercise"):
        check(id, None)


def test_nothing_is_kept_when_progress_is_off(monkeypatch, tmp_path):
    monkeypatch.setenv("LABSCHED_PROGRESS", "off")
    monkeypatch.chdir(tmp_path)
    predict(*ASK, answer="30 min")
    assert repr(progress()) == "nothing predicted and nothing solved yet" and list(tmp_path.iterdir()) == []


def test_the_variable_that_switches_progress_off_is_no_unknown_setting():
    assert Settings.load(env={"LABSCHED_PROGRESS": "off"}) == Settings()


def test_a_broken_file_is_told_and_not_overwritten(own_file):
    own_file.write_text("{broken")
    with pytest.raises(ConfigError, match="cannot be read"):
        predict(*ASK, answer="30 min")
    assert own_file.read_text() == "{broken"


def test_progress_can_be_collected_for_a_class(exercise):
    predict(*ASK, answer="30 min")
    assert progress().to_csv("ada").splitlines()[1] == "ada,00-gap,prediction,30 min,30 min,,0,False"


def notebook(path, text):
    cell = nbformat.v4.new_code_cell(
        text, outputs=[nbformat.v4.new_output("stream", text="4 s")], execution_count=1
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)


def test_a_copy_has_no_outputs_is_never_overwritten_and_comes_back_on_request(tmp_path):
    source, target = tmp_path / "notebooks", tmp_path / "mine"
    source.mkdir()
    notebook(source / "05-fencing.ipynb", "a = 1")
    (made,) = make_copy(source, target)
    cells = json.loads(made.read_text())["cells"]
    assert cells[0]["outputs"] == [] and cells[0]["execution_count"] is None
    made.write_text("mine")
    assert make_copy(source, target) == [] and made.read_text() == "mine"
    assert reset("05", source, target) == made and "a = 1" in made.read_text()
    assert (target / "05-fencing.ipynb.before-reset").read_text() == "mine"
    with pytest.raises(ConfigError, match="no notebook begins with '42'"):
        reset("42", source, target)
    with pytest.raises(ConfigError, match="work on a copy"):
        reset("05", source, source)
