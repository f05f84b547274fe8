"""Graders of notebook 17: settings for a platform's grace period, a web app's lifespan, and a test of a task.

All three run on virtual time, with what the learner has written in the place where a program would have it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from labsched.errors import ConfigError

from ..pictures.timeline import timeline
from .grading import Grader, Verdict
from .n17_grace import GRACE, LONGEST, settings, stopped
from .n17_letters import NEWSLETTERS, maker
from .n17_web import SIGTERM, Server

# --- 17-grace


def grace(answer: Any) -> Verdict:
    """A dict of variables: on SIGTERM the longest letter is finished, and a stuck one given back before SIGKILL."""
    if not isinstance(answer, Mapping) or not all(
        isinstance(x, str) for pair in answer.items() for x in pair
    ):
        return Verdict(
            False, "the answer is a dict of variables, and names and values are text: {'NAME': 'value'}"
        )
    try:
        found = settings(answer)
    except ConfigError as error:
        return Verdict(False, f"the process ends at once: {error}")
    if found.namespace != "shop":
        return Verdict(
            False, f"it joins the cluster {found.namespace!r}, and the letters are in 'shop'", "nothing-lost"
        )
    return _finished(found) or _given_back(found) or Verdict(
        True, f"a letter of {LONGEST:g} s is finished, and a stuck one is in other hands before SIGKILL comes"
    )  # fmt: skip


def _finished(found: Any) -> Verdict | None:
    ran = stopped(found, LONGEST)
    if ran.cut or ran.attempts > 1:
        said = f"SIGTERM came when a letter of {LONGEST:g} s had just begun: it was cut off, and begun anew elsewhere"
        return Verdict(False, said, "not-cut-short", timeline(ran.recording))
    if ran.state != "SUCCEEDED":
        return Verdict(
            False, f"a letter of {LONGEST:g} s is {ran.state} in the end: nobody runs it", "nothing-lost"
        )
    return None


def _given_back(found: Any) -> Verdict | None:
    ran = stopped(found, 3600)
    if ran.left is not None:
        return None
    said = f"a stuck letter: {GRACE:g} s after SIGTERM the process was still waiting for it, and SIGKILL ended both"
    return Verdict(False, said, "within-grace", timeline(ran.recording))


# --- 17-lifespan


def lifespan(answer: Any) -> Verdict:
    """`lifespan(web)`: an instance in each process of a web server, for as long as it serves."""
    if inspect.isasyncgenfunction(answer):
        return Verdict(False, "as it stands it is a generator: put @asynccontextmanager above it")
    server = Server(answer)
    for demand in (_up, _members, _orders, _ended):
        verdict = demand(server)
        if verdict is not None:
            return verdict
    return Verdict(
        True, "two processes served and ran six orders, and none of three SIGTERMs cost an attempt"
    )


def _up(server: Server) -> Verdict | None:
    for number, process in server.processes.items():
        if process.error is not None and process.ready is None:
            raise process.error
        if process.ready is None:
            return Verdict(
                False, f"process {number} never came to its `yield`, so it never served", "never-stuck"
            )
    return None


def _members(server: Server) -> Verdict | None:
    if not server.members:
        return Verdict(
            False,
            "two processes serve and take orders, and no instance has joined to run them",
            "nothing-lost",
        )
    if len(set(server.members)) < 2:
        said = f"two processes serve, and only one instance is a member, {server.members[0]}"
        return Verdict(False, f"{said}: whoever joins under its name takes its place", "every-process-joins")
    return None


def _orders(server: Server) -> Verdict | None:
    for process in server.processes.values():
        if process.refused:
            return Verdict(False, process.refused[0], "nothing-lost")
    return None


def _ended(server: Server) -> Verdict | None:
    rec = server.recording
    for number, process in server.processes.items():
        if process.down is None:
            said = f"process {number} has not ended {rec.ended - rec.started - SIGTERM[number]:.0f} s after SIGTERM"
            return Verdict(False, said, "never-stuck", timeline(rec))
    joined, left = ((rec.events.kind == f"INSTANCE_{how}").sum() for how in ("JOINED", "LEFT"))
    again = rec.executions[rec.executions.attempts > 1]
    if left < joined:
        said = f"{joined - left} of {joined} processes ended without leaving the cluster, which had to wait for a lease"
        said += f"; {len(again)} orders were cut off and begun anew" if len(again) else ""
        return Verdict(False, said, "clean-drain", timeline(rec))
    if len(again):
        return Verdict(
            False, f"{len(again)} orders were cut off and begun anew", "clean-drain", timeline(rec)
        )
    if not (rec.executions.state == "SUCCEEDED").all() or len(rec.executions) != 6:
        done = (rec.executions.state == "SUCCEEDED").sum()
        return Verdict(False, f"{done} of 6 orders were done in the end", "nothing-lost", timeline(rec))
    for process in server.processes.values():
        if process.error is not None:
            raise process.error
    return None


# --- 17-test


def test(answer: Callable[..., Any]) -> Verdict:
    """`fine(make)`: whether a newsletter keeps its promise. Two do, four do not."""
    missed = []
    for letter in NEWSLETTERS:
        said = bool(answer(maker(letter.body)))
        if letter.sound and not said:
            return Verdict(
                False, f"it refuses a newsletter that {letter.about}, and loses none", "no-false-alarm"
            )
        if said and not letter.sound:
            missed.append(letter.about)
    if missed:
        caught = sum(not letter.sound for letter in NEWSLETTERS) - len(missed)
        return Verdict(
            False, f"it catches {caught} of 4, and lets one pass that {missed[0]}", "mutants-killed"
        )
    return Verdict(True, "it catches the four that break the promise, and lets the two pass that keep it")


GRADERS: dict[str, Grader] = {"17-grace": grace, "17-lifespan": lifespan, "17-test": test}
