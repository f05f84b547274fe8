"""The simulated server's shortcuts are never seen: any commands, any numbers, the same replies and the same data."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labsched.worlds.simulated import interpreter as interpreting
from labsched.worlds.simulated.interpreter import Interpreter
from labsched.worlds.simulated.look import EXACT, MANY
from labsched.worlds.simulated.mending import MendedServer
from labsched.worlds.simulated.scripting import ScriptSocket
from labsched.worlds.simulated.shortcuts import LEAVE, LISTS, STATUSES, VALUES, Shortcuts

NOW = 1_750_000_000.0
TODAY = 1_750_000_000_123_456  # a sequence of today, in us

# "#5" goes over as Lua's number, "5" as text.
SOURCE = """
local words = {}
for i, word in ipairs(ARGV) do words[i] = tonumber(string.match(word, '^#(.*)$')) or word end
local reply = redis.pcall(unpack(words))
return {type(reply), reply}
"""

taken: set[str] = set()  # shortcuts that answered


def counted(name: str) -> Any:
    shortcut = getattr(Shortcuts, name)

    def call(*given: Any) -> Any:
        found = shortcut(*given)
        if found is not LEAVE and found != (LEAVE,):
            taken.add(name)
        return found

    return call


@functools.cache
def counting_interpreter() -> Interpreter:
    with pytest.MonkeyPatch.context() as patch:
        for name in (*VALUES, *LISTS, *STATUSES):
            patch.setattr(Shortcuts, name, counted(name))
        return Interpreter()


@pytest.fixture(scope="module", autouse=True)
def counting() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        own = threading.local()
        own.interpreter = counting_interpreter()
        patch.setattr(interpreting, "_own", own)
        yield


class Session:
    """One connection to a server. Where somebody listens for changes, shortcuts are off."""

    def __init__(self, server: MendedServer | None = None, *, shortcuts: bool = True) -> None:
        self.server = server or MendedServer("seed")
        self.replies, self.serial, self.now = list[Any](), 0, NOW
        self.socket = ScriptSocket(self.server, self.replies.append)
        if not shortcuts:
            self.server.psubscribers = {b"nobody*": {}}

    def do(self, *words: Any) -> Any:
        self.serial += 1
        fields = [str(word).encode() for word in words]
        self.server.execute(self.socket, fields, self.now, self.serial)
        return self.replies[-1]

    def script(self, *words: Any) -> Any:
        return self.do("EVAL", SOURCE, 0, *words)

    def takes(self, *words: Any) -> bool:
        """Whether a shortcut answers that."""
        taken.clear()
        self.script(*words)
        return bool(taken)


def state(session: Session) -> dict[bytes, tuple[Any, ...]]:
    """All that there is to see: contents in their order, to the last bit of a score, and when each key ends."""
    items = session.server.dbs[0]._dict.items()
    return {
        key: (type(item.value).__name__, contents(item.value), item.expireat)
        for key, item in items
        if item.expireat is None or item.expireat >= session.now
    }


def contents(value: Any) -> Any:
    name = type(value).__name__
    if name == "ZSet":
        return repr(list(value._byscore)), {member: repr(score) for member, score in value._bylex.items()}
    return list(value._values.items()) if name == "Hash" else list(getattr(value, "_values", value))


EDGES = [
    0,
    1,
    -1,
    7,
    10**15 - 1,
    10**15,
    TODAY,
    EXACT - 1,
    EXACT,
    EXACT + 1,
    1 - EXACT,
    -EXACT,
    10**17,
    2**63 - 1,
    -(2**63),
]
ODD = [
    "007",
    "+5",
    "-0",
    "-",
    "",
    "1.5",
    "-2.25",
    "1e3",
    " 5",
    "5 ",
    "inf",
    "-inf",
    "x",
    "0.1",
    "9" * 17,
    "9" * 30,
    "\u0665",
]


@st.composite
def numbers(draw: st.DrawFn, odd: bool = True) -> str:
    whole = st.sampled_from(EDGES) | st.integers(-3, 9) | st.integers(-EXACT - 2, EXACT + 2)
    text = whole.map(str) | whole.map(lambda n: f"#{n}")
    return draw(st.one_of(text, text, text, st.sampled_from(ODD)) if odd else text)


FIELDS = st.sampled_from(["a", "b", "c", "d", "#5"])
PLACES = st.sampled_from(["0", "0", "#0", "1", "2", "5", "-1", "-2", "x", str(EXACT)])
SECONDS = st.sampled_from(["100", "#100", "1", "0", "-1", "007", "x", str(TODAY)])


def some(*parts: Any, upto: int = 3) -> Any:
    """`parts` again and again, flat."""
    return st.lists(st.tuples(*parts), min_size=1, max_size=upto).map(
        lambda rows: [word for row in rows for word in row]
    )


def call(op: str, kind: str, *parts: Any) -> Any:
    """A command on a key that mostly is of that kind; a part is a word or a list of words."""
    key = st.sampled_from([kind + "1"] * 6 + [kind + "2"] * 3 + ["h1", "z1", "m1", "l1", "v1", "s1", "#3"])
    flat = st.tuples(*parts).map(lambda got: [w for p in got for w in (p if isinstance(p, list) else [p])])
    return st.builds(lambda key, words: [op, key, *words], key, flat)


HASHES = st.one_of(
    call("HSET", "h", some(FIELDS, numbers())), call("HGET", "h", FIELDS), call("HMGET", "h", some(FIELDS)),
    call("HEXISTS", "h", FIELDS), call("HINCRBY", "h", FIELDS, numbers()), call("HDEL", "h", FIELDS),
    call("HGETALL", "h"), call("HEXPIRE", "h", st.just(["1", "FIELDS", "1", "a"])),
)  # fmt: skip
ZSETS = st.one_of(
    call("ZADD", "z", st.sampled_from([[], [], ["NX"], ["nx"], ["XX"], ["CH"]]), some(numbers(), FIELDS)),
    call("ZADD", "z", st.sampled_from([[], ["NX"]]), some(numbers(odd=False), FIELDS)),
    call("ZRANGE", "z", PLACES, PLACES, st.sampled_from([[], ["WITHSCORES"], ["WITHSCORES"], ["REV"], ["x"]])),
    call("ZSCORE", "z", FIELDS), call("ZREM", "z", FIELDS), call("ZREM", "z", some(FIELDS)),
    call("ZINCRBY", "z", numbers(), FIELDS),
)  # fmt: skip
OTHERS = st.one_of(
    call("SADD", "m", some(FIELDS)), call("SREM", "m", some(FIELDS)), call("SCARD", "m"), call("SMEMBERS", "m"),
    call("RPUSH", "l", some(FIELDS)), call("LTRIM", "l", PLACES, PLACES), call("LRANGE", "l", PLACES, PLACES),
    call("SET", "v", numbers()), call("GET", "v"), call("XADD", "s", st.just("*"), some(FIELDS, numbers())),
)  # fmt: skip
KEYS = st.one_of(
    *[call(op, kind, SECONDS) for op in ("EXPIRE", "PEXPIRE", "PEXPIREAT") for kind in "hzv"],
    *[call(op, kind) for op in ("PERSIST", "EXISTS", "DEL", "PTTL") for kind in "hzml"],
    st.just(["TIME"]), st.just(["PASS"]),
)  # fmt: skip
GROUPS = st.sampled_from((HASHES, HASHES, ZSETS, ZSETS, ZSETS, OTHERS, OTHERS, KEYS))
COMMANDS = GROUPS.flatmap(lambda group: group)
FIRST = ("HSET h1 a 1 b 5", "HSET h2 a x", "ZADD z1 1 a 2 b", f"ZADD z2 {TODAY} a", "SADD m1 a b", "RPUSH l1 a b c",
         "SET v1 1", "XADD s1 * a 1")  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(COMMANDS, min_size=12, max_size=40))
@example([["ZADD", "z1", "NX", "5", "a", "6", "a", "7", "b"], ["ZADD", "z1", "NX", "#9", "b"]])
@example([["HSET", "h1", "a", str(EXACT - 1)], ["HINCRBY", "h1", "a", "1"], ["HINCRBY", "h1", "a", "1"]])
@example(
    [["HEXPIRE", "h1", "1", "FIELDS", "1", "a"], ["PASS"], ["HGET", "h1", "a"], ["HMGET", "h1", "a", "b"]]
)
def test_replies_and_data_are_those_of_fakeredis_s_own_way(commands: list[list[str]]) -> None:
    short, long = Session(), Session(shortcuts=False)
    for words in [*map(str.split, FIRST), *commands]:
        if words == ["PASS"]:
            short.now = long.now = short.now + 60
            continue
        expected = long.script(*words)
        assert repr(short.script(*words)) == repr(expected), words
        assert list(short.server.changed) == list(long.server.changed), words
        short.server.changed.clear()
        long.server.changed.clear()
    assert state(short) == state(long)


@settings(max_examples=100, deadline=None)
@given(st.lists(HASHES | KEYS, max_size=30), st.sampled_from([0, 60, 1000]))
def test_a_client_that_reads_a_hash_gets_what_fakeredis_answers(
    commands: list[list[str]], later: int
) -> None:
    session = Session()
    for words in [*map(str.split, FIRST), *commands]:
        session.script(*words)
    session.now += later
    for key in (*(words.split()[1] for words in FIRST), "none"):
        found = session.do("HGETALL", key)
        # In small letters it goes fakeredis's own way.
        assert repr(flat(found)) == repr(session.do("hgetall", key)), key
    assert not isinstance(session.do("hgetall", "h1"), dict), "else both went the same way"


def flat(reply: Any) -> Any:
    return [word for field in reply.items() for word in field] if isinstance(reply, dict) else reply


def test_a_hash_is_read_the_short_way_unless_the_command_is_part_of_a_transaction() -> None:
    session = Session()
    filled(session)
    assert session.do("HGETALL", "h") == {b"a": b"1"}
    session.do("MULTI")
    assert session.do("HGETALL", "h") == b"QUEUED"
    assert session.do("EXEC") == [[b"a", b"1"]]


@pytest.mark.parametrize("score", [0, 5, -7, 10**15, TODAY, EXACT - 1, 1 - EXACT])
def test_whole_numbers_below_two_to_the_53rd_are_scores_that_need_no_long_way(score: int) -> None:
    session = Session()
    for words in ("ZADD z {0} a", "ZADD z NX {0} b {0} c", "ZADD z #{0} d #{0} e", "ZSCORE z a",
                  "ZRANGE z 0 9 WITHSCORES", "HSET h n {0}", "HINCRBY h n 0"):  # fmt: skip
        assert session.takes(*words.format(score).split()), words
    assert session.do("ZRANGE", "z", 0, 0, "WITHSCORES") == [b"a", b"%d" % score]


@pytest.mark.parametrize("score", [EXACT, -EXACT, "1.5", "007"])
def test_other_scores_are_left_to_fakeredis(score: Any) -> None:
    assert not Session().takes("ZADD", "z", score, "a")


@pytest.mark.parametrize("members", [MANY // 2 - 1, MANY // 2, MANY - 1, MANY, 5000])
@pytest.mark.parametrize("scored", [[], ["WITHSCORES"]])
def test_a_page_of_any_length_is_the_same(members: int, scored: list[str]) -> None:
    short, long = Session(), Session(shortcuts=False)
    for session in (short, long):
        session.do("ZADD", "z", *[word for n in range(members) for word in (TODAY + n % 7, f"m{n:04}")])
    for first, last in ((0, members), (0, members - 2), (3, 10**9), (members - 1, members), (0, 255)):
        page = ("ZRANGE", "z", first, last, *scored)
        assert short.script(*page) == long.script(*page), page


def filled(session: Session) -> None:
    for words in (
        "HSET h a 1",
        "ZADD z 5 a",
        "SADD m a",
        "RPUSH l a b",
        "SET v 1",
        "XADD s * a 1",
        "SET e 1 EX 50",
    ):
        session.do(*words.split())


WRITES = ["HSET h a 2", "HINCRBY h a 1", "ZADD z 6 a", "ZADD z NX 6 b", "ZREM z a", "SADD m b", "SREM m a", "RPUSH l c",
          "LTRIM l 0 0", "SET v 2", "EXPIRE v 9", "PEXPIRE v 9", "PERSIST e", "XADD s * a 2"]  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
def test_a_script_s_write_breaks_the_transaction_of_who_watches_the_key(write: str) -> None:
    one = Session()
    filled(one)
    other = Session(one.server)
    assert one.takes(*write.split()), "else this shows nothing"
    one.do("FLUSHALL")
    filled(one)
    other.do("WATCH", write.split()[1])
    one.script(*write.split())
    other.do("MULTI")
    other.do("PING")
    assert other.do("EXEC") is None


def test_shortcuts_are_off_only_while_somebody_watches() -> None:
    one = Session()
    other = Session(one.server)
    assert one.takes("HSET", "h", "a", 1)
    other.do("WATCH", "another")
    assert not one.takes("HSET", "h", "a", 2)
    other.do("UNWATCH")
    assert one.takes("HGET", "h", "a")
    other.do("WATCH", "another")
    other.do("MULTI")
    other.do("PING")
    other.do("EXEC")
    assert one.takes("HGET", "h", "a")


def test_without_shortcuts_none_is_taken() -> None:
    session = Session(shortcuts=False)
    for words in WRITES:
        assert not session.takes(*words.split()), words
