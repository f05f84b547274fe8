"""URLs and the clients that they open: what is allowed, what is refused, and how calls are cancelled."""

import asyncio
import socket
from importlib.metadata import EntryPoint

import pytest
from outside import private_runtime  # noqa: F401  (a fixture)
from redis import exceptions as rex

from labsched import connect
from labsched.connect import hide_password, open_url
from labsched.errors import ConfigError
from labsched.worlds.fake import open_fake
from labsched.worlds.ports import ping
from labsched.worlds.runtime import attach_url, find_runtime
from labsched.worlds.server import Server


async def test_an_opened_url_has_a_client_for_commands_and_one_for_blocking_reads(embedded):
    made = open_url(embedded.url, request_timeout=0.2, blocking_timeout=5.0)
    await made.redis.ping()
    with pytest.raises(rex.TimeoutError):
        await made.redis.blpop("nothing", timeout=1)
    assert await made.blocking.blpop("nothing", timeout=0.4) is None
    assert "hiredis" in type(made.redis.connection_pool.make_connection()._parser).__name__.lower()
    assert connect.urlsplit(embedded.url).password not in repr(made)
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
