"""What only a simulated world can say.

LabschedError
├── NothingLeft (RuntimeError)           no event is left, and somebody still waits
├── Spinning (RuntimeError)              an instant does not end
├── NotSimulated (NotImplementedError)   threads, sockets and processes do not exist here
└── Killed (RuntimeError)                the node is dead: make a new one
"""

from __future__ import annotations

from labsched.errors import LabschedError


class NothingLeft(LabschedError, RuntimeError):
    """Nothing will ever happen again, yet somebody waits. The message names who waits, and where."""


class Spinning(LabschedError, RuntimeError):
    """A node runs on and on without letting virtual time pass. The message names it and what it runs."""


class NotSimulated(LabschedError, NotImplementedError):
    """The code asked for a thread, a socket or a process. Nothing was started."""


class Killed(LabschedError, RuntimeError):
    """A killed node was asked to run something. A restart is a new `Node`."""
