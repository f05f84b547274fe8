"""One error tree. Each class says whether the operation may have happened.

    LabschedError
    ├── ConfigError (ValueError)       no: refused before anything was sent
    ├── ScheduleError (ValueError)     no: refused before anything was sent
    ├── PayloadError (ValueError)      no: refused before anything was sent
    ├── UnknownTask (LookupError)      no: the registry has no such task
    ├── UnknownExecution (LookupError) no: the registry has no such execution
    ├── BacklogFull                    no: the batch was refused as a whole
    ├── LockNotAcquired                no: somebody else holds the lock
    ├── LockLost                       the lock ended; what the block did before may stand
    ├── Superseded                     no: refused by a fence
    │   ├── StaleToken                 a later attempt or holder has taken over
    │   ├── StaleEpoch                 a later leader was elected
    │   └── StaleIncarnation           the instance's lease ended or its name was taken over
    ├── EventsGap                      no: the events asked for are gone
    ├── ServerUnsuitable               no: the server cannot keep the promises
    ├── Unreachable                    no: nothing was sent
    └── OutcomeUnknown                 MAYBE: sent, and no reply came

Exceptions are for the world; a bug in labsched itself is an AssertionError.
"""

from __future__ import annotations


class LabschedError(Exception):
    """Root of every error that labsched raises on purpose."""

    may_have_happened: bool = False


class ConfigError(LabschedError, ValueError):
    """A setting, duration or definition is wrong; the message names it, its value and what is allowed."""


class ScheduleError(LabschedError, ValueError):
    """A schedule cannot be understood or never fires."""


class PayloadError(LabschedError, ValueError):
    """A payload or result is not JSON, or is larger than 1 MiB."""


class UnknownTask(LabschedError, LookupError):
    """No task of that name is in the registry."""

    def __str__(self) -> str:
        return Exception.__str__(self)


class UnknownExecution(LabschedError, LookupError):
    """No execution of that id is in the registry; it may have been forgotten by retention."""

    def __str__(self) -> str:
        return Exception.__str__(self)


class BacklogFull(LabschedError):
    """The task already has `max_backlog` executions waiting; none of the batch was added."""


class LockNotAcquired(LabschedError):
    """Somebody else holds the lock, or waits for it."""


class LockLost(LabschedError):
    """The lock ended while its holder still wanted it."""

    may_have_happened = True


class Superseded(LabschedError):
    """A fence refused the call because somebody newer has taken over. Nothing was changed."""


class StaleToken(Superseded):
    """The fencing token is not the newest for this execution, lock or resource."""


class StaleEpoch(Superseded):
    """The caller no longer leads: a later epoch exists, or its own has ended."""


class StaleIncarnation(Superseded):
    """The instance's lease ended, or a newer incarnation of its name has joined."""


class EventsGap(LabschedError):
    """The events after `since` were trimmed, or `since` lies beyond the last event (the history was reset)."""


class ServerUnsuitable(LabschedError):
    """The server is too old, evicts keys, is read-only, out of memory, or holds a namespace we must not touch."""


class Unreachable(LabschedError):
    """The server could not be reached; nothing was sent."""


class OutcomeUnknown(LabschedError):
    """The call was sent and no reply came: it may have happened. Resending it is safe."""

    may_have_happened = True
