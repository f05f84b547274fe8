"""Each mending of fakeredis: first that it is still needed, then that ours is right.

A test that fails in its first half says that upstream has mended it: take our mending out.
"""

import hashlib
import os
import subprocess
import sys
import threading
import time
from typing import Any

import fakeredis
import pytest
import redis

from labsched.worlds.simulated import interpreter
from labsched.worlds.simulated.mending import MendedServer
from labsched.worlds.simulated.scripting import ScriptSocket


class Session:
    """Commands on a mended server, one after the other, at a moment that the test chooses."""

    def __init__(self, server: MendedServer | None = None, now: float = 1000.0) -> None:
        self.server = server or MendedServer("seed")
        self.now, self.serial, self.replies = now, 0, list[Any]()
        self.socket = ScriptSocket(self.server, self.replies.append)

    def do(self, *words: Any) -> Any:
        self.replies.clear()
        self.serial += 1
        fields = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.server.execute(self.socket, fields, self.now, self.serial)
        reply = self.replies[-1] if self.replies else None
        if isinstance(reply, Exception):
            raise reply
        return reply

    def script(self, source: str, *words: Any) -> Any:
        return self.do("EVAL", source, 0, *words)


@pytest.fixture
def upstream() -> fakeredis.FakeRedis:
    return fakeredis.FakeRedis(server=fakeredis.FakeServer(version=(7, 2)))


# --- time and luck ----------------------------------------------------------------------------------


def test_upstream_has_only_the_wall_clock_and_each_mended_server_its_own(
    upstream: fakeredis.FakeRedis,
) -> None:
    assert abs(upstream.time()[0] - time.time()) < 5
    one, other = Session(now=1000.25), Session(now=5_000_000.0)
    assert one.do("TIME") == [b"1000", b"250000"]
    assert other.do("TIME") == [b"5000000", b"0"]
    assert one.do("XADD", "s", "*", "a", "b") == b"1000250-0"
    assert abs(upstream.time()[0] - time.time()) < 5


def test_no_module_of_fakeredis_is_left_that_reads_the_real_clock_or_the_processs_luck() -> None:
    import random

    loaded = [m for name, m in sys.modules.items() if name.split(".")[0] == "fakeredis"]
    assert not [m.__name__ for m in loaded if vars(m).get("time") is time or vars(m).get("random") is random]
    stood_in = [m for m in loaded if type(vars(m).get("time")).__name__ == "_Time"]
    assert len(stood_in) >= 5, "fakeredis no longer reads the time in many modules"


def test_a_key_expires_by_the_servers_clock() -> None:
    session = Session()
    session.do("SET", "k", "v", "PX", 500)
    session.now += 0.4
    assert session.do("GET", "k") == b"v"
    session.now += 0.2
    assert session.do("GET", "k") is None


def test_the_clock_stands_still_within_a_script() -> None:
    session = Session()
    assert (
        session.script(
            "local a = redis.call('TIME') for _ = 1, 1e5 do end return a[2] == redis.call('TIME')[2]"
        )
        == 1
    )


def test_two_threads_with_a_server_each_do_not_see_each_others_time() -> None:
    wrong: list[Any] = []

    def run(now: float) -> None:
        session = Session(now=now)
        for _ in range(300):
            if session.script("return redis.call('TIME')[1]") != str(int(now)).encode():
                wrong.append(now)

    threads = [threading.Thread(target=run, args=(now,)) for now in (1000.0, 2000.0, 3000.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_is_drawn_depends_on_the_seed_and_on_nothing_else() -> None:
    def draws(seed: str) -> list[Any]:
        session = Session(MendedServer(seed))
        session.do("SADD", "s", *range(100))
        return [session.do("SPOP", "s") for _ in range(5)] + session.do("SRANDMEMBER", "s", 5)

    assert draws("a") == draws("a") != draws("b")


# --- order ------------------------------------------------------------------------------------------

SMEMBERS = """
import fakeredis, sys
from test_fakeredis_mending import Session
do = fakeredis.FakeRedis().execute_command if sys.argv[1] == "upstream" else Session().do
do("SADD", "s", *[f"member-{i}" for i in range(20)])
print(do("EVAL", "return redis.call('SMEMBERS', 's')", 0))
"""


def members(which: str, hashseed: str) -> str:
    env = {**os.environ, "PYTHONHASHSEED": hashseed, "PYTHONPATH": os.path.dirname(__file__)}
    done = subprocess.run(
        [sys.executable, "-c", SMEMBERS, which], capture_output=True, text=True, env=env, check=True
    )
    return done.stdout


def test_the_order_of_a_set_does_not_depend_on_pythons_hash_seed() -> None:
    assert members("upstream", "1") != members("upstream", "2"), "mended upstream: our smembers can go"
    assert members("ours", "1") == members("ours", "2")


def test_subscribers_are_told_in_the_order_of_their_subscribing(upstream: fakeredis.FakeRedis) -> None:
    import weakref

    upstream.pubsub().subscribe("c")
    kept = upstream.connection_pool.connection_kwargs["server"].subscribers
    assert type(kept[b"c"]) is weakref.WeakSet, "no longer a WeakSet: our subscribers can go"
    server, told = MendedServer("seed"), list[int]()
    for number in range(50):
        listener = ScriptSocket(server, lambda reply, n=number: told.append(n))
        server.execute(listener, [b"SUBSCRIBE", b"c"], 1.0, number)
    told.clear()
    Session(server).do("PUBLISH", "c", "x")
    assert told == list(range(50))


# --- blocking ---------------------------------------------------------------------------------------


def test_a_blocking_read_of_a_group_waits_although_it_has_a_count(upstream: fakeredis.FakeRedis) -> None:
    upstream.xgroup_create("s", "g", mkstream=True)
    began = time.monotonic()
    upstream.xreadgroup("g", "c", {"s": ">"}, count=5, block=300)
    assert time.monotonic() - began < 0.25, "upstream waits now: our _xreadgroup can go"
    session = Session()
    session.do("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    assert session.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 5, "BLOCK", 300, "STREAMS", "s", ">") is None
    assert session.socket.waits()
    other = Session(session.server)
    other.do("XADD", "s", "1-1", "a", "b")
    assert session.socket.try_again()
    assert session.replies[-1] == [[b"s", [[b"1-1", [b"a", b"b"]]]]]


def test_a_blocking_read_of_a_group_without_a_count_loses_nothing_that_is_there(
    upstream: fakeredis.FakeRedis,
) -> None:
    upstream.xgroup_create("s", "g", "0", mkstream=True)
    upstream.xadd("s", {"a": "b"})
    assert not upstream.xreadgroup("g", "c", {"s": ">"}, block=50), (
        "upstream gives it now: our _xreadgroup can go"
    )
    session = Session()
    session.do("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    session.do("XADD", "s", "1-1", "a", "b")
    assert session.do("XREADGROUP", "GROUP", "g", "c", "BLOCK", 50, "STREAMS", "s", ">")


def test_a_blocking_move_waits_for_its_source(upstream: fakeredis.FakeRedis) -> None:
    began = time.monotonic()
    upstream.blmove("from", "to", 0.3)
    assert time.monotonic() - began < 0.25, "upstream waits now: our _blmove can go"
    session = Session()
    session.do("BLMOVE", "from", "to", "LEFT", "RIGHT", 5)
    assert session.socket.waits()
    other = Session(session.server)
    other.do("RPUSH", "from", "x", "y")
    assert session.socket.try_again() and session.replies == [b"x"]
    assert (other.do("LRANGE", "from", 0, -1), other.do("LRANGE", "to", 0, -1)) == ([b"y"], [b"x"])


@pytest.mark.parametrize("words", [("SIDEWAYS", "LEFT"), ("LEFT", "SIDEWAYS")])
def test_a_blocking_move_with_bad_words_is_refused_at_once(words: tuple[str, str]) -> None:
    with pytest.raises(redis.ResponseError, match="syntax error"):
        Session().do("BLMOVE", "from", "to", *words, 0)


def test_within_a_transaction_nothing_waits() -> None:
    session = Session()
    session.do("MULTI")
    session.do("BLPOP", "empty", 0)
    assert session.do("EXEC") == [None] and not session.socket.waits()


# --- scripts ----------------------------------------------------------------------------------------


def test_a_global_in_one_script_is_refused_and_poisons_no_later_one(upstream: fakeredis.FakeRedis) -> None:
    with pytest.raises(redis.ResponseError):
        upstream.eval("stray = 1 return redis.call('GET', 'x')", 0)
    with pytest.raises(redis.ResponseError, match="stray"):
        upstream.eval("return redis.call('GET', 'x')", 0)
    session = Session()
    with pytest.raises(redis.ResponseError, match="Attempt to modify a readonly table"):
        session.script("stray = 1 return 1")
    assert session.script("return redis.call('GET', 'x')") is None
    with pytest.raises(redis.ResponseError, match="nonexistent global variable 'stray'"):
        session.script("return stray")


def test_a_library_cannot_be_changed_by_a_script(upstream: fakeredis.FakeRedis) -> None:
    upstream.eval("string.format = nil return 1", 0)
    with pytest.raises(redis.ResponseError):
        upstream.eval("return string.format('%d', 1)", 0)
    session = Session()
    with pytest.raises(redis.ResponseError, match="readonly"):
        session.script("string.format = nil return 1")
    assert session.script("return string.format('%d', 1)") == b"1"


def test_an_empty_table_is_an_empty_object_in_json(upstream: fakeredis.FakeRedis) -> None:
    assert upstream.eval("return cjson.encode({})", 0) == b"[]", "mended upstream: luajson may go"
    assert Session().script("return cjson.encode({})") == b"{}"


def test_json_numbers_have_fourteen_digits_and_slashes_are_escaped(upstream: fakeredis.FakeRedis) -> None:
    source = "return cjson.encode({1790000000000001, 0.1, 'a/b'})"
    assert upstream.eval(source, 0) == b'[1790000000000001,0.1,"a/b"]', "mended upstream: luajson may go"
    assert Session().script(source) == rb'[1.79e+15,0.1,"a\/b"]'


def test_json_is_read_into_tables() -> None:
    session = Session()
    assert session.script("local t = cjson.decode(ARGV[1]) return {t.a[2], t.b, tostring(t.c == cjson.null)}",
                          '{"a": [1, 2], "b": "x", "c": null}') == [2, b"x", b"true"]  # fmt: skip
    with pytest.raises(redis.ResponseError, match="invalid token"):
        session.script("return cjson.decode('nonsense')")


def test_of_several_values_that_a_script_returns_the_first_counts(upstream: fakeredis.FakeRedis) -> None:
    with pytest.raises(AssertionError):
        upstream.eval("return unpack({5, 6})", 0)
    assert Session().script("return unpack({5, 6})") == 5


def test_a_first_line_that_names_the_language_is_understood(upstream: fakeredis.FakeRedis) -> None:
    with pytest.raises(redis.ResponseError):
        upstream.eval("#!lua flags=no-writes\nreturn 7", 0)
    assert Session().script("#!lua flags=no-writes\nreturn 7") == 7


def test_scripts_draw_the_same_random_numbers_each_time() -> None:
    source = "local t = {} for i = 1, 5 do t[i] = math.random(1000) end return t"
    session = Session()
    assert session.script(source) == session.script(source) == Session(MendedServer("other")).script(source)


def test_what_redis_call_raises_arrives_in_a_pcall_as_text(upstream: fakeredis.FakeRedis) -> None:
    source = "redis.call('SET', 'k', 'v') local ok, e = pcall(redis.call, 'HGET', 'k', 'f') return type(e)"
    assert upstream.eval(source, 0) != b"string", "mended upstream: world.pcall may go"
    assert Session().script(source) == b"string"


@pytest.mark.parametrize("where", ["Shortcuts.get", "Interpreter._command"])
def test_a_fault_of_ours_is_not_hidden_by_a_pcall_in_a_script(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(f"labsched.worlds.simulated.interpreter.{where}", broken)
    monkeypatch.setattr(interpreter, "_own", threading.local())
    with pytest.raises(ZeroDivisionError):
        Session().script("pcall(redis.call, 'GET', 'x') redis.call('APPEND', 'x', 'y') return 1")


def test_a_script_is_compiled_once_and_known_by_its_sha() -> None:
    session = Session()
    source = "return ARGV[1]"
    sha = hashlib.sha1(source.encode()).hexdigest()
    with pytest.raises(redis.exceptions.NoScriptError):
        session.do("EVALSHA", sha, 0, "x")
    assert session.script(source, "x") == b"x"
    assert session.do("EVALSHA", sha, 0, "y") == b"y"
    session.do("SCRIPT", "FLUSH")
    with pytest.raises(redis.exceptions.NoScriptError):
        session.do("EVALSHA", sha, 0, "x")


def test_a_server_out_of_memory_refuses_a_script_until_its_first_write() -> None:
    session = Session()
    session.do("SET", "k", "v")
    session.server.full = True
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        session.script("return redis.call('SET', 'a', '1')")
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        session.do("SET", "a", "1")
    # DEL needs no memory, and after it the script goes on although it does.
    assert session.script("redis.call('PERSIST', 'k') return redis.call('SET', 'a', '1')") == b"OK"
    assert session.script("return redis.call('GET', 'a')") == b"1"
    session.server.full = False
    assert session.do("SET", "a", "2") == b"OK"


def test_a_read_only_server_refuses_every_write_and_no_read() -> None:
    session = Session()
    session.do("SET", "a", "1")
    session.server.read_only = True
    for write in (lambda: session.do("DEL", "a"), lambda: session.script("return redis.call('DEL', 'a')")):
        with pytest.raises(redis.exceptions.ReadOnlyError):
            write()
    assert session.script("return redis.call('GET', 'a')") == b"1"


def test_psetex_counts_milliseconds() -> None:
    session = Session()
    session.do("PSETEX", "k", 750, "v")
    assert session.do("PTTL", "k") == 750
