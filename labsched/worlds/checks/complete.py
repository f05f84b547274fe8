"""`history-complete`: the events, played over the first snapshot, give the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...model import TERMINAL, Event, Kind, State
from .nouns import Life, Run, definition_of, ms
from .result import CheckResult, Finder
from .slots import dispatched_slot

if TYPE_CHECKING:
    from ..recording import Recording


def history_complete(rec: Recording) -> CheckResult:
    """The final snapshot holds what the events say and nothing else.

    Compared: state of every execution (attempt, token and instance too while RUNNING), status, definition and
    slot watermark of every task, locks that are still held, the leader, the incarnations. Not compared: ends of
    leases, which renewals move without an event, and what retention may have forgotten. Tested: things compared.
    """
    find = Finder("history-complete")
    if rec.final is None:
        find.note = "the recording has no final snapshot"
        return find.result()
    _Compare(find, rec, rec.final).all()
    return find.result()


class _Compare:
    def __init__(self, find: Finder, rec: Recording, final: dict[str, Any]) -> None:
        self.find, self.rec, self.facts, self.final = find, rec, rec.facts, final
        self.at: int = final.get("at") or rec.facts.end
        # Later than the final state when the server's clock was set back: ids of events never go back.
        self.reached = ms(rec.history[-1]) if rec.history else 0

    def all(self) -> None:
        self._executions()
        self._tasks()
        self._locks()
        self._leader()
        self._instances()

    def _differ(self, what: str, told: object, found: object, event: str | None = None) -> None:
        self.find.found(self.at, f"{what}: the events say {told}, the final state says {found}", event)

    def _executions(self) -> None:
        final: dict[str, Any] = self.final.get("executions") or {}
        forgotten = sum(e.data.get("count") or 0 for e in self.rec.history if e.kind == Kind.FORGOTTEN)
        for key, run in self.facts.runs.items():
            found = final.get(key)
            if found is None and self._virtual(run):
                continue
            self.find.tested += 1
            if found is not None:
                self._execution(run, found)
            elif run.state in TERMINAL and forgotten > 0:
                forgotten -= 1  # FORGOTTEN counts what retention removed, and names nobody
            else:
                self._differ(key, run.state, "nothing", run.last)
        for key in final.keys() - self.facts.runs.keys():
            self.find.tested += 1
            self._differ(key, "nothing", final[key]["state"])

    def _virtual(self, run: Run) -> bool:
        """Skipped before it existed: there is an event and no record."""
        return run.state == State.SKIPPED and run.due is None and run.source == ""

    def _execution(self, run: Run, found: dict[str, Any]) -> None:
        if found["state"] != run.state:
            self._differ(run.id, run.state, found["state"], run.last)
        elif run.state == State.RUNNING:
            tried = next((t for t in reversed(self.facts.tries) if t.execution == run.id), None)
            if tried is not None:
                for name, told in (
                    ("attempt", tried.number),
                    ("token", tried.token),
                    ("instance", tried.instance),
                ):
                    if found.get(name) not in (None, told):
                        self._differ(f"{name} of {run.id}", told, found[name], run.last)

    def _tasks(self) -> None:
        told: dict[str, dict[str, Any]] = {
            k: dict(v) for k, v in (self.rec.snapshot.get("tasks") or {}).items()
        }
        for e in self.rec.history:
            if e.kind == Kind.TASK_DEFINED and e.task:
                told.setdefault(e.task, {}).update(
                    status=e.data.get("status"), definition=e.data.get("definition")
                )
            elif e.kind == Kind.TASK_PAUSED and e.task:
                self._changed(e, told.get(e.task, {}).get("status"), e.data.get("status") or "PAUSED")
                told.setdefault(e.task, {})["status"] = e.data.get("status") or "PAUSED"
            elif e.kind == Kind.TASK_RESUMED and e.task:
                self._changed(e, told.get(e.task, {}).get("status"), "ACTIVE")
                told.setdefault(e.task, {})["status"] = "ACTIVE"
        final: dict[str, Any] = self.final.get("tasks") or {}
        for name in sorted(told.keys() | final.keys()):
            self.find.tested += 1
            if name not in told or name not in final:
                self._differ(
                    f"task {name}",
                    "nothing" if name not in told else "defined",
                    "it exists" if name in final else "nothing",
                )
                continue
            for field in ("status", "definition"):
                known, found = told[name].get(field), final[name].get(field)
                if field == "definition":
                    known, found = definition_of(known), definition_of(found)
                if None not in (known, found) and known != found:
                    self._differ(f"{field} of {name}", known, found)
            self._watermark(name, final[name].get("watermark"))

    def _changed(self, e: Event, before: str | None, after: str) -> None:
        if before == after:
            sentence = f"{e.task} became {after} at {self.facts.clock(ms(e))}, and nothing says that it was not before"
            self.find.found(ms(e), sentence, e.id)

    def _watermark(self, name: str, found: int | None) -> None:
        """The last slot decided is at most the watermark, and nothing but slots and `since` moves it."""
        low = (self.rec.snapshot.get("tasks") or {}).get(name, {}).get("watermark") or 0
        high = low
        scoped = False
        for e in self.rec.history:
            if e.task != name:
                continue
            slot = dispatched_slot(e)
            if slot is not None:
                low, scoped = max(low, slot), scoped or "#" in (e.execution or "")
            elif e.kind == Kind.SKIPPED and e.data.get("reason") in (
                "misfire",
                "paused",
                "backlog",
                "overlap",
            ):
                low = max(low, e.data.get("last") or 0)
            elif e.kind in (Kind.TASK_DEFINED, Kind.TASK_RESUMED):
                # A resume that catches up nothing moves the watermark to its own time, without a slot.
                high = max(high, e.data.get("since") or 0, self.at if e.data.get("catch_up") == "none" else 0)
        # Without lock and election each instance keeps a watermark of its own.
        if found is not None and not scoped and not low <= found <= max(low, high):
            self._differ(f"watermark of {name}", f"{low} to {max(low, high)}", found)

    def _locks(self) -> None:
        last = {hold.lock: hold for hold in self.facts.holds}
        told = {name: hold for name, hold in last.items() if hold.until > self.at}
        final = {name: x for name, x in (self.final.get("locks") or {}).items() if x["until"] > self.at}
        for name in sorted(told.keys() | final.keys()):
            self.find.tested += 1
            hold, found = told.get(name), final.get(name)
            known = None if hold is None else (hold.owner, hold.token, hold.until)
            seen = None if found is None else (found["owner"], found["token"], found["until"])
            # A hold that had ended before the clock went back may be gone, or, as nobody took it, be there again.
            over = hold is not None and found is None and hold.until <= self.reached
            if known != seen and not over:
                self._differ(f"lock {name}", known or "free", seen or "free", hold.event if hold else None)

    def _leader(self) -> None:
        leader = self.final.get("leader")
        reign = self.facts.reigns[-1] if self.facts.reigns else None
        told = None if reign is None or reign.ended is not None else reign.epoch
        if leader is None and (told is None or reign is None or reign.until <= self.at):
            return
        self.find.tested += 1
        # A lease that nobody renewed leaves no event when it ends, and may have been renewed before.
        if leader is not None and leader["epoch"] != told:
            self._differ(
                "leader", f"epoch {told}", f"epoch {leader['epoch']}", reign.event if reign else None
            )
        elif leader is None and reign is not None:
            self._differ("leader", f"{reign.instance} until {reign.until}", "nobody", reign.event)

    def _instances(self) -> None:
        live: dict[str, Life] = {life.name: life for life in self.facts.lives if life.ended is None}
        joined = {life.event for life in self.facts.lives if life.event}
        for life in self.facts.lives:
            if life.end_event in joined:  # whoever takes a name over ends the one before in the same step
                self._differ(
                    f"incarnation of {life.name}",
                    f"{life.incarnation} lives",
                    "another joined",
                    life.end_event,
                )
        final = self.final.get("instances")
        for name, life in live.items():
            if final is not None and name not in final:
                self._differ(f"incarnation of {name}", life.incarnation, "nothing", life.event)
        for name, found in (final or {}).items():
            self.find.tested += 1
            told = live[name].incarnation if name in live else None
            if told != found["incarnation"]:
                event = live[name].event if name in live else None
                self._differ(f"incarnation of {name}", told or "nothing", found["incarnation"], event)
