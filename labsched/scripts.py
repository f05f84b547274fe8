"""The key catalogue and the script loader: the only file that names a key.

Every key of a namespace begins with `{labsched:NAMESPACE}:`, one hash tag, so that all scripts run on
Redis Cluster too. A script is a file in `lua/`; a line `-- include: time event` in its header puts the
named pieces of `lua/lib/` before it, and the loader adds the key builders (`k_NAME`), checks of the keys'
types, and the table of legal transitions, made from the catalogue below and from `model.TRANSITIONS`.
"""

from __future__ import annotations

import functools
import hashlib
import re
from importlib import resources
from typing import Any

from .model import PRIORITIES, TRANSITIONS, State

FORMAT = 1  # of the namespace's layout; a namespace written by a newer format is refused

# name -> (pattern, redis type). One {} per argument; k_NAME(a, b) builds it in Lua, Store.key here.
CATALOGUE: dict[str, tuple[str, str]] = {
    "meta": ("meta", "hash"),  # format, last trimmed event id, retention settings
    "token": ("token", "string"),  # last token or epoch handed out
    "events": ("events", "stream"),
    "counts": ("counts", "hash"),  # totals of the namespace by kind
    "tasks": ("tasks", "set"),  # names
    "task": ("task:{}", "hash"),  # definition, policies for the scripts, counters
    "stats": ("stats:{}", "hash"),  # histograms of duration and lateness, per task
    "due": ("due:{}", "zset"),  # scope -> task: ms of its next slot's due time
    "x": ("x:{}", "hash"),  # one execution
    "log": ("log:{}", "list"),  # its log lines
    "fence": ("fence:{}", "hash"),  # its fenced effects
    "fenced": ("fenced:{}", "hash"),  # a resource of the fence store: token, value
    "all": ("all", "zset"),  # execution: ms created
    "bytask": ("bytask:{}", "zset"),  # task -> execution: ms created
    "state": ("state:{}", "zset"),  # state -> execution: ms entered; RUNNING: ms of the hard end
    "timers": ("timers", "zset"),  # execution that waits for its time: ms
    "ready": ("ready:{}:{}", "zset"),  # priority, task -> execution: sequence
    "turn": ("turn:{}", "zset"),  # priority -> task with ready work: sequence of its last turn
    "names": ("names", "hash"),  # instance name -> incarnation
    "leases": ("leases", "zset"),  # incarnation: ms at which its lease ends
    "inst": ("inst:{}", "hash"),  # one incarnation
    "handlers": ("handlers:{}", "hash"),  # incarnation -> task: version
    "held": ("held:{}", "set"),  # incarnation -> executions that it runs
    "idle": ("idle", "zset"),  # incarnation with free slots: sequence since when
    "box": ("box:{}", "list"),  # mailbox of an incarnation or client
    "scopes": ("scopes", "set"),  # instances that dispatch for themselves (no election, no lock)
    "leader": ("leader", "hash"),
    "lock": ("lock:{}", "hash"),
    "locks": ("locks", "zset"),  # lock: ms until which it cannot be taken
    "lockq": ("lockq:{}", "zset"),  # lock -> waiting nonce: sequence
    "waiter": ("waiter:{}", "hash"),  # nonce -> what it waits for
}


def _key_builders(text: str) -> str:
    """Lua locals for the keys that `text` uses; P is the namespace's prefix, KEYS[1]."""
    lines = []
    for name, (pattern, _) in CATALOGUE.items():
        if not re.search(rf"\bk_{name}\b", text):
            continue
        parts = pattern.split("{}")
        if len(parts) == 1:
            lines.append(f"local k_{name} = P .. '{pattern}'")
        else:
            args = ["a", "b"][: len(parts) - 1]
            body = " .. ".join(f"'{p}' .. {a}" for p, a in zip(parts, args, strict=False))
            lines.append(f"local function k_{name}({', '.join(args)}) return P .. {body} end")
    return "\n".join(lines)


# Values of arguments that a script may name or compute: the keys made of them are checked beforehand.
_VALUES = {"state": tuple(State), "turn": PRIORITIES, "due": ("",)}


def _type_checks(folder: Any, text: str, trusted: bool) -> str:
    """`typed(kind, key)`, and its use on every key that needs no argument known only to the script.

    There is no rollback: a key of the wrong type has to be found before the first write. What remains (keys
    of one task, execution or instance) the scripts check themselves. On a server to which nobody else can
    write there is nothing to find, and `typed` does nothing.
    """
    if trusted:
        return "local function typed() end"
    lines = [(folder / "lib" / "typed.lua").read_text()]
    for name, (pattern, kind) in CATALOGUE.items():
        if not re.search(rf"\bk_{name}\b", text):
            continue
        if "{}" not in pattern:
            lines.append(f"typed('{kind}', k_{name})")
        for value in _VALUES.get(name, ()):
            # Those that the script names, or all when it computes them.
            if re.search(rf"\bk_{name}\('{value}'\)|\bk_{name}\([^'a]", text):
                lines.append(f"typed('{kind}', k_{name}('{value}'))")
    return "\n".join(lines)


def _legal_tables(text: str) -> str:
    """`LEGAL['FROM>TO']` and `LEGAL_FROM['FROM']` (it leads somewhere), for the scripts that use them."""
    pairs = [f"['{was}>{to}']=true" for was, tos in TRANSITIONS.items() for to in sorted(tos)]
    sources = [f"['{was}']=true" for was, tos in TRANSITIONS.items() if tos]
    lines = []
    if "LEGAL[" in text:
        lines.append(f"local LEGAL = {{{', '.join(pairs)}}}")
    if "LEGAL_FROM[" in text:
        lines.append(f"local LEGAL_FROM = {{{', '.join(sources)}}}")
    return "\n".join(lines)


@functools.cache
def script(name: str, trusted: bool = False) -> tuple[str, str]:
    """The whole text of a script and its SHA-1, as EVALSHA wants it.

    `trusted`: nobody but labsched writes to the server, so keys need not be checked for their type.
    """
    folder = resources.files("labsched") / "lua"
    body = (folder / f"{name}.lua").read_text()
    wanted: list[str] = []
    _collect(folder, body, wanted)
    pieces = [(folder / "lib" / f"{piece}.lua").read_text() for piece in wanted]
    if trusted:
        pieces = [_CHECK.sub(r"local function \1() end\n", piece) for piece in pieces]
    text = "\n".join([*_needed(pieces, body), body])
    head = ["local P = KEYS[1]", _key_builders(text)]
    head += [_type_checks(folder, text, trusted), _legal_tables(text)]
    source = "\n".join([*head, text])
    return source, hashlib.sha1(source.encode()).hexdigest()


# At the margin: on one line, or down to the `end` that stands there too.
_FUNCTION = re.compile(r"^local function (\w+)(?:[^\n]* end|.*?\nend)$\n?", re.MULTILINE | re.DOTALL)

# What only looks for keys of the wrong type, and reads for it.
_CHECK = re.compile(r"^local function (check_\w+)(?:[^\n]* end|.*?\nend)$\n?", re.MULTILINE | re.DOTALL)


def _needed(pieces: list[str], body: str) -> list[str]:
    """The pieces without the functions that nothing here calls: each costs a closure at every call of the script."""
    functions = {found[1]: found[0] for piece in pieces for found in _FUNCTION.finditer(piece)}
    rest = [body, *(_FUNCTION.sub("", piece) for piece in pieces)]
    used: set[str] = set()
    while rest:
        words = set(re.findall(r"\w+", re.sub(r"--.*|'[^'\n]*'", "", rest.pop())))
        fresh = (words & functions.keys()) - used
        used |= fresh
        rest += [functions[name] for name in fresh]
    return [_FUNCTION.sub(lambda found: found[0] if found[1] in used else "", piece) for piece in pieces]


def script_names() -> list[str]:
    """The names of all scripts."""
    folder = resources.files("labsched") / "lua"
    return sorted(file.name[:-4] for file in folder.iterdir() if file.name.endswith(".lua"))


def _collect(folder: Any, text: str, wanted: list[str]) -> None:
    found = re.search(r"^-- include: (.+)$", text, re.MULTILINE)
    for piece in found.group(1).split() if found else ():
        if piece not in wanted:
            _collect(folder, (folder / "lib" / f"{piece}.lua").read_text(), wanted)
            wanted.append(piece)
