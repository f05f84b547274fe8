"""Spans for OpenTelemetry, made from the event stream: a trace for each execution, at no cost to whoever runs it.

    execution  due ──────────────────────────────────────────────── end
      dispatch   due ─── READY
      claim               READY ─ RUNNING
      run                          RUNNING ───────────── its end      (one for each attempt, with token and instance)
      finish                                             ●            (the state that it ended in)

Ids follow from the execution's id, so that a body's own spans can join: `with tracer.start_as_current_span("x",
context=parent(ctx.execution, ctx.attempt))`. What happened before the follower began has no span.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from labsched.model import TERMINAL, Event, Kind

if TYPE_CHECKING:
    from labsched.app import Scheduler

_LAST = frozenset(map(str, TERMINAL))
MOST_OPEN = 10_000  # executions whose end is waited for; the oldest is given up


def _number(text: str, bytes: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:bytes], "big") or 1


def trace_id(execution: str) -> int:
    return _number(execution, 16)


def span_id(execution: str, name: str, attempt: int = 0) -> int:
    return _number(f"{execution} {name} {attempt}", 8)


def parent(execution: str, attempt: int) -> Context:
    """The context of that attempt's span, for spans that a body makes itself."""
    return _context(execution, span_id(execution, "run", attempt))


def _context(execution: str, span: int) -> Context:
    where = SpanContext(trace_id(execution), span, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return trace.set_span_in_context(NonRecordingSpan(where))


class _Ids(IdGenerator):
    """Gives the ids that were told just before."""

    def __init__(self) -> None:
        self.trace = self.span = 1

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class _Open(msgspec.Struct):
    """What is known of an execution that has not ended; times are Unix seconds."""

    due: float
    ready: float = 0.0
    started: float = 0.0
    attempt: int = 0
    instance: str = ""
    token: int = 0


def _resource() -> Resource:
    """As the environment says (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES), and named labsched when it does not."""
    found = Resource.create()
    named = not str(found.attributes[SERVICE_NAME]).startswith("unknown_service")
    return found if named else found.merge(Resource({SERVICE_NAME: "labsched"}))


class Spans:
    """Turns events into spans on `processor` (a BatchSpanProcessor with the exporter of your choice)."""

    def __init__(self, processor: SpanProcessor, namespace: str) -> None:
        self._ids = _Ids()
        self._provider = TracerProvider(resource=_resource(), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("labsched")
        self._namespace = namespace
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def take(self, event: Event) -> None:
        """One event, in order."""
        id = event.execution
        if id is None:
            return
        if event.kind is Kind.READY:
            due = event.data.get("due")
            known = self._open.setdefault(id, _Open(due / 1000 if due else event.at))
            known.ready = event.at
            if event.data.get("source") in ("schedule", "trigger", "backfill"):
                self._span(event, "dispatch", min(known.due, event.at), event.at)
        elif event.kind is Kind.RUNNING and id in self._open:
            known = self._open[id]
            known.started, known.attempt = event.at, event.attempt or 1
            known.instance, known.token = event.instance or "", event.token or 0
            self._span(event, "claim", known.ready, event.at)
        elif id in self._open and (event.kind in _LAST or event.kind in (Kind.RETRYING, Kind.LOST)):
            self._ended(event, self._open[id])
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)

    def _ended(self, event: Event, known: _Open) -> None:
        assert event.execution is not None
        bad = event.kind in (Kind.FAILED, Kind.DEAD, Kind.RETRYING, Kind.LOST)
        if known.started:
            self._span(event, "run", known.started, event.at, bad=bad)
            known.started = 0.0
        if event.kind in _LAST:
            self._span(event, "finish", event.at, event.at, bad=bad)
            self._span(event, "execution", min(known.due, known.ready or event.at), event.at, bad=bad)
            del self._open[event.execution]

    def _span(self, event: Event, name: str, start: float, end: float, *, bad: bool = False) -> None:
        id = event.execution or ""
        known = self._open[id]
        self._ids.trace, self._ids.span = (
            trace_id(id),
            span_id(id, name, known.attempt if name != "execution" else 0),
        )
        above = None if name == "execution" else _context(id, span_id(id, "execution"))
        span = self._tracer.start_span(
            f"{event.task} {name}", context=above or Context(), start_time=round(start * 1e9),
            kind=SpanKind.CONSUMER if name == "run" else SpanKind.INTERNAL, attributes=self._attributes(event, known),
        )  # fmt: skip
        if bad:
            span.set_status(
                Status(StatusCode.ERROR, str(event.data.get("error") or event.data.get("reason") or ""))
            )
        span.end(round(end * 1e9))

    def _attributes(self, event: Event, known: _Open) -> dict[str, Any]:
        return {
            "labsched.namespace": self._namespace,
            "labsched.task": event.task or "",
            "labsched.execution": event.execution or "",
            "labsched.attempt": known.attempt,
            "labsched.instance": event.instance or known.instance,
            "labsched.token": known.token,
            "labsched.state": str(event.kind),
        }

    def close(self) -> None:
        """Hand on what is left."""
        self._provider.shutdown()


async def export(app: Scheduler, processor: SpanProcessor, since: str = "$") -> None:
    """Follow the events of an open scheduler for ever, and make spans of them. Run it as a task, in one process of the
    cluster; raises EventsGap as `app.events` does."""
    spans = Spans(processor, app.namespace)
    try:
        async for event in app.events(since):
            spans.take(event)
    finally:
        spans.close()
