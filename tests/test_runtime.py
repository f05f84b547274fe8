"""How other commands find a running server, and only the right one."""

import os
import stat
import subprocess

import msgspec
import pytest
from outside import private_runtime  # noqa: F401  (a fixture)

from labsched.errors import ConfigError
from labsched.worlds import runtime
from labsched.worlds.runtime import attach_url, find_runtime, publish_runtime
from labsched.worlds.server import Server


def test_other_commands_find_a_published_server(embedded, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"no embedded server runs here: start one with `labsched up`"):
        attach_url()
    entry = publish_runtime(embedded.url, namespace="demo", instances=3)
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE(entry.parent.stat().st_mode) == 0o700
    info = find_runtime()
    assert (info.url, info.namespace, info.instances, info.pid) == (embedded.url, "demo", 3, os.getpid())
    assert attach_url() == embedded.url
    assert find_runtime(tmp_path) is None
    monkeypatch.chdir(tmp_path)
    assert attach_url() == embedded.url, "the only one there is"
    runtime.withdraw_runtime(entry)
    assert find_runtime() is None


def test_the_newest_server_of_this_folder_is_meant_and_strangers_are_asked_about(
    embedded, tmp_path, monkeypatch
):
    with Server(data_dir=tmp_path / "data") as other:
        publish_runtime(embedded.url)
        publish_runtime(other.url, data_dir=tmp_path / "data")
        assert attach_url() == other.url
        assert attach_url(tmp_path / "data") == other.url
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigError, match="several embedded servers run"):
            attach_url()


def test_files_of_dead_owners_silent_servers_and_nonsense_are_ignored(embedded):
    entry = publish_runtime(embedded.url)
    info = find_runtime()
    child = subprocess.Popen(["true"])
    child.wait()
    entry.write_bytes(msgspec.json.encode(msgspec.structs.replace(info, pid=child.pid)))
    assert find_runtime() is None and not entry.exists()
    entry.write_bytes(msgspec.json.encode(msgspec.structs.replace(info, url="redis://:x@127.0.0.1:1/0")))
    assert find_runtime() is None and entry.exists()
    entry.write_bytes(
        msgspec.json.encode(msgspec.structs.replace(info, url=info.url.replace("://:", "://:no")))
    )
    assert find_runtime() is None, "another server on the same port is not the one that was published"
    entry.write_text("{")
    assert find_runtime() is None


def test_a_runtime_folder_that_others_can_enter_is_refused(tmp_path, monkeypatch):
    (tmp_path / "run" / "labsched").mkdir()
    (tmp_path / "run" / "labsched").chmod(0o755)
    with pytest.raises(ConfigError, match="not private to you"):
        find_runtime()
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(runtime.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / f"labsched-{os.getuid()}").symlink_to(tmp_path / "run")
    with pytest.raises(ConfigError, match="not private to you"):
        find_runtime()
