"""Tasks from YAML: every option, and what a wrong file is told."""

from datetime import UTC, datetime

import pytest

from labsched import Scheduler, Settings
from labsched.errors import ConfigError, LabschedError, PayloadError, ScheduleError
from labsched.model import Backoff, Misfire, Rate
from labsched.schedule import at, cron, every, manual
from labsched.taskfile import load_tasks

HANDLERS = {"work": None, "report": None}


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "tasks.yml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def one(write):
    """The single task whose YAML lines are given."""

    def one(lines):
        (task,) = load_tasks(write("tasks:\n  - " + lines.strip().replace("\n", "\n    ")), HANDLERS)
        return task

    return one


def test_a_task_needs_a_name_and_a_schedule_and_takes_its_name_as_its_handler(one):
    task = one("name: work\nschedule: manual")
    assert (task.name, task.handler, task.schedule) == ("work", "work", manual())


def test_every_option_of_the_interface_can_be_written(one):
    task = one(
        """
name: nightly
handler: work
schedule: {cron: "30 2 * * *", tz: Europe/Berlin, gap: shift, fold: both, jitter: 30s}
version: 3
status: PAUSED
timeout: PT10M
retries: 4
backoff: {base: 2s, cap: 1m, jitter: 0}
priority: high
runner: process
memory-limit: 64MiB
overlap: BUFFER_ONE
misfire: {policy: SKIP, grace: 5m}
lock-at-most-for: 1h
lock-at-least-for: 90
max-concurrency: 2
rate-limit: 10/m
max-backlog: 50
tags: [a, b]
owner: ops
payload: {rows: [1, 2.5, null], deep: {x: true}}
"""
    )
    assert task.schedule == cron("30 2 * * *", tz="Europe/Berlin", gap="shift", fold="both", jitter="30s")
    assert (task.name, task.handler, task.version, task.status) == ("nightly", "work", 3, "PAUSED")
    assert (task.timeout, task.retries, task.backoff) == (600.0, 4, Backoff(base=2.0, cap=60.0, jitter=0.0))
    assert (task.priority, task.runner, task.memory_limit) == ("high", "process", 64 * 2**20)
    assert (task.overlap, task.misfire) == ("BUFFER_ONE", Misfire(policy="SKIP", grace=300.0))
    assert (task.lock_at_most_for, task.lock_at_least_for) == (3600.0, 90.0)
    assert (task.max_concurrency, task.rate_limit, task.max_backlog) == (2, Rate(10, 60.0), 50)
    assert (task.tags, task.owner) == (("a", "b"), "ops")
    assert task.payload == {"rows": [1, 2.5, None], "deep": {"x": True}}


@pytest.mark.parametrize(
    ("yaml", "schedule"),
    [
        ("{every: 5s}", every("5s")),
        ("{every: 5, jitter: 250ms}", every(5, jitter=0.25)),
        (
            "{every: 1h, start: 2026-01-01T00:00:00Z, end: '2027-01-01T00:00:00+01:00'}",
            every("1h", start="2026-01-01T00:00:00Z", end="2026-12-31T23:00:00Z"),
        ),
        ("{cron: '*/5 * * * *'}", cron("*/5 * * * *")),
        ("{at: 2026-11-23T12:00:00Z}", at(datetime(2026, 11, 23, 12, tzinfo=UTC))),
        ("{at: '2026-11-23T12:00:00Z'}", at(datetime(2026, 11, 23, 12, tzinfo=UTC))),
        ("manual", manual()),
    ],
)
def test_every_kind_of_schedule_can_be_written(one, yaml, schedule):
    assert one(f"name: work\nschedule: {yaml}").schedule == schedule


def test_tasks_keep_the_order_of_the_file(write):
    path = write("tasks:\n- {name: report, schedule: manual}\n- {name: work, schedule: {every: 1s}}")
    assert [task.name for task in load_tasks(path, HANDLERS)] == ["report", "work"]


@pytest.mark.parametrize("text", ["", "tasks:", "tasks: []"])
def test_no_tasks_are_no_tasks(write, text):
    assert load_tasks(write(text), HANDLERS) == []


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("jobs: []", ConfigError, ["unknown key 'jobs'", "tasks"]),
        ("tasks: {a: 1}", ConfigError, ["must be a list, not a mapping"]),
        ("tasks: [work]", ConfigError, ["task 1 must be a mapping, not text"]),
        ("tasks: [{schedule: manual}]", ConfigError, ["task 1 has no name"]),
        ("tasks: [{name: work}]", ScheduleError, ["'work'", "schedule None", "every"]),
        ("tasks: [{name: work, schedule: hourly}]", ScheduleError, ["'hourly'", "manual"]),
        ("tasks: [{name: work, schedule: {every: 1s, cron: '* * * * *'}}]", ScheduleError, ["one of"]),
        ("tasks: [{name: work, schedule: {every: soon}}]", ScheduleError, ["'work'", "'soon'"]),
        ("tasks: [{name: work, schedule: {every: 1s, jiter: 1}}]", ScheduleError, ["'jiter'", "jitter"]),
        ("tasks: [{name: work, schedule: {at: 2026-11-23T12:00:00, tz: x}}]", ScheduleError, ["'tz'"]),
        (
            "tasks: [{name: work, schedule: {at: 2026-11-23T12:00:00}}]",
            ScheduleError,
            ["'work'", "time zone"],
        ),
        ("tasks: [{name: work, schedule: {at: 2026-11-23}}]", ScheduleError, ["'work'", "datetime"]),
        ("tasks: [{name: work, schedule: {cron: 'x * * * *'}}]", ScheduleError, ["'work'"]),
        ("tasks: [{name: work, schedule: {cron: 5}}]", ScheduleError, ["'work'"]),
        ("tasks: [{name: other, schedule: manual}]", ConfigError, ["no handler 'other'", "report, work"]),
        ("tasks: [{name: x, handler: wrok, schedule: manual}]", ConfigError, ["no handler 'wrok'", "work?"]),
        ("tasks: [{name: x, handler: [a], schedule: manual}]", ConfigError, ["no handler"]),
        (
            "tasks: [{name: work, schedule: manual, retrys: 2}]",
            ConfigError,
            ["'work'", "'retrys' (2)", "retries"],
        ),
        ("tasks: [{name: work, schedule: manual, max_backlog: 2}]", ConfigError, ["max-backlog"]),
        ("tasks: [{name: work, schedule: manual, retries: -1}]", ConfigError, ["'work'", "retries", "-1"]),
        (
            "tasks: [{name: work, schedule: manual, timeout: 1h}]",
            ConfigError,
            ["timeout", "lock_at_most_for"],
        ),
        ("tasks: [{name: work, schedule: manual, overlap: NEVER}]", ConfigError, ["overlap", "'NEVER'"]),
        ("tasks: [{name: work, schedule: manual, payload: {day: 2026-11-23}}]", PayloadError, ["JSON"]),
        ("tasks: [{name: 'a b', handler: work, schedule: manual}]", ConfigError, ["'a b'"]),
        ("tasks: [{name: 5, handler: work, schedule: manual}]", ConfigError, ["5"]),
        (
            "tasks: [{name: work, schedule: manual}, {name: work, schedule: manual}]",
            ConfigError,
            ["'work' is there twice"],
        ),
        ("tasks: []\ntasks: []", ConfigError, ["line 2", "there twice"]),
    ],
)
def test_a_wrong_file_gets_one_line_that_names_file_and_fault(write, text, error, words):
    path = write(text)
    with pytest.raises(LabschedError) as caught:
        load_tasks(path, HANDLERS)
    message = str(caught.value)
    assert caught.type is error
    assert message.startswith((f"{path}: ", "tasks file "))
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.yml"):
        load_tasks(tmp_path / "no.yml", HANDLERS)


def test_a_scheduler_gives_a_task_of_a_file_what_it_gives_one_of_the_code(write):
    def plain(ctx): ...

    async def coroutine(ctx): ...

    app = Scheduler("fake", settings=Settings(lock_at_most_for="5m"))
    path = write(
        "tasks:\n"
        "  - {name: a, handler: plain, schedule: manual}\n"
        "  - {name: b, handler: coroutine, schedule: manual, lock-at-most-for: 1m}\n"
    )
    a, b = app.load_tasks(path, {"plain": plain, "coroutine": coroutine})
    assert (a.runner, a.lock_at_most_for) == ("thread", 300.0)
    assert (b.runner, b.lock_at_most_for) == ("async", 60.0)
    assert app.handlers["a"].function is plain


def test_a_scheduler_refuses_a_runner_that_does_not_fit_the_handler_and_registers_nothing(write):
    def plain(ctx): ...

    app = Scheduler("fake")
    path = write(
        "tasks:\n"
        "  - {name: a, handler: plain, schedule: manual}\n"
        "  - {name: b, handler: plain, schedule: manual, runner: async}\n"
    )
    with pytest.raises(ConfigError, match=r"tasks.yml: task 'b': runner is 'async', but its handler is a pl"):
        app.load_tasks(path, {"plain": plain})
    assert app.handlers == {}
