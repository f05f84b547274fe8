"""`labsched check`: a recording judged, and the exit code of what was found."""

from clikit import call
from histories import History, quiet


def test_a_recording_that_keeps_its_promises(tmp_path):
    path = str(tmp_path / "run.json.gz")
    quiet().rec().save(path)
    text = call("check", path)
    assert text.code == 0
    assert text.out.startswith(f"{path}: <Recording of ")
    assert "one-holder" in text.out and "held" in text.out
    document = call("check", path, "--json")
    assert document.code == 0 and document.json["ok"] is True
    assert [g["id"] for g in document.json["guarantees"]][:2] == ["one-holder", "no-stale-write"]


def test_a_violation_is_told_and_exits_1(tmp_path):
    path = str(tmp_path / "run.json")
    h = History().take("a", 1, "i1", until=10).at(9).take("a", 2, "i2", until=20)
    h.rec().save(path)
    text = call("check", path)
    assert text.code == 1
    assert "VIOLATED" in text.out and "one-holder: " in text.out.splitlines()[-1] + text.out
    document = call("check", path, "--json")
    assert document.code == 1
    (one,) = [g for g in document.json["guarantees"] if g["status"] == "VIOLATED"]
    assert one["id"] == "one-holder" and one["violations"][0]["sentence"]


def test_settle_is_a_duration(tmp_path):
    path = str(tmp_path / "run.json")
    quiet().rec().save(path)
    assert call("check", path, "--settle", "5s").code == 0
    wrong = call("check", path, "--settle", "soon")
    assert wrong.code == 2 and "--settle 'soon' is refused" in wrong.err


def test_files_that_cannot_be_read_are_2(tmp_path):
    (tmp_path / "half.json").write_text('{"format": "labsched-recording", "version": 1, "rec')
    (tmp_path / "future.json").write_text('{"format": "labsched-recording", "version": 99, "recording": {}}')
    for name, says in (
        ("half.json", "is not a labsched"),
        ("future.json", "format version 99"),
        ("no", "No such file"),
    ):
        outcome = call("check", str(tmp_path / name))
        assert (outcome.code, outcome.out) == (2, "") and says in outcome.err


def test_a_file_with_a_wrong_value_is_bad_input_and_no_violation(tmp_path):
    quiet(lease="x").rec().save(tmp_path / "run.json")
    outcome = call("check", str(tmp_path / "run.json"))
    assert (outcome.code, outcome.out) == (2, "") and "is damaged: data of event" in outcome.err
    assert len(outcome.err.splitlines()) == 1
