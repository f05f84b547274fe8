"""What bad input gets: one clear line that names what was wrong and what is allowed, and nothing is changed."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

import pytest
from apps import new_app

from labsched import Scheduler, at, cron, every, exponential, manual, misfire
from labsched.errors import (
    ConfigError,
    LabschedError,
    PayloadError,
    ScheduleError,
    ServerUnsuitable,
    UnknownExecution,
    UnknownTask,
)

NAIVE = datetime(2026, 1, 1)


async def body(ctx):
    return None


def plain(ctx):
    return None


OPTIONS = {
    "an unknown option": ({"retires": 3}, ConfigError, "task 'a': unknown option 'retires', did you mean 'retries'"),
    "an option like nothing": ({"xyzzy": 3}, ConfigError, "unknown option 'xyzzy'; known are backoff, .*version"),
    "a wrong duration": ({"timeout": "5 parsecs"}, ConfigError, "task 'a': timeout '5 parsecs' is refused: allowed"),
    "a negative duration": ({"timeout": -1}, ConfigError, "task 'a': timeout -1 is refused"),
    "a timeout of nothing": ({"timeout": 0}, ConfigError, r"timeout \(0 ?s\) must be above 0 and below"),
    "a timeout beyond the lock": ({"timeout": "2h"}, ConfigError, "must be above 0 and below lock_at_most_for"),
    "least beyond most": (
        {"lock_at_least_for": 9, "lock_at_most_for": 5}, ConfigError,
        r"lock_at_least_for \(9 ?s\) must not exceed lock_at_most_for \(5 ?s\)",
    ),
    "no lock time": ({"lock_at_most_for": 0}, ConfigError, "lock_at_most_for .*more than 0"),
    "fewer than no retries": ({"retries": -1}, ConfigError, "retries is -1, allowed is a whole number from 0"),
    "half a retry": ({"retries": 1.5}, ConfigError, "retries is 1.5, allowed is a whole number from 0"),
    "true retries": ({"retries": True}, ConfigError, "retries is True"),
    "no concurrency": ({"max_concurrency": 0}, ConfigError, "max_concurrency is 0, allowed is a whole number from 1"),
    "an unknown status": ({"status": "ASLEEP"}, ConfigError, "status is 'ASLEEP', allowed are ACTIVE, PAUSED"),
    "an unknown priority": ({"priority": "urgent"}, ConfigError, "priority is 'urgent', allowed are high, normal, low"),
    "an unknown overlap": ({"overlap": "MAYBE"}, ConfigError, "overlap is 'MAYBE', allowed are SKIP, BUFFER_ONE"),
    "an unhashable choice": ({"overlap": ["SKIP"]}, ConfigError, "overlap is"),
    "an unknown runner": ({"runner": "gpu"}, ConfigError, "runner is 'gpu', allowed are async, thread, process"),
    "a thread for a coroutine": ({"runner": "thread"}, ConfigError, "runner is 'thread', but its handler"),
    "a rate of nonsense": ({"rate_limit": "fast"}, ConfigError, "rate.* 'fast' is refused: allowed are a whole number"),
    "a rate of a number": ({"rate_limit": 5}, ConfigError, "rate.* 5 is refused"),
    "a memory limit without a process": ({"memory_limit": "64MiB"}, ConfigError, "memory_limit needs runner 'process'"),
    "a memory limit of nonsense": ({"memory_limit": "much"}, ConfigError, "'much' is refused: allowed are whole bytes"),
    "an unknown misfire": ({"misfire": "PANIC"}, ConfigError, "misfire policy is 'PANIC', allowed are"),
    "a misfire of a number": ({"misfire": 5}, ConfigError, "misfire is 5, allowed is a policy"),
    "a backoff of a number": ({"backoff": 5}, ConfigError, r"backoff is 5, allowed is exponential\(base"),
    "tags of one text": ({"tags": "abc"}, ConfigError, "tags is 'abc', allowed is a list of texts"),
    "tags of a number": ({"tags": 5}, ConfigError, "tags is 5, allowed is a list of texts"),
    "a payload of a list": ({"payload": [1]}, ConfigError, r"payload is \[1\], allowed is a mapping with text keys"),
    "a payload that is not JSON": ({"payload": {"x": {1}}}, PayloadError, "payload is not JSON"),
    "an owner of a number": ({"owner": 5}, ConfigError, "owner is 5, allowed is text"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), OPTIONS.values(), ids=OPTIONS)
def test_a_wrong_option_is_refused(options, error, message):
    app = Scheduler("fake")
    with pytest.raises(error, match=message) as caught:
        app.task("a", manual(), **options)(body)
    assert "\n" not in str(caught.value) and not app.handlers


SCHEDULES = {
    "cron nonsense": (lambda: cron("every day"), "every day"),
    "a cron of a month that is none": (lambda: cron("0 0 1 13 *"), "13"),
    "a cron that never fires": (lambda: cron("0 0 30 2 *"), "never fires"),
    "a zone that is none": (lambda: cron("* * * * *", tz="Europe/Atlantis"), "Europe/Atlantis"),
    "a period of nothing": (lambda: every(0), "period"),
    "a period of nonsense": (lambda: every("soon"), "period 'soon'"),
    "a jitter as long as the period": (
        lambda: every("1s", jitter="1s"),
        "jitter 1s must be less than the period",
    ),
    "a naive time": (lambda: at(NAIVE), "has no time zone"),
    "an end before the start": (
        lambda: every("1s", start=datetime(2026, 1, 2, tzinfo=UTC), end=datetime(2026, 1, 1, tzinfo=UTC)),
        "must be later than start",
    ),
}


@pytest.mark.parametrize(("make", "message"), SCHEDULES.values(), ids=SCHEDULES)
def test_a_wrong_schedule_is_refused(make, message):
    with pytest.raises(ScheduleError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value) and isinstance(caught.value, ValueError)


@pytest.mark.parametrize("schedule", ["* * * * *", 5, None, timedelta(seconds=5)])
def test_a_schedule_must_come_from_its_functions(schedule):
    with pytest.raises(
        ScheduleError, match=r"schedule must come from every\(\), cron\(\), at\(\) or manual\(\)"
    ):
        Scheduler("fake").task("a", schedule)(body)


@pytest.mark.parametrize("name", ["", "a b", "a@b", "a~b", "a#b", "a\nb", "x" * 201, 5, None, "\ud800"])
def test_a_wrong_task_name_is_refused(name):
    with pytest.raises(ConfigError, match="a name has 1 to 200 printable characters"):
        Scheduler("fake").task(name, manual())(body)


@pytest.mark.parametrize("namespace", ["a b", "{a}", "a*", "x" * 201, "a\n"])
def test_a_wrong_namespace_is_refused(namespace):
    with pytest.raises(ConfigError, match="namespace is"):
        Scheduler("fake", namespace=namespace)


def test_one_name_has_one_handler_but_the_same_may_be_registered_again():
    app = Scheduler("fake")
    app.task("a", manual())(body)
    app.task("a", every("1s"))(body)
    with pytest.raises(ConfigError, match="task 'a' is registered already, with another handler"):
        app.task("a", manual())(plain)
    assert app.handlers["a"].function is body


class Job:
    def work(self, ctx, *, day="today"):
        return day

    def __call__(self, ctx):
        return None


def nothing(): ...


@pytest.mark.parametrize(
    "handler", [3, None, "body", nothing, lambda *, ctx: None, functools.partial(nothing)]
)
def test_a_handler_that_cannot_be_called_with_ctx_is_refused_at_once(handler):
    with pytest.raises(ConfigError, match="^task 'x': its handler (is|takes) ") as refused:
        Scheduler("fake").add("x", manual(), handler)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "handler",
    [
        lambda ctx, day: None, lambda *args: None, lambda *args, **payload: None, Job().work, Job(), print,
        functools.partial(Job.work, Job(), day="monday"), functools.partial(lambda a, ctx: None, 1),
    ],
)  # fmt: skip
def test_whatever_takes_ctx_is_a_handler(handler):
    Scheduler("fake").add("x", manual(), handler)


def test_a_plain_function_cannot_be_a_coroutine():
    with pytest.raises(ConfigError, match="runner is 'async', but its handler is a plain function"):
        Scheduler("fake").task("a", manual(), runner="async")(plain)


def test_a_process_needs_a_function_that_another_process_can_find():
    def inner(ctx):
        return None

    for function in (inner, lambda ctx: None):
        with pytest.raises(ConfigError, match="runner 'process' needs a function at the top of a module"):
            Scheduler("fake").task("a", manual(), runner="process")(function)


@pytest.mark.parametrize(
    "make",
    [
        lambda: misfire("LATER"), lambda: misfire(grace="soon"), lambda: exponential("10s", cap="1s"),
        lambda: exponential(jitter=2), lambda: exponential("x"),
    ],
)  # fmt: skip
def test_policies_check_their_arguments(make):
    with pytest.raises(ConfigError):
        make()


DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]

PAYLOADS = {
    "a set": ({"x": {1}}, "payload of 'a' is not JSON"),
    "bytes": ({"x": b"1"}, "payload of 'a' is not JSON"),
    "a time": ({"x": NAIVE}, "payload of 'a' is not JSON"),
    "NaN": ({"x": float("nan")}, "payload of 'a' is not JSON"),
    "infinity": ({"x": float("inf")}, "payload of 'a' is not JSON"),
    "a lone surrogate": ({"x": "\ud800"}, "lone surrogate"),
    "over 1 MiB": ({"x": "y" * (1 << 20)}, "is larger than 1 MiB"),
    "over 1 MiB in UTF-8": ({"x": "ü" * (600 << 10)}, "is larger than 1 MiB"),
    "endless depth": ({"x": DEEP}, "payload of 'a' is not JSON"),
}


@pytest.mark.parametrize(("payload", "message"), PAYLOADS.values(), ids=PAYLOADS)
async def test_a_payload_that_is_not_json_is_refused_and_nothing_is_made(valkey, payload, message):
    app = new_app(valkey)
    app.task("a", manual())(body)
    async with app:
        for send in (lambda: app.trigger("a", **payload), lambda: app.trigger_many("a", [{}, payload])):
            with pytest.raises(PayloadError, match=message) as caught:
                await send()
            assert "\n" not in str(caught.value)
        assert await app.executions() == []


@pytest.mark.parametrize("payload", [[1], "text", 5, None, {5: 1}])
async def test_a_payload_is_a_mapping_with_text_keys(valkey, payload):
    app = new_app(valkey)
    app.task("a", manual())(body)
    async with app:
        with pytest.raises(PayloadError, match="payload of 'a' .*mapping with text keys"):
            await app.trigger_many("a", [payload])


async def test_a_payload_of_exactly_the_largest_size_is_fine(valkey):
    app = new_app(valkey)
    app.task("a", manual())(body)
    async with app:
        id = await app.trigger("a", x="y" * ((1 << 20) - len('{"x":""}')))
        assert len((await app.execution(id)).payload["x"]) > 1_000_000


CALLS = {
    "an unknown task": (lambda app: app.trigger("b"), UnknownTask, "no task 'b' in namespace 't'"),
    "an unknown task, nothing to send": (lambda app: app.trigger_many("b", []), UnknownTask, "no task 'b'"),
    "a disabled task": (lambda app: app.trigger("off"), ConfigError, "task 'off' is DISABLED"),
    "an empty key": (lambda app: app.trigger("a", _key=""), ConfigError, "key is ''"),
    "a key with a space": (lambda app: app.trigger("a", _key="a b"), ConfigError, "key is 'a b'"),
    "a key of a number": (lambda app: app.trigger("a", _key=5), ConfigError, "key is 5"),
    "a naive time": (lambda app: app.trigger("a", _at=NAIVE), ConfigError, "_at is .* a datetime with a timezone"),
    "a time of text": (lambda app: app.trigger("a", _at="noon"), ConfigError, "_at is 'noon'"),
    "a priority that is none": (lambda app: app.trigger("a", _priority="top"), ConfigError, "priority is 'top'"),
    "too few keys": (lambda app: app.trigger_many("a", [{}, {}], ["k"]), ConfigError, "1 keys for 2 payloads"),
    "a state that is none": (lambda app: app.executions(state="TIRED"), ConfigError, "state is 'TIRED', allowed are"),
    "a limit of nothing": (lambda app: app.executions(limit=0), ConfigError, "limit is 0, allowed is 1 or more"),
    "a naive before": (lambda app: app.executions(before=NAIVE), ConfigError, "before is"),
    "an unknown execution": (lambda app: app.execution("a~1"), UnknownExecution, "no execution 'a~1'"),
    "waiting for nothing": (lambda app: app.wait("a~1"), UnknownExecution, "no execution 'a~1'"),
    "waiting for nonsense": (lambda app: app.wait("a~1", timeout="x"), ConfigError, "timeout 'x' is refused"),
    "cancelling nothing": (lambda app: app.cancel("a~1"), UnknownExecution, "no execution 'a~1'"),
    "requeuing nothing": (lambda app: app.requeue("a~1"), UnknownExecution, "no execution 'a~1'"),
    "asking why about nothing": (lambda app: app.why("a~1"), UnknownExecution, "no execution 'a~1'"),
    "pausing nothing": (lambda app: app.pause("b"), UnknownTask, "no task 'b'"),
    "a catch-up that is none": (lambda app: app.resume("a", catch_up="some"), ConfigError, "catch_up is 'some'"),
    "previewing nothing": (lambda app: app.preview("b"), UnknownTask, "no task 'b'"),
    "a naive backfill": (lambda app: app.backfill("a", NAIVE, NAIVE), ConfigError, "start is"),
    "an endless backfill": (
        lambda app: app.backfill("a", datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        ConfigError, "more than 100000 slots .* backfill in parts",
    ),
    "a naive why-not": (lambda app: app.why_not("a", at=NAIVE), ConfigError, "at is"),
    "a position of nonsense": (lambda app: app.history("yesterday"), ConfigError, "since is 'yesterday', allowed is"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), CALLS.values(), ids=CALLS)
async def test_a_wrong_call_is_refused_and_changes_nothing(valkey, call, error, message):
    app = new_app(valkey)
    app.task("a", every("1s"))(body)
    app.task("off", manual(), status="DISABLED")(body)
    async with app:
        before = await app.history()
        with pytest.raises(error, match=message) as caught:
            await call(app)
        assert isinstance(caught.value, LabschedError) and "\n" not in str(caught.value)
        assert await app.history() == before


@pytest.mark.parametrize(
    "name", ["trigger", "wait", "pause", "resume", "cancel", "requeue", "execution", "preview"]
)
async def test_nothing_works_before_the_app_is_open(name):
    with pytest.raises(ConfigError, match="the scheduler is not open: use it inside `async with app:`"):
        await getattr(Scheduler("fake"), name)("a")


async def test_nothing_works_after_the_app_is_closed(valkey):
    app = new_app(valkey)
    async with app, app:
        await app.tasks()
    with pytest.raises(ConfigError, match="not open"):
        await app.tasks()


async def test_a_clash_of_handlers_in_the_registry_stops_the_opening(valkey):
    one, two = new_app(valkey), new_app(valkey)
    one.task("a", manual())(body)
    two.task("a", manual(), handler="other")(body)
    async with one:
        with pytest.raises(ConfigError, match="'a' is defined with handler 'a' already"):
            await two.__aenter__()


async def test_a_namespace_of_a_newer_format_is_refused(app, anyserver):
    async with app:
        key = app._client.key("meta")
        await app._client.redis.hset(key, "format", 2)
        with pytest.raises(
            ServerUnsuitable, match=r"a newer labsched \(format 2, this one knows 1\): upgrade"
        ):
            await new_app(anyserver).__aenter__()
        await app._client.redis.delete(key)
