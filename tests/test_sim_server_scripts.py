"""Scripts on the simulated server answer what real servers answer, and its shortcuts what fakeredis does."""

import random
import re
import threading
from typing import Any

import pytest
import redis
from servers import Server

from labsched.worlds.simulated import interpreter, shortcuts
from labsched.worlds.simulated.mending import MendedServer
from labsched.worlds.simulated.scripting import ScriptSocket
from labsched.worlds.simulated.shortcuts import Shortcuts

SCRIPTS = [
    "return 1",
    "return {1, 'a', 2.7, -3.99}",
    "return unpack({5, 6})",
    "return true",
    "return false",
    "return nil",
    "return {1, {2, 3}, false, 4}",
    "return {1, nil, 3}",
    "return {a = 1}",
    "return {}",
    "local t = {} t[1] = 'x' t[3] = 'y' return t",
    "stray = 1",
    "return stray",
    "string.stray = 1",
    "return {ok = 'x'}",
    "return {err = 'My x'}",
    "return redis.status_reply('fine')",
    "return redis.error_reply('Oops')",
    "return redis.error_reply('-Oops')",
    "return redis.error_reply('MY Oops')",
    "error('boom', 0)",
    "error('boom')",
    "error({err = 'MINE x'})",
    "x = = 1",
    "redis.call('SET', 'a', 1) return redis.call('GET', 'a')",
    "return redis.call('SET', 'a', 1)",
    "local r = redis.call('HSET', 'a', 'b', 1) return r",
    "return redis.pcall('HSET', 'a', 'b', 1)",
    "local ok, e = pcall(redis.call, 'HGET', 'a', 'x') return {tostring(ok), e}",
    "return cjson.encode({})",
    "return cjson.encode({a = {1, 2, {x = 1}}})",
    "return cjson.encode({[1] = 'a', [3] = 'c'})",
    "return cjson.encode('\\\"\\\\/\\n\\1ü')",
    "return cjson.encode({1.5, 1e20, 123456789012345678, 0.1, true, cjson.null})",
    "return cjson.decode('{\"a\": [1, 2]}').a[2]",
    "return redis.sha1hex('a')",
    "return tonumber('12')",
    "return tostring(1e15)",
    "return string.format('%.0f', 1790000000000000)",
    "return math.floor(3.7)",
    "return loadstring('return 5')()",
    "return select('#', unpack({1, 2, 3}))",
    "return print",
    "return #ARGV",
    "redis.log(redis.LOG_WARNING, 'x') return 1",
    "return redis.call('ZADD', 'z', 1.5, 'm', 7, 'n')",
    "return redis.call('ZSCORE', 'z', 'm')",
    "return redis.call('ZSCORE', 'z', 'n')",
    "return redis.call('ZRANGE', 'z', 0, -1, 'WITHSCORES')",
    "return redis.call('ZINCRBY', 'z', 2, 'm')",
    "return redis.call('ZRANGE', 'z', 0, 0)",
    "return redis.call('ZRANGE', 'z', 5, 9)",
    "return redis.call('ZRANGE', 'z', 1, 0)",
    "return redis.call('ZADD', 'z', 8, 'n')",
    "return redis.call('ZREM', 'z', 'm')",
    "return redis.call('ZREM', 'z', 'n', 'o')",
    "return redis.call('EXISTS', 'z')",
    "return redis.call('EXISTS', 'a', 'a')",
    "return redis.call('TYPE', 'a')['ok']",
    "return redis.call('XADD', 'st', '1-1', 'a', 'b')",
    "return redis.call('XRANGE', 'st', '-', '+')",
    "return tostring(redis.call('GET', 'nope'))",
    "return redis.call('HGETALL', 'nope')",
    "return redis.call('HMGET', 'nope', 'a', 'b')",
    "return redis.call('LPUSH', 'l', 1, 2, 3)",
    "return redis.call('LRANGE', 'l', 0, -1)",
    "return redis.call('HSET', 'h', 'n', 'x', 'm', 1)",
    "return redis.call('HSET', 'h', 'm', 2, 'o', 3)",
    "return redis.call('HMGET', 'h', 'm', 'q', 'o')",
    "return redis.call('HINCRBY', 'h', 'm', -5)",
    "local r = redis.call('HINCRBY', 'h', 'n', 1) return r",
    "return redis.call('HINCRBY', 'h', 'new', 7)",
    "return redis.call('HGETALL', 'h')",
    "return redis.call('DEL', 'a', 'b')",
    "return {redis.call('SET', 'a', '1')}",
    "return redis.call('ECHO', 'x')",
]


class Session:
    def __init__(self, seed: str = "seed") -> None:
        self.server, self.replies, self.serial = MendedServer(seed), list[Any](), 0
        self.socket = ScriptSocket(self.server, self.replies.append)

    def do(self, *words: Any) -> Any:
        self.serial += 1
        fields = [str(word).encode() for word in words]
        self.server.execute(self.socket, fields, 1000.0, self.serial)
        return self.replies[-1]


def told(reply: Any) -> Any:
    """A reply as it can be compared: of an error its text, without the script's SHA-1 (Valkey leaves it out)."""
    if isinstance(reply, Exception):
        return type(reply).__name__, re.sub(r"script: [0-9a-f]{40},? ?", "script: ", str(reply))
    return reply


async def test_scripts_answer_what_a_real_server_answers(realserver: Server) -> None:
    session, differ = Session(), []
    client = realserver.client()
    for source in SCRIPTS:
        try:
            expected = await client.execute_command("EVAL", source, 0)
        except redis.ResponseError as error:
            expected = error
        got = session.do("EVAL", source, 0)
        if told(got) != told(expected):
            differ.append((source, told(got), told(expected)))
    assert not differ


KIND = {
    "SA": "M",
    "SR": "M",
    "SC": "M",
    "RP": "L",
    "LT": "L",
    "LR": "L",
    "LP": "L",
    "SE": "V",
}  # whose key is named otherwise
EVERY = (*shortcuts.VALUES, *shortcuts.LISTS, *shortcuts.STATUSES)
CALLS = """
HGET k f1; HMGET k f1 f2 f3; HSET k f1 v; HSET k f1 1 f2 2; HINCRBY k f1 5; HINCRBY k f1 -3
HINCRBY k f2 x; HDEL k f1; HDEL k f1 f2 f3; ZADD k 5 m; ZADD k 3 m; ZADD k 1.5 n; ZADD k NX 9 m
ZADD k 4 o; ZREM k m; ZREM k n o; ZSCORE k m; ZSCORE k n; ZRANGE k 0 1; ZRANGE k 0 -1; ZRANGE k 2 1
EXISTS k; EXISTS k k; GET k; SET k v; DEL k; TYPE k; HEXPIRE k 1 FIELDS 1 f1; EXPIRE k 100
PERSIST k; TTL k; LPUSH k x; HGETALL k; TIME; GET; HGET k; ZADD k; ZCARD k; HLEN k; HSET k f1
SADD k x; SADD k y z; SREM k x; SREM k y z; SREM k x x; SCARD k; SCARD k k; RPUSH k a; RPUSH k a b c; LTRIM k 1 -1
LTRIM k 0 0; LTRIM k 5 9; LTRIM k -2 -1; LRANGE k 0 -1; HEXISTS k f1; HEXISTS k; EXPIRE k 7 NX; EXPIRE k x
PEXPIRE k 90000; PEXPIREAT k 9000000; EXPIRE k 007; HINCRBY k f1 05; ZADD k 1e3 m; ZADD k -4 m
ZADD k 99999999999999999999 m; XADD S * a b c d; XADD S * a b c; XADD S 1-1 a b; XLEN S; SET V 1; SET V 2
SET V 3 PX 10000; PERSIST V; GET V
DEL H; DEL Z; DEL H; DEL Z; DEL H; DEL Z; DEL L; DEL M; DEL S; XADD S * e f; XADD S * a b c d
"""


@pytest.mark.parametrize("seed", range(6))
def test_a_shortcut_answers_and_leaves_behind_what_fakeredis_does(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, short, long = random.Random(seed), Session(), Session()
    taken: set[str] = set()
    for name in EVERY:
        monkeypatch.setattr(Shortcuts, name, counting(name, getattr(Shortcuts, name), taken))
    monkeypatch.setattr(interpreter, "_own", threading.local())  # an interpreter takes them when it is made
    source = "local r = redis.pcall(unpack(ARGV)) return {redis.call('EXISTS', 'H', 'Z', 'S', 'V', 'k', 'L', 'M'), r}"
    for _ in range(1000):
        words = rng.choice(re.split(r"[;\n]+", CALLS.strip())).split()
        if "k" in words:
            # Mostly a key of the right type, now and then one of another.
            words[words.index("k")] = (
                KIND.get(words[0][:2], words[0][0])
                if words[0][0] in "HZSRL" and rng.random() < 0.95
                else rng.choice("HZSVkLM")
            )
        short_reply = short.do("EVAL", source, 0, *words)
        with monkeypatch.context() as without:
            # A server on which something may be refused takes none.
            without.setattr(long.server, "psubscribers", {b"nobody*": {}})
            long_reply = long.do("EVAL", source, 0, *words)
        assert repr(short_reply) == repr(long_reply), words
        assert set(short.server.changed) == set(long.server.changed), words
        short.server.changed.clear(), long.server.changed.clear()
    assert taken == set(EVERY)


def counting(name: str, shortcut: Any, taken: set[str]) -> Any:
    def counted(*given: Any) -> Any:
        found = shortcut(*given)
        if found is not shortcuts.LEAVE and found != (shortcuts.LEAVE,):
            taken.add(name)
        return found

    return counted
