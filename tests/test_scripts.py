"""The texts that are sent to the server: made from pieces, without what nothing in them calls."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from labsched import scripts

LIB = sorted(p.name for p in (resources.files("labsched") / "lua" / "lib").iterdir())


@pytest.mark.parametrize("piece", LIB)
def test_every_function_of_a_piece_is_seen_as_one(piece):
    text = (resources.files("labsched") / "lua" / "lib" / piece).read_text()
    assert [m[1] for m in scripts._FUNCTION.finditer(text)] == re.findall(
        r"^local function (\w+)", text, re.M
    )


@pytest.mark.parametrize("name", scripts.script_names())
@pytest.mark.parametrize("trusted", [False, True])
def test_a_script_defines_what_it_calls_and_calls_what_it_defines(name, trusted):
    text = re.sub(r"--.*|'[^'\n]*'", "", scripts.script(name, trusted)[0])
    defined = re.findall(r"^local function (\w+)", text, re.M)
    assert len(set(defined)) == len(defined)
    unused = [f for f in defined if len(re.findall(rf"\b{f}\b", text)) < 2 and f != "typed"]
    assert not unused, unused
    # Calls of bare names, but for Lua's own and those that the text binds.
    called = set(re.findall(r"(?<![.:\w])([a-z_]\w*)\(", text))
    own = {"ipairs", "pairs", "unpack", "tonumber", "tostring", "type", "error", "assert", "if", "and", "or", "not",
           "function", "while", "return", "in", "elseif", "log"}  # fmt: skip
    bound = set(re.findall(r"\w+", " ".join(re.findall(r"function (\w*\([^)]*\))", text))))
    assert called <= own | bound, called - own - bound


CHECK = re.compile(
    r"^local function (check_\w+)\((?:[^\n]*) end$|^local function (check_\w+)\(.*?^end$", re.M | re.S
)
CHECKING = [name for name in scripts.script_names() if "local function check_" in scripts.script(name)[0]]


@pytest.mark.parametrize("name", CHECKING)
def test_what_only_checks_is_empty_on_a_trusted_server_and_whole_on_others(name):
    trusted, others = (
        {found[1] or found[2]: found[0] for found in CHECK.finditer(scripts.script(name, trust)[0])}
        for trust in (True, False)
    )
    assert trusted == {check: f"local function {check}() end" for check in trusted} and trusted
    assert trusted.keys() <= others.keys()
    assert all("typed(" in text or "check_" in text.partition("\n")[2] for text in others.values())
