"""A space-time picture in words: headline, story, key, and the text for those who do not see it."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.patches import Patch

from . import words
from .ink import BLACK, LEADS, LEASE, LEASE_MARGIN, LOCKED, RUNS_OUT, TROUBLE, UNKNOWN, Look, inks
from .legend import Entry, faults, sign
from .spaces import Space
from .wires import ARROWS, OTHER


def parts(space: Space) -> list[list[Entry]]:
    """The key: tasks, then signs."""
    return [part for part in (list(_tasks(space)), list(_signs(space))) if part]


def _tasks(space: Space) -> Iterator[Entry]:
    drawn = {bar.task for strip in space.strips for bar in strip.bars if bar.kind == "attempt"}
    for task, ink in inks(space.read.tasks).items():
        if task in drawn:
            look: Look = {"facecolor": ink.colour, "edgecolor": BLACK, "hatch": ink.hatch or None}
            yield Patch(linewidth=0.6, **look), f"runs {words.short(task, 22)}"


def _signs(space: Space) -> Iterator[Entry]:
    bars = [bar for strip in space.strips for bar in strip.bars]
    kinds, halted = {bar.kind for bar in bars}, {bar.kind for bar in bars if bar.halt is not None}
    looks = {word: look for arrow in space.arrows for look, word in [ARROWS.get(arrow.kind, OTHER)]}
    for word, look in sorted(looks.items(), key=lambda item: item[0] != "request"):
        yield sign(">", look["color"], 6, look["color"], 0.5, **look), word
    if any(arrow.lost for arrow in space.arrows):
        yield sign("X", TROUBLE, 9, "white", 0.9), "message lost"
    if space.leases:
        yield Patch(**LEASE), "instance lease, as proved to it"
    if any((bar.halt or bar.end) <= space.read.end for bar in space.leases):
        yield Patch(**LEASE_MARGIN), "lease margin: must have stopped"
    if "leader" in kinds:
        yield Patch(**LEADS), "leads; #n: the n-th token given"
    if "lock" in kinds:
        yield Patch(**LOCKED), "lock held; #n as for the leader"
    if "attempt" in halted:
        yield Patch(**(UNKNOWN | {"edgecolor": BLACK})), "stopped, but nobody knows yet"
    if {"leader", "lock"} & halted:
        yield Patch(**RUNS_OUT), "holder stopped, lease runs out"
    if space.told:
        yield sign("D", BLACK, 9, "white", 0.9), "told that its lease is lost"
    if space.refused:
        yield sign("s", TROUBLE, 10, "white", 0.9), "R: refused, what came was stale"
    if space.rings:
        yield sign("o", "none", 13, TROUBLE, 2.2), "here the guarantee breaks"
    yield from faults(space.read.marks)


def title(space: Space) -> str:
    read = space.read
    stretch = f"{read.start:.1f} to {read.end:.1f} of {read.lasted:.1f} s"
    counted = words.many(len(space.found), "message")
    if space.hidden:
        counted = f"{len(space.arrows):,} of {counted} ({space.hidden:,} left out, heartbeats first)"
    return f"Messages {stretch} · {counted}"


def story(space: Space) -> list[str]:
    """The violated guarantee, then what became of leaders and work."""
    told = [f"{ring.start:.3f} s, {ring.outcome}: {ring.label}" for ring in space.rings[:1]]
    told = words.wrapped(told[0]) if told else []
    lost = sum(bool(arrow.lost) for arrow in space.found)
    facts = words.story(space.read)
    if lost:
        facts.append(f"{words.many(lost, 'message')} lost")
    return [*told, *words.lines(facts)][:4]


def alt(space: Space) -> str:
    read, lanes = space.read, [strip.name for strip in space.strips]
    shown = f", of which {space.hidden:,} are not drawn" if space.hidden else ""
    told = [
        f"Space-time diagram of {read.start:.1f} to {read.end:.1f} of {read.lasted:.1f} seconds between "
        f"{', '.join(lanes[:12])}{' and others' if len(lanes) > 12 else ''}: "
        f"{words.many(len(space.found), 'message')}{shown}."
    ]
    lost = sum(bool(arrow.lost) for arrow in space.found)
    if lost:
        told.append(f"{words.many(lost, 'message')} got lost.")
    told += [f"Faults: {words.fault_list(read)}."] if read.marks else []
    told += [f"{text}." for text in words.story(read)]
    told += [f"At {bar.start:.1f} s {bar.band} is told that its lease is lost." for bar in space.told[:4]]
    if space.refused:
        told.append(f"{words.many(len(space.refused), 'stale write')} refused.")
    told += [f"At {r.start:.3f} s {r.outcome} is violated: {r.label}." for r in space.rings[:1]]
    return " ".join(told)
