"""Spans that follow from events: what happened when, under ids that a body can join."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from webkit import scheduler

pytest.importorskip("opentelemetry.sdk", reason="the extra labsched[otel] is not installed")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from labsched import Event, Kind, exponential, manual
from labsched.web import tracing


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


async def traced(app, exporter, work):
    """What `work` causes, as finished spans by their last word."""
    processor = SimpleSpanProcessor(exporter)
    exporting = asyncio.create_task(tracing.export(app, processor, (await app.newest(1))[-1].id))
    last = await work()
    # The exporter keeps a list and tells nobody: there is nothing to wait for but the list.
    while not any(  # noqa: ASYNC110
        s.name.endswith(" execution") and s.attributes.get("labsched.execution") == last
        for s in exporter.get_finished_spans()
    ):
        await asyncio.sleep(0.005)
    exporting.cancel()
    await asyncio.gather(exporting, return_exceptions=True)
    return [s for s in exporter.get_finished_spans() if s.attributes.get("labsched.execution") == last]


async def test_an_execution_is_a_trace_of_dispatch_claim_run_and_finish(exporter):
    app = scheduler()
    async with app.instance("i1"):

        async def work():
            run = await app.trigger("greet")
            await app.wait(run, timeout=10)
            return run

        spans = await traced(app, exporter, work)
        assert [s.name for s in spans] == [
            "greet dispatch",
            "greet claim",
            "greet run",
            "greet finish",
            "greet execution",
        ]
        dispatch, claim, run, finish, root = spans
        assert len({s.context.trace_id for s in spans}) == 1 and root.parent is None
        assert all(s.parent.span_id == root.context.span_id for s in (dispatch, claim, run, finish))
        assert root.start_time <= dispatch.end_time == claim.start_time <= claim.end_time == run.start_time
        assert run.end_time == finish.start_time == root.end_time
        shown = await app.execution(root.attributes["labsched.execution"])
        assert (
            run.attributes["labsched.token"] == shown.attempts[0].token
            and run.attributes["labsched.instance"] == "i1"
        )
        assert all(s.status.is_ok or s.status.is_unset for s in spans)


async def test_each_attempt_has_a_run_of_its_own_and_failures_are_errors(exporter):
    app = scheduler()
    tries = []

    @app.task("flaky", manual(), retries=1, backoff=exponential(0.01))
    async def flaky(ctx):
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("once")

    async with app.instance("i1"):

        async def work():
            run = await app.trigger("flaky")
            await app.wait(run, timeout=10)
            return run

        runs = [s for s in await traced(app, exporter, work) if s.name == "flaky run"]
        assert [s.attributes["labsched.attempt"] for s in runs] == [1, 2]
        assert not runs[0].status.is_ok and "once" in runs[0].status.description and runs[1].status.is_unset
        assert runs[0].context.span_id != runs[1].context.span_id


async def test_a_bodys_own_span_joins_the_attempt(exporter):
    app = scheduler()
    own = TracerProvider()
    own.add_span_processor(SimpleSpanProcessor(exporter))

    @app.task("joins", manual())
    async def joins(ctx):
        with own.get_tracer("mine").start_as_current_span(
            "my step", context=tracing.parent(ctx.execution, ctx.attempt)
        ):
            await asyncio.sleep(0)

    async with app.instance("i1"):

        async def work():
            run = await app.trigger("joins")
            await app.wait(run, timeout=10)
            return run

        spans = await traced(app, exporter, work)
        run = next(s for s in spans if s.name == "joins run")
        mine = next(s for s in exporter.get_finished_spans() if s.name == "my step")
        assert (mine.context.trace_id, mine.parent.span_id) == (run.context.trace_id, run.context.span_id)


def test_executions_whose_end_never_comes_are_given_up_at_a_bound(exporter, monkeypatch):
    from labsched.model import Event, Kind

    monkeypatch.setattr(tracing, "MOST_OPEN", 3)
    spans = tracing.Spans(SimpleSpanProcessor(exporter), "ns")
    for n in range(10):
        spans.take(Event(id=f"{n + 1}-0", at=float(n), kind=Kind.READY, task="t", execution=f"t~{n}"))
    assert list(spans._open) == ["t~7", "t~8", "t~9"]
    spans.take(Event(id="20-0", at=20.0, kind=Kind.SUCCEEDED, task="t", execution="t~0"))
    assert not [s for s in exporter.get_finished_spans() if s.name == "t execution"]


def test_tracing_needs_nothing_of_what_a_server_needs():
    """The extra [otel] alone brings it."""
    code = (
        "import sys; sys.modules |= dict.fromkeys(('uvicorn', 'starlette', 'prometheus_client', 'fakeredis', 'simpy'));"
        "from labsched.web.tracing import export"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(("set_to", "named"), [(None, "labsched"), ("orders", "orders")])
def test_spans_belong_to_labsched_unless_the_environment_names_another_service(
    monkeypatch, exporter, set_to, named
):
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    if set_to:
        monkeypatch.setenv("OTEL_SERVICE_NAME", set_to)
    spans = tracing.Spans(SimpleSpanProcessor(exporter), "ns")
    spans.take(
        Event(id="1-0", at=1.0, kind=Kind.READY, task="t", execution="t@1", data={"source": "trigger"})
    )
    (span,) = exporter.get_finished_spans()
    assert span.resource.attributes["service.name"] == named
    spans.close()
