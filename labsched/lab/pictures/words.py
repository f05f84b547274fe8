"""A timeline in words: its title, and the text for those who do not see it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest

from .bars import Bar, Reading
from .layout import fault_label

_STATES = {
    "SUCCEEDED": "succeeded", "FAILED": "failed", "DEAD": "dead", "CANCELLED": "cancelled", "SKIPPED": "skipped",
    "RUNNING": "running", "READY": "waiting", "RETRYING": "waiting to retry", "BUFFERED": "held back",
}  # fmt: skip
_HIT = {"kill": "was killed", "pause": "was paused", "partition": "was cut off"}


def title(read: Reading) -> str:
    """One line of counts."""
    return f"{many(len(read.instances), 'instance')} · {_stretch(read, 's')} · {executions(read)}"


def executions(read: Reading, of: str = "") -> str:
    """`47 executions: 45 succeeded, 2 failed`, or `47 executions, all succeeded`."""
    counts = Counter(run.state for run in read.runs)
    states = [f"{counts[state]:,} {word}" for state, word in _STATES.items() if counts[state]]
    head = many(sum(counts.values()), "execution") + of
    if len(states) == 1 and sum(counts.values()) > 1:
        return f"{head}, all {states[0].split(' ', 1)[1]}"
    return f"{head}: {', '.join(states)}" if states else head


def story(read: Reading) -> list[str]:
    """What happened to leadership, attempts and slots, in short sentences; empty when nothing did."""
    told = list(takeovers(read))
    outcomes = Counter(bar.outcome for bar in read.attempts)
    if outcomes["LOST"]:
        moved = len(list(moves(read)))
        told.append(f"{many(outcomes['LOST'], 'attempt')} lost, {moved} run again by another instance")
    wrong = outcomes["FAILED"] + outcomes["TIMED_OUT"]
    for_good = sum(run.state == "FAILED" for run in read.runs)
    if wrong > for_good:  # else the title says it
        told.append(f"{many(wrong, 'attempt')} failed or timed out, {for_good or 'none'} for good")
    doubled = sum(bar.duplicate for bar in read.attempts)
    if doubled:
        told.append(f"{doubled} attempts ran the same slot as another one")
    return told


def lines(sentences: list[str]) -> list[str]:
    """The sentences on as few lines as hold them, at most three."""
    filled: list[str] = []
    for sentence in sentences:
        if filled and len(filled[-1]) + len(sentence) < 118:
            filled[-1] += f"  ·  {sentence}"
        else:
            filled.append(sentence)
    return filled[:3]


def short(name: str, letters: int) -> str:
    """The name, cut if it has more letters."""
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def takeovers(read: Reading) -> Iterator[str]:
    """A sentence for each leader that was hit or stepped down."""
    for leader, heir in zip_longest(read.leaders, read.leaders[1:]):
        if leader.halt is None or leader.halt > read.end:  # what comes later is not this picture's
            if heir is not None and leader.outcome == "resigned":
                yield f"{leader.label} stepped down at {leader.end:.1f} s, {_heir(leader, heir, leader.end)}"
            continue
        hit = next((m for m in read.marks if m.band == leader.label and m.start == leader.halt), None)
        did = _HIT.get((hit.outcome or "") if hit else "", "fell silent")
        then = "nobody had taken over by the end" if heir is None else _heir(leader, heir, leader.halt)
        yield f"{leader.label} {did} at {leader.halt:.1f} s while it led, {then}"


def moves(read: Reading) -> Iterator[tuple[Bar, Bar]]:
    """Lost attempts with the next attempt of the same execution, where another instance ran it."""
    by_execution: dict[str | None, Bar] = {}
    for bar in sorted(read.attempts, key=lambda bar: (bar.start, bar.attempt or 0)):
        before = by_execution.get(bar.execution)
        if before is not None and before.outcome == "LOST" and before.band != bar.band:
            yield before, bar
        by_execution[bar.execution] = bar


def alt(read: Reading) -> str:
    """Two or three sentences and a few more when much happened: size, counts, leaders, faults."""
    names = read.instances
    who = f" ({', '.join(names)})" if 0 < len(names) <= 10 else ""
    of = f" of {many(len(read.tasks), 'task')}" if read.tasks else ""
    sentences = [
        f"Timeline of {_stretch(read, 'seconds')} on {many(len(names), 'instance')}{who}; {executions(read, of)}."
    ]
    if read.leaders:
        led = ", then ".join(f"{bar.label} from {bar.start:.1f} s" for bar in read.leaders[:6])
        sentences.append(f"Leader: {led}{' and others' if len(read.leaders) > 6 else ''}.")
    if read.marks:
        sentences.append(f"Faults: {fault_list(read)}.")
    return " ".join([*sentences, *(f"{sentence}." for sentence in story(read))])


def fault_list(read: Reading) -> str:
    """The first eight faults, and how many more there are."""
    told = [fault_label(mark, named=True) for mark in read.marks]
    return ", ".join(told[:8]) + (f" and {len(told) - 8} more" if len(told) > 8 else "")


def wrapped(sentence: str, letters: int = 120) -> list[str]:
    """One long sentence on at most two lines."""
    return textwrap.wrap(sentence, letters, max_lines=2, placeholder=" …")


def many(n: int, noun: str) -> str:
    """`1 attempt`, `2,000 attempts`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _stretch(read: Reading, unit: str) -> str:
    if read.span == read.lasted:
        return f"{read.span:.1f} {unit}"
    return f"{read.start:.1f} to {read.end:.1f} of {read.lasted:.1f} {unit}"


def _heir(leader: Bar, heir: Bar, since: float) -> str:
    who = f"{heir.label} again" if heir.label == leader.label else heir.label
    took = heir.start - since
    return f"{who} took over {'at once' if took < 0.05 else f'{took:.1f} s later'}"
