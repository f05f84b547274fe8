"""Mutants: the scheduler with one safeguard taken out, to be hunted in notebook 16.

A mutant is another text of one or two Lua scripts, put in its place on the way to the server. The scheduler has no
switch for this, and nothing outside of the `with` block is changed:

    with mutant("heron"):
        rec = hunting.run(7)
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

from labsched import wire
from labsched.errors import ConfigError
from labsched.scripts import script, script_names


@dataclass(frozen=True)
class Mutant:
    """`edits`: old text, which must be there exactly once, and new text; `scripts`: those in which it is replaced."""

    about: str
    scripts: tuple[str, ...]
    edits: tuple[tuple[str, str], ...]

    def applied(self, name: str, source: str) -> str:
        """The mutated text of the script `name`. ConfigError when the text it looks for has changed."""
        if name not in self.scripts:
            return source
        for old, new in self.edits:
            if old in source:
                source = source.replace(old, new)
        return source


_OWNER_OF_RELEASE = (
    "if l.token ~= token then return refuse('release', 'token', '', token, owner, '') end",
    "",
)
_OWNER_BELOW = (
    "if l.token ~= token or l.released == '1' then return false end",
    "if l.released == '1' then return false end",
)

MUTANTS: dict[str, Mutant] = {
    "heron": Mutant(
        "takes the end of an attempt without comparing its token",
        ("finish",),
        (("if x.token ~= token then", "if not x.token then"),),
    ),
    "cuckoo": Mutant(
        "gives a lock to whoever asks",
        ("lock_acquire", "lock_wait"),
        (("(lock_until(l) > now and not unclaimed)", "false"), ("lock_until(l) <= now", "true")),
    ),
    "magpie": Mutant(
        "lets anybody release a lock", ("lock_release",), (_OWNER_OF_RELEASE, _OWNER_BELOW)
    ),
    "jay": Mutant(
        "lets anybody prolong a lock",
        ("lock_extend",),
        (("if l.token ~= token or l.released == '1' then return refuse('extend', 'token', '', token, owner, '') end",
          ""),),
    ),
    "kestrel": Mutant(
        "prolongs a lock that is over",
        ("lock_extend",),
        (("if l.ends <= now then return refuse('extend', 'expired', '', token, owner, '') end", ""),),
    ),
}  # fmt: skip


def known(name: str) -> Mutant:
    """That mutant. ConfigError for a name that there is not."""
    if name not in MUTANTS:
        raise ConfigError(f"there is no mutant {name!r}, there are {', '.join(MUTANTS)}")
    return MUTANTS[name]


@contextlib.contextmanager
def mutant(name: str) -> Iterator[None]:
    """Inside, every script is sent as that mutant has it, in the whole process: one mutant at a time.

    ConfigError for an unknown name, and when the scheduler no longer has the text that the mutant changes.
    """
    creature = known(name)
    for each in creature.scripts:
        if creature.applied(each, script(each)[0]) == script(each)[0]:
            raise ConfigError(f"the script {each} has nothing that {name} changes")

    @functools.cache
    def mutated(name: str, trusted: bool = False) -> tuple[str, str]:
        source = creature.applied(name, script(name, trusted)[0])
        return source, hashlib.sha1(source.encode()).hexdigest()

    with mock.patch.object(wire, "script", mutated):
        yield


def reveal(name: str) -> str:
    """What the mutant has changed: the lines of the scripts, before (-) and after (+)."""
    creature, told = known(name), [f"{name}: {known(name).about}"]
    for each in (each for each in script_names() if each in creature.scripts):
        before = script(each)[0]
        lines = difflib.unified_diff(
            before.splitlines(), creature.applied(each, before).splitlines(), n=0, lineterm=""
        )
        changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        told += [f"labsched/lua/{each}.lua", *(line.rstrip() for line in changed)]
    return "\n".join(told)
