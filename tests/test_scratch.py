"""One contract for every Scratch, then what only a real folder can get wrong."""

import os
import threading
from pathlib import Path

import pytest
from clocks import StandingClock

from labsched.errors import ConfigError
from labsched.scratch import MARKER, FolderScratch, MemoryScratch


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture(params=["folder", "memory"])
def scratch(request, tmp_path, clock):
    return FolderScratch(tmp_path / "scratch", clock) if request.param == "folder" else MemoryScratch(clock)


def test_a_new_scratch_is_empty(scratch):
    assert scratch.names() == []


def test_what_was_written_is_read_back(scratch):
    scratch.write("a.md", b"one")
    scratch.write("b.bin", bytes(range(256)))
    assert scratch.read("a.md") == b"one"
    assert scratch.read("b.bin") == bytes(range(256))
    assert scratch.names() == ["a.md", "b.bin"]
    assert scratch.size("b.bin") == 256


def test_writing_again_replaces_and_makes_it_young(scratch, clock):
    scratch.write("a", b"long content")
    clock.time += 10
    scratch.write("a", b"x")
    assert (scratch.read("a"), scratch.size("a"), scratch.age("a")) == (b"x", 1, 0.0)
    assert scratch.names() == ["a"]


def test_age_is_counted_by_the_clock_that_was_passed_in(scratch, clock):
    scratch.write("a", b"")
    clock.time += 2.5
    assert scratch.age("a") == pytest.approx(2.5, abs=1e-3)


def test_age_is_never_negative_when_the_clock_steps_back(scratch, clock):
    scratch.write("a", b"")
    clock.time -= 100
    assert scratch.age("a") == 0.0


def test_removing_forgets_and_removing_twice_is_fine(scratch):
    scratch.write("a", b"")
    scratch.write("b", b"")
    scratch.remove("a")
    scratch.remove("a")
    assert scratch.names() == ["b"]


@pytest.mark.parametrize("look", ["read", "age", "size"])
def test_what_is_not_there_is_file_not_found(scratch, look):
    with pytest.raises(FileNotFoundError):
        getattr(scratch, look)("missing")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        MARKER,
        "a/b",
        "../a",
        "/etc/passwd",
        "a\\b",
        "a\nb",
        "a\0b",
        "x" * 201,
        "é" * 101,
    ],
)
@pytest.mark.parametrize("call", ["write", "read", "age", "size", "remove"])
def test_a_name_that_could_lead_elsewhere_is_a_value_error(scratch, name, call):
    arguments = (name, b"") if call == "write" else (name,)
    with pytest.raises(ValueError, match="plain file name"):
        getattr(scratch, call)(*arguments)


@pytest.mark.parametrize(
    "name", ["a", "report-daily-report@1764000000000.md", "a..b", "a b", "ä.txt", "x" * 200]
)
def test_ordinary_names_are_accepted(scratch, name):
    scratch.write(name, b"1")
    assert scratch.names() == [name]


def test_later_changes_to_a_written_buffer_do_not_show(scratch):
    data = bytearray(b"abc")
    scratch.write("a", data)
    data[0] = 0
    assert scratch.read("a") == b"abc"


def test_it_says_where_it_is(scratch):
    assert isinstance(scratch.where, str)
    assert scratch.where


# --- only a folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "scratch"


def test_the_folder_is_created_with_its_parents_and_marked(tmp_path, clock):
    root = tmp_path / "x" / "y"
    FolderScratch(root, clock)
    assert (root / MARKER).is_file()


def test_an_empty_folder_is_taken_and_marked(folder, clock):
    folder.mkdir()
    FolderScratch(folder, clock)
    assert (folder / MARKER).is_file()


def test_a_folder_with_files_and_no_marker_is_refused_and_untouched(folder, clock):
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=str(folder)):
        FolderScratch(folder, clock)
    assert os.listdir(folder) == ["thesis.tex"]


def test_two_instances_share_one_folder(folder, clock):
    FolderScratch(folder, clock).write("a", b"1")
    second = FolderScratch(folder, clock)
    assert second.read("a") == b"1"


def test_a_file_in_the_place_of_the_folder_is_refused(folder, clock):
    folder.write_text("")
    with pytest.raises(ConfigError, match="cannot be the scratch folder"):
        FolderScratch(folder, clock)


def test_once_the_marker_is_gone_nothing_is_deleted_or_written(folder, clock):
    scratch = FolderScratch(folder, clock)
    scratch.write("a", b"1")
    (folder / MARKER).unlink()
    for call in (lambda: scratch.remove("a"), lambda: scratch.write("a", b"2")):
        with pytest.raises(ConfigError, match="lost its"):
            call()
    assert (folder / "a").read_bytes() == b"1"


def test_a_symlink_is_not_listed_not_read_and_not_removed(folder, clock, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    scratch = FolderScratch(folder, clock)
    (folder / "link").symlink_to(outside)
    assert scratch.names() == []
    with pytest.raises(FileNotFoundError):
        scratch.read("link")
    scratch.remove("link")
    assert (folder / "link").is_symlink()


def test_writing_over_a_symlink_replaces_it_and_not_its_target(folder, clock, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    scratch = FolderScratch(folder, clock)
    (folder / "link").symlink_to(outside)
    scratch.write("link", b"new")
    assert outside.read_text() == "mine"
    assert scratch.read("link") == b"new"


def test_subfolders_are_left_alone(folder, clock):
    scratch = FolderScratch(folder, clock)
    (folder / "sub").mkdir()
    scratch.remove("sub")
    assert scratch.names() == []
    assert (folder / "sub").is_dir()


def test_a_folder_named_through_a_symlink_stays_the_same_when_the_link_moves(folder, clock, tmp_path):
    link = tmp_path / "link"
    FolderScratch(folder, clock)
    link.symlink_to(folder)
    scratch = FolderScratch(link, clock)
    link.unlink()
    link.symlink_to(tmp_path)
    scratch.write("a", b"1")
    assert (folder / "a").exists()


def test_what_a_killed_writer_left_is_dropped_later_and_a_running_one_is_not_disturbed(folder, clock):
    FolderScratch(folder, clock)
    for name, age in (("old", 120), ("new", 1)):
        path = folder / f".unfinished-{name}"
        path.write_text("")
        os.utime(path, (clock.now() - age, clock.now() - age))
    assert FolderScratch(folder, clock).names() == []
    assert sorted(os.listdir(folder)) == [MARKER, ".unfinished-new"]


def test_a_failed_write_leaves_the_old_content_and_no_litter(folder, clock, monkeypatch):
    scratch = FolderScratch(folder, clock)
    scratch.write("a", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        scratch.write("a", b"new")
    assert scratch.read("a") == b"old"
    assert sorted(os.listdir(folder)) == [MARKER, "a"]


def test_a_reader_never_sees_half_a_file(folder, clock):
    scratch = FolderScratch(folder, clock)
    contents = [bytes([n]) * 200_000 for n in (1, 2)]
    scratch.write("a", contents[0])

    def rewrite():
        for n in range(60):
            scratch.write("a", contents[n % 2])

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = {scratch.read("a") for _ in range(100)}
    writer.join()
    assert seen <= set(contents)
