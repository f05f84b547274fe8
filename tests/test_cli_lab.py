"""`labsched lab` and `labsched panel`: what is told before anything is served, and what is served."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from clikit import call, clean_env, free_port, wait_for
from nbformat.v4 import new_code_cell, new_notebook

from labsched.lab.exercises import copies

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def become(monkeypatch):
    """The words with which this process would have become another one."""
    told = []
    monkeypatch.setattr("os.execv", lambda program, words: told.append(words))
    return told


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a notebook and no package beside it, as if labsched were installed elsewhere."""
    monkeypatch.setattr(copies, "NOTEBOOKS", tmp_path / "site-packages" / "notebooks")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    write(tmp_path / "notebooks" / "00-start-here.ipynb", mark="one")
    return tmp_path


def write(path, mark):
    made = new_notebook(
        cells=[new_code_cell("1", execution_count=1)], metadata={"labsched": {"sources": mark}}
    )
    nbformat.write(made, path)


@contextlib.contextmanager
def serving(folder, *words):
    """A command that serves until it is told to stop."""
    with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
        command = [sys.executable, "-m", "labsched", *words]
        home = {"HOME": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
        server = subprocess.Popen(
            command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=folder, env=clean_env() | home
        )
    try:
        yield server, lambda: (folder / "out").read_text() + (folder / "err").read_text()
    finally:
        server.kill()
        server.wait()


def fetched(address):
    try:
        with urllib.request.urlopen(address, timeout=30) as reply:
            return reply.status, reply.geturl(), reply.read()
    except urllib.error.HTTPError as error:
        return error.code, address, b""
    except OSError:
        return None, address, b""


# --- lab


def test_an_installed_package_without_the_projects_files_says_so_in_one_line(project, monkeypatch):
    (project / "else" / "where").mkdir(parents=True)
    monkeypatch.chdir(project / "else" / "where")
    shown = call("lab", "--no-browser")
    assert shown.code == 2 and "not part of the installed package" in shown.err and shown.err.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_jupyterlab_opens_at_the_first_notebook_of_the_copy_and_sees_the_projects_files(project, become):
    shown = call("lab", "--no-browser")
    assert shown.code == 0 and "1 of them new" in shown.out
    (told,) = become
    assert "--LabApp.default_url=/lab/tree/my-notebooks/00-start-here.ipynb" in told
    assert f"--ServerApp.root_dir={project}" in told and "--ip=127.0.0.1" in told and "--no-browser" in told


def test_an_update_leaves_the_learners_work_alone_and_tells_of_what_is_newer(project):
    call("lab")
    mine = project / "my-notebooks" / "00-start-here.ipynb"
    work = mine.read_text()
    assert '"outputs": []' in work
    assert "newer" not in call("lab").out
    write(project / "notebooks" / "00-start-here.ipynb", mark="two")
    write(project / "notebooks" / "01-time.ipynb", mark="one")
    shown = call("lab").out
    assert "1 of them new" in shown and 'lab.reset("00")' in shown and 'lab.reset("01")' not in shown
    assert mine.read_text() == work


def test_resetting_twice_keeps_both_versions(project):
    source, target = project / "notebooks", project / "my-notebooks"
    copies.make_copy(source, target)
    for work in ("first", "second"):
        (target / "00-start-here.ipynb").write_text(work)
        copies.reset("00", source, target)
    kept = sorted(path.read_text() for path in target.glob("*.before-reset*"))
    assert kept == ["first", "second"]


def test_jupyterlab_serves_the_copy_to_whoever_has_the_token(project):
    port = free_port()
    with serving(project, "lab", "--no-browser", "--port", str(port)) as (server, said):
        wait_for(lambda: re.search(r"token=\w+", said()) or server.poll() is not None, "no address", 60)
        token = re.search(r"token=(\w+)", said())[1]
        folder = f"http://127.0.0.1:{port}/api/contents/my-notebooks"
        wait_for(lambda: fetched(folder)[0] is not None, "nothing is served", 60)
        assert fetched(folder)[0] == 403
        listed = json.loads(fetched(f"{folder}?token={token}")[2])
        assert "00-start-here.ipynb" in {one["name"] for one in listed["content"]}
        server.send_signal(signal.SIGTERM)
        server.wait(30)


# --- panel


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["leader-kil"], 2, "did you mean leader-kill?"),
        (["nowhere.yml"], 2, "nowhere.yml"),
        (["swarm"], 2, "labsched sim swarm"),
        (["--pace", "100"], 2, "--pace"),
    ],
)
def test_a_wrong_call_of_the_panel_is_one_line(words, code, said):
    shown = call("panel", "--no-browser", *words)
    assert shown.code == code and said in shown.err and shown.err.count("\n") == 1


MISSING = [
    ("lab", "jupyterlab", "lab"),
    ("panel", "voila", "panel"),
    ("sim", "fakeredis", "lab"),
    ("fidelity", "fakeredis", "lab"),
]


@pytest.mark.parametrize(("command", "package", "extra"), MISSING)
def test_a_package_that_is_missing_is_told_with_the_extra_that_brings_it(
    command, package, extra, monkeypatch
):
    there = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else there(name))
    shown = call(command)
    assert shown.code == 1 and f"{package} is not installed: pip install 'labsched[{extra}]'" in shown.err


@pytest.mark.parametrize("command", ["lab", "panel"])
def test_a_port_that_is_taken_is_told(command, project, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        shown = call(command, "--port", str(port), "--no-browser")
    assert shown.code == 1 and f"port {port} cannot be used" in shown.err and "--port" in shown.err


def test_the_panel_is_served_to_whoever_has_the_token_and_ends_without_a_trace(tmp_path):
    folder = tmp_path / "tmp"
    folder.mkdir()
    port = free_port()
    with serving(tmp_path, "panel", "leader-kill", "--no-browser", "--port", str(port)) as (server, said):
        wait_for(lambda: "token=" in said() or server.poll() is not None, "no address", 60)
        address = re.search(r"http://127.0.0.1:\d+/\?token=\S+", said())[0]
        wait_for(lambda: fetched(address.partition("?")[0])[0] is not None, "nothing is served", 60)
        assert "/login" in fetched(address.partition("?")[0])[1]  # Voila turns others away
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
        assert "Traceback" not in said()
