"""Switching a safeguard of ring 1 off. Ring 1 has no switch for this: the text of a script is changed on its way to
the server, or a method is replaced, for the length of a `with` block. Which there are is in safeguards.py.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from labsched import wire
from labsched.scripts import script, script_names
from labsched.worlds.recording import Recording
from labsched.worlds.swarm import cure, swarm, swarm_world

UNTIL, HEALTHY = 30.0, 12.0  # virtual seconds of one run

EVERYWHERE = "*"  # in each script that includes the piece


@dataclass(frozen=True)
class Edit:
    """Replaces `old`, which occurs exactly once, in one script or in all that have it."""

    where: str
    old: str
    new: str

    def apply(self, name: str, source: str) -> str:
        if self.where not in (name, EVERYWHERE) or (self.where == EVERYWHERE and self.old not in source):
            return source
        assert source.count(self.old) == 1, f"{self.old!r} occurs {source.count(self.old)} times in {name}"
        return source.replace(self.old, self.new)


Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Safeguard:
    """`breaks` is the guarantee that falls with it; "" when others cover it, or none promises what it gives.

    `until`: virtual seconds after which its run ends, shorter where a cluster without it only spins.
    """

    name: str
    breaks: str
    edits: tuple[Edit, ...] = ()
    patch: Patch | None = None
    until: float = UNTIL


@contextlib.contextmanager
def switched_off(safeguard: Safeguard) -> Iterator[None]:
    """Inside, every script is sent and every method runs without it."""

    @functools.cache
    def without(name: str, trusted: bool = False) -> tuple[str, str]:
        source = script(name, trusted)[0]
        for edit in safeguard.edits:
            source = edit.apply(name, source)
        return source, hashlib.sha1(source.encode()).hexdigest()

    for edit in safeguard.edits:
        assert any(script(name)[0] != edit.apply(name, script(name)[0]) for name in script_names()), edit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "script", without)
        if safeguard.patch is not None:
            safeguard.patch(patch)
        yield


def record(seed: int, safeguard: Safeguard | None = None) -> Recording:
    """The swarm's run of that seed, without the safeguard. A defect line that its absence brings about ends nothing."""
    if safeguard is None:
        return swarm(seed, until=UNTIL, healthy=HEALTHY)
    trouble = UNTIL - HEALTHY
    with switched_off(safeguard), swarm_world(seed, trouble) as sim, sim.sayings.heard():
        sim.loop.run(until=min(trouble, safeguard.until))
        if safeguard.until > trouble:
            cure(sim)
            sim.loop.run(until=safeguard.until)
        return sim.recording()


def broken(rec: Recording) -> dict[str, str]:
    """Guarantee: first violation."""
    found: dict[str, str] = {}
    for violation in rec.check().violations:
        found.setdefault(violation.guarantee, violation.sentence)
    return found
