"""What every session does: takes commands from any thread, and tells whoever listens what its world looks like.

A session is a world on a thread of its own. Callers only put commands into its inbox; the thread obeys them between
two moments of the world. It tells `state` (a dict, after each command and at most four times a second beside that),
and `events` in batches, at most four a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from labsched.errors import ConfigError, LabschedError
from labsched.model import Event
from labsched.worlds.checks.result import Report
from labsched.worlds.recording import Recording

from .script import Step, asked
from .tally import Tally
from .words import lamps

TELL_EVERY = 0.25  # real seconds
JUDGE_EVERY = 1.0  # real seconds between two judgements at least
JUDGE_SHARE = 5.0  # … and so many times what the last one took, so that a long run is not slowed by it
WINDOW = 120.0  # seconds of events that a new view is given; it shows the last 60

Listener = Callable[[str, dict[str, Any], list[bytes]], None]


class Command(NamedTuple):
    """What is to be done, and where its outcome goes."""

    do: str
    args: dict[str, Any]
    outcome: Future[Any]


class Session:
    """The half that both worlds share. Subclasses have a thread that reads `_inbox` and calls `_tell`.

    `off`: what this world cannot do, and why. ConfigError, in one line, for what cannot be done.
    """

    world = ""
    off: Mapping[str, str] = {}

    def __init__(self, started: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._inbox: SimpleQueue[Command] = SimpleQueue()
        self._real = clock
        self._listeners: list[Listener] = []
        self._thread = threading.Thread(target=self._live, name="labsched-panel", daemon=True)
        self._closing = False
        self._over = threading.Event()
        self._tally, self._drawn = Tally(started), list[list[Any]]()
        self._batch, self._spoken, self._reset = list[list[Any]](), list[str](), True
        self._state_told = self._events_told = self._judged = -1e9
        self._judging_took, self._judged_to = 0.0, -1.0
        self._untold = False  # a judgement that no state has told yet
        self._report: Report | None = None
        self._red: frozenset[str] = frozenset()
        self.notice = ""
        self.state: dict[str, Any] = {}

    def _live(self) -> None:
        raise NotImplementedError

    # --- from any thread

    def start(self) -> None:
        """Let it live; returns at once."""
        self._thread.start()

    def listen(self, listener: Listener) -> None:
        """Call `listener(kind, body, buffers)` on the session's thread for all that is told from now on."""
        self._listeners.append(listener)

    def send(self, do: str, **args: Any) -> Future[Any]:
        """Put a command into the inbox; never waits."""
        command = Command(do, args, Future())
        if self._over.is_set():
            command.outcome.set_exception(ConfigError("the panel is closed: make a new one"))
        else:
            self._inbox.put(command)
            self._wake()
        return command.outcome

    def _wake(self) -> None:
        pass

    def press(self, verb: str, *target: str, at: float | None = None, **args: Any) -> None:
        """A verb now, or at `at` (seconds of this world). Returns once it is done or planned."""
        self.send("press", step=asked(verb, *target, **args), at=at).result()

    def finish(self, until: float | None = None) -> Recording:
        """Go on to `until` (absolute seconds), if that lies ahead, and return everything up to there."""
        rec: Recording = self.send("finish", until=until).result()
        return rec

    def close(self) -> None:
        """End the world and the thread; returns when nothing of it is left. Closing twice is once."""
        self._closing = True
        if self._thread.is_alive():
            self.send("close")
            self._over.wait()

    def code(self) -> str:
        """The script equal to what was pressed."""
        raise NotImplementedError

    # --- on the session's thread

    def _next(self, wait: float | None) -> Command | None:
        try:
            return self._inbox.get(timeout=wait)
        except Empty:
            return None

    def _refuse_rest(self) -> None:
        """Nobody will obey what is still in the inbox, or comes later."""
        self._over.set()
        while not self._inbox.empty():
            self._inbox.get().outcome.set_exception(ConfigError("the panel is closed: make a new one"))

    def _failed(self, command: Command, error: BaseException) -> None:
        """What went wrong goes to whoever asked, and as one line into the panel."""
        if isinstance(error, BaseExceptionGroup):
            error_said = f"a defect, not a fault: {error.exceptions[0]!r}"
        else:
            error_said = str(error) if isinstance(error, LabschedError) else repr(error)
        self.notice = error_said
        command.outcome.set_exception(error)

    def _take(self, events: Iterable[Event], faults: Iterable[Mapping[str, Any]]) -> None:
        """What has happened since the last time, for the next batch."""
        drawn, spoken = self._tally.take(events)
        more, said = self._tally.take_faults(faults)
        batch = sorted([*drawn, *more], key=lambda one: one[0]) if more else drawn
        self._drawn += batch
        self._batch += batch
        self._spoken += [*said, *spoken]

    def _begin_again(self) -> None:
        """Another world, or another view: the next batch holds all that is shown."""
        self._tally = Tally(self._tally.started)
        self._drawn, self._batch, self._spoken, self._reset = [], [], [], True

    def _judgement_due(self, now: float) -> bool:
        """Whether what has changed may be judged again already."""
        gap = max(JUDGE_EVERY, JUDGE_SHARE * self._judging_took)
        return now != self._judged_to and self._real() >= self._judged + gap

    def _judge(self, rec: Recording, now: float, began: float) -> None:
        self._report = rec.check()
        self._judged, self._judged_to = self._real(), now
        self._judging_took, self._untold = self._judged - began, True
        red = frozenset(result.id for result in self._report if result.violations)
        self._spoken += [f"{name} is violated" for name in sorted(red - self._red)]
        self._red = red

    def _tell(self, more: dict[str, Any], *, at_once: bool) -> None:
        """The state if it is due, or `at_once`; events if they are due."""
        now = self._real()
        if at_once or now >= self._state_told + TELL_EVERY:
            self._state_told, self._untold = now, False
            self.state = {
                "world": self.world, "notice": self.notice, "off": dict(self.off), "lamps": lamps(self._report),
                "closed": self._closing, **more,
            }  # fmt: skip
            self._emit("state", self.state)
        if (self._batch or self._spoken or self._reset) and now >= self._events_told + TELL_EVERY:
            self._events_told = now
            batch = self._shown() if self._reset else self._batch
            self._emit("events", {"reset": self._reset, "events": batch, "spoken": self._spoken[-4:]})
            self._batch, self._spoken, self._reset = [], [], False

    def _shown(self) -> list[list[Any]]:
        latest = max((one[0] for one in self._drawn), default=0.0)
        return [one for one in self._drawn if one[0] >= latest - WINDOW]

    def _emit(self, kind: str, body: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        for listener in self._listeners:
            try:
                listener(kind, body, buffers or [])
            except Exception:  # a front end that has gone must not stop the world
                logging.getLogger(__name__).exception("a listener of the panel failed")

    def _draw(self, rec: Recording, guarantee: str) -> None:
        """A picture of the first violation, made on a thread of its own: it takes a second."""

        def body() -> None:
            from .picture import of_violation

            try:
                png, alt = of_violation(rec, guarantee)
            except Exception as error:  # nobody waits for this thread: the panel has to say it
                self.send("say", text=f"no picture of {guarantee}: {error}")
            else:
                self._emit("picture", {"guarantee": guarantee, "alt": alt}, [png])

        threading.Thread(target=body, name="labsched-picture", daemon=True).start()


def stepped(step: Step, at: float) -> Step:
    """That step at that time."""
    return Step(t=at, kind=step.kind, target=step.target, args=step.args)
