"""`no-stale-write`: what carries a superseded token, epoch or incarnation changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...model import Event, Kind
from .facts import Facts
from .nouns import ms
from .result import CheckResult, Finder

if TYPE_CHECKING:
    from ..recording import Recording

_COMMITS = frozenset({Kind.SUCCEEDED, Kind.FAILED, Kind.RETRYING, Kind.FENCE_WRITTEN, Kind.LOST})
_REVOKES = frozenset(
    {
        Kind.SUCCEEDED,
        Kind.FAILED,
        Kind.RETRYING,
        Kind.LOST,
        Kind.READY,
        Kind.DEAD,
        Kind.CANCELLED,
        Kind.SKIPPED,
    }
)
_LED = frozenset({Kind.READY, Kind.BUFFERED, Kind.SKIPPED, Kind.LOST, Kind.FORGOTTEN, Kind.LEADER_RESIGNED})
_AFTER_LOSS = frozenset(
    {Kind.DEAD, Kind.CANCELLED}
)  # may follow LOST in its step, in the name of the same attempt
_CARRIES_INCARNATION = frozenset(
    {Kind.INSTANCE_DRAINING, Kind.INSTANCE_LEFT, Kind.INSTANCE_LOST, Kind.LEADER_ELECTED}
)


def no_stale_write(rec: Recording) -> CheckResult:
    """Every write carries the token, epoch or incarnation that was current in the order of the stream.

    Tested: every REFUSED, and every accepted write that could have been stale, because the execution, lock,
    leadership or instance had been somebody else's before.
    """
    find = Finder("no-stale-write")
    watch = _Watch(find, rec.facts)
    watch.start(rec)
    for e in rec.history:
        watch.take(e, ms(e))
    return find.result()


class _Watch:
    """What is current, event by event."""

    def __init__(self, find: Finder, facts: Facts) -> None:
        self.find, self.facts = find, facts
        self.token: dict[str, int | None] = {}  # execution -> token that may commit
        self.holder: dict[str, str | None] = {}  # execution -> instance that was given it
        self.over: dict[
            str, tuple[int | None, str | None]
        ] = {}  # execution -> token and holder that were just LOST
        self.taken: set[str] = set()  # executions that had a token revoked
        self.lock: dict[str, tuple[int | None, bool]] = {}  # lock -> token, whether somebody held it before
        self.held: dict[str, Event] = {}  # lock -> its last LOCK_ACQUIRED
        self.until: dict[str, int] = {}
        self.epoch: int | None = None
        self.elections = 0
        self.live: dict[str, int] = {}
        self.elects: dict[str, bool] = {}  # whether that instance may dispatch only with an epoch
        self.gone: set[tuple[str | None, int | None]] = set()
        self.absent: set[str] = set()  # names without a live incarnation, after having had one

    def start(self, rec: Recording) -> None:
        snap = rec.snapshot
        self.steady = (
            not rec.health.server
        )  # else the server's clock may have been set back behind its event ids
        self.unknown = (
            "executions" not in snap
        )  # a stream read from its middle says nothing about earlier tokens
        self.members = "instances" in snap  # all of them are known
        for key, x in (snap.get("executions") or {}).items():
            self.token[key] = x.get("token") if x["state"] == "RUNNING" else None
            self.holder[key] = x.get("instance")
        for name, held in (snap.get("locks") or {}).items():
            self.lock[name], self.until[name] = (held["token"], False), held["until"]
        for name, inst in (snap.get("instances") or {}).items():
            self.live[name], self.elects[name] = inst["incarnation"], bool(inst.get("election"))
        if snap.get("leader"):
            self.epoch, self.elections = snap["leader"]["epoch"], 1

    def take(self, e: Event, at: int) -> None:
        if e.kind == Kind.REFUSED:
            self.find.tested += 1
            return
        if e.kind in _LED and e.epoch is not None:
            self._led(e, at)
        elif self._coordinates(e) and self.elects.get(e.instance or str(e.data.get("by"))):
            self._stale(e, at, "no epoch", "its instance takes part in elections")
        if e.execution and (e.kind in _COMMITS or (e.kind in _AFTER_LOSS and e.token is not None)):
            self._commit(e, at)
        if e.kind in (Kind.LOCK_ACQUIRED, Kind.LOCK_EXTENDED, Kind.LOCK_RELEASED):
            self._locked(e, at)
        self._member(e, at)
        if e.kind == Kind.RUNNING and e.execution:
            self.token[e.execution], self.holder[e.execution] = e.token, e.instance
            self.over.pop(e.execution, None)
        elif e.kind in _REVOKES and e.execution:
            if self.token.get(e.execution) is not None:
                self.taken.add(e.execution)
            if e.kind == Kind.LOST:
                self.over[e.execution] = self.token.get(e.execution), self.holder.get(e.execution)
            else:
                self.over.pop(e.execution, None)
            self.token[e.execution] = None

    def _stale(self, e: Event, at: int, what: str, now: str) -> None:
        who = e.instance or "somebody"
        self.find.found(at, f"{who} wrote {e.kind} at {self.facts.clock(at)} with {what}; {now}", e.id)

    def _commit(self, e: Event, at: int) -> None:
        execution = e.execution or ""
        if execution not in self.token and self.unknown:
            return
        current, holder = self.token.get(execution), self.holder.get(execution)
        if e.kind in _AFTER_LOSS:
            current, holder = self.over.get(execution, (current, holder))
        self.find.tested += execution in self.taken
        if e.token != current:
            now = "no token was current" if current is None else f"current was {self.facts.rank(current)}"
            self._stale(e, at, f"token {self.facts.rank(e.token)} of {execution}", now)
        elif e.instance and (holder or e.instance) != e.instance:
            # What the server writes is the current token, whoever sent what.
            self._stale(e, at, f"the token of {holder} of {execution}", "it was not its own")

    def _locked(self, e: Event, at: int) -> None:
        name = str(e.data.get("lock"))
        current, before = self.lock.get(name, (None, False))
        if e.kind == Kind.LOCK_ACQUIRED:
            self.lock[name], self.until[name] = (e.token, name in self.lock), e.data.get("until") or at
            running = self.token.get(e.execution or "")
            if e.execution and running is not None and running != e.token:
                self._stale(
                    e, at, f"token {self.facts.rank(e.token)}", f"current was {self.facts.rank(running)}"
                )
            elif e.execution and e.instance != self.holder.get(e.execution, e.instance):
                self._stale(e, at, f"the token of {self.holder[e.execution]}", "it was not its own")
            elif e.execution and e.task and name.startswith("task:") and name != f"task:{e.task}":
                self._stale(e, at, f"lock {name!r}", f"its execution is one of {e.task}")
            self.held[name] = e
            return
        if name not in self.lock:
            return  # it was held before the recording began
        self.find.tested += before
        if e.token != current:
            now = "it was free" if current is None else f"its holder was {self.facts.rank(current)}"
            self._stale(e, at, f"token {self.facts.rank(e.token)} of lock {name!r}", now)
        elif e.kind == Kind.LOCK_RELEASED and name in self.held and _whose(e) != _whose(self.held[name]):
            self._stale(e, at, f"token {self.facts.rank(e.token)} of lock {name!r}", "it was not its own")
        elif e.kind == Kind.LOCK_RELEASED:
            self.lock[name] = (None, before)
        elif self.steady and at > self.until.get(name, at):
            self._stale(e, at, f"token {self.facts.rank(e.token)} of lock {name!r}", "that hold had ended")
        self.until[name] = e.data.get("until") or at

    def _led(self, e: Event, at: int) -> None:
        self.find.tested += self.elections > 1
        if self.elections and e.epoch != self.epoch:
            now = "nobody led" if self.epoch is None else f"current was {self.facts.rank(self.epoch)}"
            self._stale(e, at, f"epoch {self.facts.rank(e.epoch)}", now)
        elif e.kind == Kind.LEADER_RESIGNED:
            self.epoch = None

    def _member(self, e: Event, at: int) -> None:
        name = e.instance or ""
        if e.kind == Kind.INSTANCE_JOINED and e.token is not None:
            if name in self.live:
                self.gone.add((name, self.live[name]))
            self.live[name], self.elects[name] = e.token, bool(e.data.get("election"))
            self.absent.discard(name)
        elif e.kind in _CARRIES_INCARNATION:
            self.find.tested += any(gone == name for gone, _ in self.gone)
            live = self.live.get(name)
            if (name, e.token) in self.gone:
                self._stale(e, at, f"incarnation {self.facts.rank(e.token)}", "that incarnation was over")
            elif live is not None and e.token is not None and e.token != live:
                now = f"live was {self.facts.rank(live)}"
                self._stale(e, at, f"incarnation {self.facts.rank(e.token)}", now)
        elif self._acts(e) and name:
            self.find.tested += name in self.absent
            inc = e.data.get("inc")
            if name in self.absent:
                self._stale(e, at, "an incarnation that was over", "no incarnation of that name was live")
            elif inc is not None and self.live.get(name, None if self.members else inc) != inc:
                now = (
                    f"live was {self.facts.rank(self.live[name])}" if name in self.live else "it never joined"
                )
                self._stale(e, at, f"incarnation {self.facts.rank(inc)}", now)
        if e.kind == Kind.LEADER_ELECTED:
            self.epoch, self.elections = e.epoch, self.elections + 1
        if e.kind in (Kind.INSTANCE_LEFT, Kind.INSTANCE_LOST):
            self.gone.add((name, e.token))
            if self.live.get(name) == e.token:
                del self.live[name]
                self.absent.add(name)

    def _coordinates(self, e: Event) -> bool:
        """Only a leader does that, or anybody where nobody is elected."""
        if e.kind == Kind.READY and e.data.get("source") in ("retry", "delayed"):
            return True
        return self._dispatches(e) or e.kind == Kind.FORGOTTEN

    def _acts(self, e: Event) -> bool:
        """Claims and dispatches are sent with the incarnation, though their events show the name alone."""
        return e.kind == Kind.RUNNING or self._dispatches(e)

    def _dispatches(self, e: Event) -> bool:
        dispatched = e.kind == Kind.READY and e.data.get("source") == "schedule"
        return dispatched or (e.kind == Kind.BUFFERED and e.data.get("reason") == "overlap")


def _whose(e: Event) -> tuple[str | None, ...]:
    return e.instance, e.execution, e.task
