"""labsched: a distributed task scheduler on Redis, and a lab to see it run, crash and recover.

Layout, arrows inward only:

    ring 1, the scheduler  the modules beside this file; needs redis, msgspec and a cron parser
        app        Scheduler, what a script holds          errors, config, model   the words
        schedule, plan, definition                         pure decisions
        store, lua/                                        keys and atomic steps
        instance = membership + worker + coordinator       one member of a cluster
        locks, fence, registry, events, metrics, diagnosis what else the namespace offers
        sync       the same calls without asyncio
    ring 2, the worlds     labsched.worlds: real processes, recordings and the checks on them
    ring 3, the faces      labsched.cli, labsched.lab

Importing labsched loads ring 1 alone and has no side effect.
"""

from .app import Scheduler
from .config import Settings
from .definition import misfire
from .errors import (
    BacklogFull,
    ConfigError,
    EventsGap,
    LabschedError,
    LockLost,
    LockNotAcquired,
    OutcomeUnknown,
    PayloadError,
    ScheduleError,
    ServerUnsuitable,
    StaleEpoch,
    StaleIncarnation,
    StaleToken,
    Superseded,
    UnknownExecution,
    UnknownTask,
    Unreachable,
)
from .fence import FenceStore
from .locks import Lock, LockManager
from .model import TRANSITIONS, Attempt, Event, Execution, Kind, Outcome, State, Task
from .plan import exponential
from .schedule import at, cron, every, manual

__version__ = "0.1.0"

__all__ = [
    # the scheduler
    "Scheduler", "Settings",
    # schedules and policies
    "at", "cron", "every", "exponential", "manual", "misfire",
    # locks and fences
    "FenceStore", "Lock", "LockManager",
    # the nouns
    "TRANSITIONS", "Attempt", "Event", "Execution", "Kind", "Outcome", "State", "Task",
    # what can go wrong
    "BacklogFull", "ConfigError", "EventsGap", "LabschedError", "LockLost", "LockNotAcquired", "OutcomeUnknown",
    "PayloadError", "ScheduleError", "ServerUnsuitable", "StaleEpoch", "StaleIncarnation", "StaleToken",
    "Superseded", "UnknownExecution", "UnknownTask", "Unreachable",
]  # fmt: skip
