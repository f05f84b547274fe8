"""One reader for all dashboards: what it knows, what it costs, and that it holds nothing up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from datetime import UTC, datetime

import httpx
import msgspec
import pytest
from apps import eventually
from webkit import HTML, Background, client_of, scheduler, served

from labsched import every, exponential, manual
from labsched import overview as overviews
from labsched.errors import Unreachable
from labsched.model import Event, Kind, State
from labsched.web import feed as feeds
from labsched.web import judge as judges
from labsched.web.feed import Feed
from labsched.web.judge import Judge
from labsched.web.model import FEED, Model
from labsched.web.stream import lines


def event(kind, at, **fields):
    number = event.number = getattr(event, "number", 0) + 1
    data = fields.pop("data", {})
    return Event(id=f"{round(at * 1000)}-{number}", at=at, kind=Kind(kind), data=data, **fields)


def runs(execution, at, **fields):
    return event("RUNNING", at, execution=execution, task="t", instance="i1", attempt=1, token=1, **fields)


# The model.


def test_an_attempt_runs_from_its_start_to_whatever_ends_it():
    model = Model()
    model.apply([runs("t@1", 10.0), runs("t@2", 10.5)])
    assert set(model.running) == {"t@1", "t@2"}
    model.apply(
        [event("SUCCEEDED", 11.0, execution="t@1", task="t"), event("LOST", 12.0, execution="t@2", task="t")]
    )
    assert model.running == {} and [(a.execution, a.end, a.outcome) for a in model.recent] == [
        ("t@1", 11.0, "SUCCEEDED"), ("t@2", 12.0, "LOST"),
    ]  # fmt: skip
    assert list(model.dirty) == ["t"]


def test_seconds_count_starts_ends_and_the_worst_lateness():
    model = Model()
    model.apply([runs("t@1", 10.1, data={"late_ms": 30}), runs("t@2", 10.9, data={"late_ms": 7})])
    model.apply(
        [
            event("SUCCEEDED", 11.2, execution="t@1", task="t"),
            event("FAILED", 11.3, execution="t@2", task="t"),
        ]
    )
    assert [(s.at, s.started, s.succeeded, s.failed, s.late) for s in model.seconds] == [
        (10, 2, 0, 0, 0.03), (11, 0, 1, 1, 0.0),
    ]  # fmt: skip


def test_locks_come_go_and_end_by_themselves():
    model = Model()

    def lock(kind, at, name, until):
        return event(kind, at, instance="me", token=1, data={"lock": name, "until": until * 1000})

    model.apply(
        [lock("LOCK_ACQUIRED", 1, "a", 9), lock("LOCK_ACQUIRED", 1, "b", 9), lock("LOCK_RELEASED", 2, "a", 2)]
    )
    assert list(model.locks) == ["b"]
    model.apply([lock("LOCK_EXTENDED", 3, "b", 20)])
    model.expire(10)
    assert list(model.locks) == ["b"]
    model.expire(21)
    assert model.locks == {}


def test_the_feed_lists_events_in_words_and_keeps_apart_what_a_busy_cluster_would_wash_away():
    model = Model()
    model.apply(
        [
            event("LEADER_ELECTED", 1.0, instance="i1", epoch=7),
            event("REFUSED", 2.0, instance="i2", data={"what": "finish", "why": "token"}),
            event("FAILED", 3.0, task="t", execution="t@1", instance="i1", data={"error": "E" * 500}),
            event("INSTANCE_JOINED", 4.0, instance="i3", data={"lock": True, "handlers": {"t": 1}}),
            event("LOCK_ACQUIRED", 5.0, instance="i1", data={"lock": "mine", "until": 9000}),
            *(runs(f"t@{n}", 6.0) for n in range(FEED)),
        ]
    )
    assert [(line.kind, line.about, line.instance, line.said) for line in model.notable] == [
        ("LEADER_ELECTED", "", "i1", "epoch 7"), ("REFUSED", "", "i2", "finish: token"),
        ("FAILED", "t@1", "i1", "E" * 80), ("INSTANCE_JOINED", "", "i3", ""),
    ]  # fmt: skip
    assert {line.kind for line in model.events} == {"RUNNING"} and len(model.events) == FEED
    model.apply([event("LOCK_ACQUIRED", 7.0, instance="i1", data={"lock": "mine", "until": 9000})])
    assert model.events[-1].about == "mine"


# The feed.


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(feeds, "LINGER", 0.02)


async def watching(feed):
    """What the page knows after each message."""
    known = {}
    with feed.joined() as queue:
        async for message in feed.messages(queue):
            told = json.loads(message)
            known = told if told["kind"] == "whole" else known | told
            yield known


async def first(watch):
    return await anext(watch)


async def test_a_part_leaves_out_the_lists_that_are_as_they_were(quick):
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=0.01)
        with feed.joined() as queue:
            sent = feed.messages(queue)
            whole = json.loads(await anext(sent))
            lists = {"running", "recent", "locks", "leaders", "events", "notable", "guarantees", "due"}
            assert lists <= whole.keys()
            parts = [json.loads(await anext(sent)) for _ in range(3)]
            assert not any(lists & part.keys() for part in parts[1:])
            await app.wait(await app.trigger("greet"), timeout=10)
            told = set()
            while not {"recent", "events"} <= told:
                told |= lists & json.loads(await anext(sent)).keys()
            assert "leaders" not in told and "notable" not in told
        await feed.close()


async def test_a_dashboard_gets_everything_first_and_then_what_changed(quick):
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=0.01)
        watch = watching(feed)
        whole = await first(watch)
        assert whole["kind"] == "whole" and set(whole["tasks"]) == {"greet", "break", "a/b", HTML}
        assert [i["name"] for i in whole["instances"]] == ["i1"]
        await app.wait(await app.trigger("break"), timeout=10)
        while (part := await first(watch))["tasks"].get("break", {}).get("last") != "FAILED":
            assert part["kind"] == "part"
        assert any(a["outcome"] == "FAILED" for a in part["recent"])
        await watch.aclose()
        await feed.close()


async def test_every_task_shows_how_its_last_run_ended_however_long_ago(quick, monkeypatch):
    monkeypatch.setattr(feeds, "MOST_PAST", 1)  # all else happened long ago
    app, gate = scheduler(), asyncio.Event()

    @app.task("again", manual())
    async def again(ctx, *, wait=False):
        if wait:
            await gate.wait()

    async with app.instance("i1"):
        for name in ("greet", "break", "again"):
            await app.wait(await app.trigger(name), timeout=10)
        running = await app.trigger("again", wait=True)
        await eventually(lambda: app.execution(running))
        feed = Feed(app, every=60)
        await feed.once()
        shown = {name: row.last for name, row in feed._rows.all.items()}
        assert shown == {"greet": "SUCCEEDED", "break": "FAILED", "again": "SUCCEEDED", "a/b": "", HTML: ""}
        gate.set()
        await app.wait(running, timeout=10)
        await feed.close()


async def test_it_looks_only_while_somebody_watches(quick):
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=0.01)
        watch = watching(feed)
        await first(watch)
        await watch.aclose()
        await asyncio.wait_for(feed._looking, 5)
        assert feed._looking.done()


async def test_many_dashboards_cost_as_much_as_one(quick, monkeypatch):
    app = scheduler()
    looks = 0

    async def counted(*args):
        nonlocal looks
        looks += 1
        return await overview(*args)

    async with app.instance("i1"):
        overview = feeds.overview
        monkeypatch.setattr(feeds, "overview", counted)
        feed = Feed(app, every=0.01)
        watches = [watching(feed) for _ in range(20)]
        await asyncio.gather(*(first(watch) for watch in watches))
        before = looks
        for _ in range(5):
            await asyncio.gather(*(anext(watch) for watch in watches))
        assert looks - before <= 7
        for watch in watches:
            await watch.aclose()
        await feed.close()


async def test_when_more_happens_than_is_read_it_says_so_and_asks_the_registry(quick, monkeypatch):
    monkeypatch.setattr(feeds, "MOST_EVENTS", 5)
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=0.01)
        watch = watching(feed)
        await first(watch)
        await app.trigger_many("greet", [{} for _ in range(30)])
        parts = [await first(watch) for _ in range(3)]
        assert any(part["missed"] for part in parts)
        while (part := await first(watch))["running"] or part["states"]["READY"]:
            pass
        assert part["running"] == []
        await watch.aclose()
        await feed.close()


async def test_a_server_that_is_away_is_told_and_its_return_too(quick, monkeypatch):
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=0.01)
        watch = watching(feed)
        await first(watch)

        async def away(*_):
            raise Unreachable("the server does not answer")

        with monkeypatch.context() as patch:
            patch.setattr(feeds, "overview", away)
            while not (part := await first(watch))["trouble"]:
                pass
            assert part["trouble"] == "the server does not answer"
        while (await first(watch))["trouble"]:
            pass
        await watch.aclose()
        await feed.close()


async def test_a_dashboard_that_does_not_read_holds_nobody_up(quick):
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=0.001)
        slow, quick_one = watching(feed), watching(feed)
        await first(slow)
        await first(quick_one)
        waiting = asyncio.ensure_future(anext(slow))
        for _ in range(40):
            await anext(quick_one)
        await waiting
        # What it missed comes as one whole message, not as a long row of old ones.
        kinds = [(await first(slow))["kind"] for _ in range(2)]
        assert "whole" in kinds
        for watch in (slow, quick_one):
            await watch.aclose()
        await feed.close()


async def test_the_stream_is_made_of_server_sent_events():
    async with served() as (app, _):
        feed = Feed(app, every=0.01)
        with feed.joined() as queue:
            sent = lines(feed, queue)
            assert await anext(sent) == b"retry: 1000\n\n"
            message = await anext(sent)
            assert message.startswith(b"data: {") and message.endswith(b"\n\n") and message.count(b"\n") == 2
            await sent.aclose()
        await feed.close()


async def test_the_state_comes_at_once_too():
    async with served() as (_, client):
        answer = (await client.get("/api/state")).json()
        assert answer["kind"] == "whole" and answer["guarantees"][0]["guarantee"] == "one-holder"


# The judge.


async def test_guarantees_are_judged_over_what_was_seen_and_a_violation_stays(monkeypatch):
    app = scheduler()
    async with app.instance("i1"), client_of(app):
        judge = Judge(app)
        now = (await app.now()) / 1000
        await judge.take([], now, missed=False)
        seen = await app.newest(1)
        for _ in range(3):
            await app.wait(await app.trigger("greet"), timeout=10)
        await judge.take(await app.newest(500, seen[-1].id), now + 20, missed=False)
        lamps = {lamp.guarantee: lamp for lamp in judge.lamps}
        assert lamps["legal-transitions"].tested > 0 and not any(lamp.violated for lamp in judge.lamps)
        assert lamps["clean-drain"].tested == 0

        later = now + 40
        forged = [
            Event(id=f"{round((later - 1) * 1000)}-{n}", at=later - 1, kind=kind, task="greet", execution="greet~x",
                  attempt=1, token=7, instance="i1")
            for n, kind in enumerate((Kind.SUCCEEDED, Kind.RUNNING))
        ]  # fmt: skip
        await judge.take(forged, later, missed=False)
        lamps = {lamp.guarantee: lamp for lamp in judge.lamps}
        broken = lamps["legal-transitions"]
        assert broken.violated and broken.at == later - 1
        assert re.fullmatch(r"greet~x went from nothing to SUCCEEDED at [\d.]+ s", broken.sentence)
        await judge.take([], later + 1, missed=True)
        await judge.take([], later + 20, missed=False)
        assert {lamp.guarantee: lamp for lamp in judge.lamps}["legal-transitions"].violated


async def test_nothing_is_lost_between_the_first_message_and_the_next(quick):
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=0.01)
        slow, other = watching(feed), watching(feed)
        await first(slow)  # its reader is busy with that for a while
        await first(other)
        await app.pause("greet")
        while "greet" not in (await first(other))["tasks"]:
            pass
        while "greet" not in (part := await asyncio.wait_for(first(slow), 5))["tasks"]:
            assert part["kind"] == "part"
        assert part["tasks"]["greet"]["metrics"]["status"] == "PAUSED"
        await slow.aclose()
        await other.aclose()
        await feed.close()


@pytest.mark.parametrize("fails", ["overview", "names"])
async def test_a_dashboard_opened_while_the_server_is_away_gets_everything_when_it_is_back(
    quick, monkeypatch, fails
):
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=0.01)

        async def away(*_):
            raise Unreachable("the server does not answer")

        with monkeypatch.context() as patch:
            patch.setattr(feeds if fails == "overview" else app.registry, fails, away)
            watch = watching(feed)
            assert (await first(watch))["tasks"] == {}
        while not (message := await first(watch))["tasks"]:
            assert message["trouble"]
        assert message["kind"] == "whole" and set(message["tasks"]) == {"greet", "break", "a/b", HTML}
        await watch.aclose()
        await feed.close()


async def test_the_end_of_the_feed_ends_all_streams_and_admits_no_more(quick):
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=0.01)
        watches = [watching(feed) for _ in range(3)]
        for watch in watches:
            await first(watch)
        await feed.close()
        for watch in watches:
            with pytest.raises(StopAsyncIteration):
                while True:
                    await asyncio.wait_for(anext(watch), 5)
        assert feed.full


async def test_a_whole_message_is_made_once_for_all_who_need_one(quick):
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=60)
        with feed.joined() as one, feed.joined() as two:
            messages = [await anext(feed.messages(queue)) for queue in (one, two)]
            assert messages[0] is messages[1] is await feed.once()
        await feed.close()


async def test_there_is_a_bound_to_open_dashboards_also_when_all_come_at_once(monkeypatch):
    monkeypatch.setattr(feeds, "MOST_WATCHERS", 3)
    with Background() as server:
        async with httpx.AsyncClient(base_url=server.web.url) as client:
            opened = [client.build_request("GET", "/api/stream") for _ in range(8)]
            answers = await asyncio.gather(*(client.send(request, stream=True) for request in opened))
            assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 5
            for answer in answers:
                await answer.aclose()
        async with httpx.AsyncClient(base_url=server.web.url) as client:
            heads = await asyncio.gather(*(client.head("/api/stream") for _ in range(8)))
            assert {answer.status_code for answer in heads} == {200}  # and hold no place


@pytest.mark.parametrize("instances", [1, 3, 8])
async def test_a_look_costs_the_server_under_30_commands_whatever_the_number_of_instances(
    quick, monkeypatch, instances
):
    app = scheduler()
    async with contextlib.AsyncExitStack() as stack:
        for n in range(instances):
            await stack.enter_async_context(app.instance(f"i{n}"))
        feed = Feed(app, every=60)
        await feed.once()
        for name in ("greet", "break", HTML) * 3:
            await app.wait(await app.trigger(name), timeout=10)
        spent, read, ask = 0, app.registry._read, app._events._ask

        async def counted(*commands):
            nonlocal spent
            spent += len(commands)
            return await read(*commands)

        async def asked(*command):
            nonlocal spent
            spent += 1
            return await ask(*command)

        monkeypatch.setattr(app.registry, "_read", counted)
        monkeypatch.setattr(app._events, "_ask", asked)
        for most, unknown in ((500, 0), (5, 1)):
            monkeypatch.setattr(feeds, "MOST_EVENTS", most)
            for n in range(9):  # that run, for as long as anybody looks
                feed._model.apply([runs(f"greet~{n}", 1.0)])
            feed._model.dirty = dict.fromkeys(("greet", "break", "a/b", HTML))
            feed._place, spent = "0-0", 0
            await feed._look()
            most_more = unknown * 3 * feeds.MOST_UNKNOWN  # what events did not tell of, if there is any
            assert 20 < spent + most_more < 30
            assert len(feed._view["instances"]) == instances
        await feed.close()


async def test_instances_that_are_not_read_in_full_show_fresh_leases_leader_and_running(quick, monkeypatch):
    monkeypatch.setattr(overviews, "MOST_MEMBERS", 0)
    app, gate = scheduler(heartbeat_every=0.05), asyncio.Event()

    @app.task("long", manual())
    async def long(ctx):
        await gate.wait()

    async with app.instance("i1"), app.instance("i2"):
        feed = Feed(app, every=60)
        await feed.once()
        before = {i.name: i for i in feed._view["instances"]}
        run = await app.trigger("long")

        async def heard():
            newer = [i.heartbeat > before[i.name].heartbeat for i in await app.instances()]
            return all(newer) and (await app.execution(run)).state == "RUNNING"

        await eventually(heard)
        await feed._look()
        seen, real = feed._view["instances"], await app.instances()
        assert [i.running for i in seen] == [i.running for i in real] and sum(i.running for i in seen) == 1
        for shown, there in zip(seen, real, strict=True):
            assert before[shown.name].heartbeat < shown.heartbeat <= there.heartbeat
            assert 3.5 < shown.lease_left <= 4.0
            assert (shown.leader, shown.epoch, shown.pid) == (there.leader, there.epoch, there.pid)
        assert sum(i.leader for i in seen) == 1
        gate.set()
        await app.wait(run, timeout=10)
        await feed.close()


async def test_an_instance_that_joins_or_drains_is_read_before_its_turn(quick):
    app, gate = scheduler(), asyncio.Event()

    @app.task("long", manual())
    async def long(ctx):
        await gate.wait()

    async with contextlib.AsyncExitStack() as stack:
        for n in range(6):
            await stack.enter_async_context(app.instance(f"i{n}"))
        run = await app.trigger("long")

        async def holder():
            return (await app.execution(run)).instance

        busy = await eventually(holder)
        feed = Feed(app, every=60)
        await feed.once()
        async with app.instance("i9"):
            feed._place = (await app.newest(1))[0].id  # its event was passed over
            await feed._look()
            assert "i9" in [i.name for i in feed._view["instances"]]
        last = {str(i.incarnation): i.name == busy for i in feed._seen.instances}
        leases = dict(sorted(feed._seen.leases.items(), key=lambda lease: last[lease[0]]))
        feed._seen = msgspec.structs.replace(feed._seen, leases=leases)  # the busy one was read last
        assert await app.drain(busy)
        await feed._look()
        assert {i.name: i.state for i in feed._view["instances"]}[busy] == "DRAINING"
        gate.set()
        await app.wait(run, timeout=10)
        await feed.close()


async def test_every_instance_is_read_anew_in_turn(quick, monkeypatch):
    app, asked = scheduler(), []
    async with contextlib.AsyncExitStack() as stack:
        for n in range(5):
            await stack.enter_async_context(app.instance(f"i{n}"))
        feed, members = Feed(app, every=60), app.registry.members
        await feed.once()

        async def noted(roll, only, **more):
            asked.append(set(only))
            return await members(roll, only, **more)

        monkeypatch.setattr(app.registry, "members", noted)
        for _ in range(3):
            await feed._look()
        assert [len(each) for each in asked] == [2, 2, 2] and len(set.union(*asked)) == 5
        await feed.close()


async def test_rows_count_from_events_what_the_registry_counts(quick, monkeypatch):
    """No row is read again: whatever the table of tasks shows afterwards was told by events."""
    monkeypatch.setattr(feeds, "MOST_TASKS", 0)
    app = scheduler(sweep_every=0.05, cancel_grace=0.05, lease_margin=0.1)
    gate, tries = asyncio.Event(), []

    @app.task("gated", manual(), max_concurrency=1)
    async def gated(ctx):
        await gate.wait()

    @app.task("flaky", manual(), retries=1, backoff=exponential(base="10ms", cap="10ms", jitter=0))
    async def flaky(ctx):
        tries.append(ctx.attempt)
        if len(tries) == 1:
            raise ValueError("once")

    @app.task("crowded", every("100ms"), overlap="BUFFER_ONE", max_concurrency=1)
    async def crowded(ctx):
        await gate.wait()

    async with app.instance("i1"):
        feed = Feed(app, every=60)
        await feed.once()

        async def agree():
            await feed._look()
            counted = {t.name: t for t in (await app.metrics()).tasks}
            fields = (
                "status",
                "running",
                "backlog",
                "succeeded",
                "failed",
                "retried",
                "lost",
                "skipped",
                "success_rate",
            )
            for name, row in feed._rows.all.items():
                shown = {field: getattr(row.metrics, field) for field in fields}
                assert shown == {field: getattr(counted[name], field) for field in fields}, name

        held = await app.trigger("gated")
        waits, later = (
            await app.trigger("gated"),
            await app.trigger("greet", _at=datetime(2999, 1, 1, tzinfo=UTC)),
        )
        delayed = await app.trigger("greet", _at=datetime.fromtimestamp(await app.now() / 1000 + 0.1, UTC))
        for run in (
            await app.trigger("greet"),
            await app.trigger("break"),
            await app.trigger("flaky"),
            delayed,
        ):
            await app.wait(run, timeout=10)

        async def replaced():
            return any(e.kind == "SKIPPED" for e in await app.history())

        async def held_runs():
            return (await app.execution(held)).state == "RUNNING"

        async def nothing_left():
            return not any((await app.registry.sizes((State.READY, State.RUNNING, State.BUFFERED))).values())

        await eventually(replaced)
        await app.pause("crowded")
        await eventually(held_runs)
        await agree()
        counts = {name: row.metrics for name, row in feed._rows.all.items()}
        assert (counts["gated"].running, counts["gated"].backlog, counts["greet"].backlog) == (1, 1, 1)
        assert (
            counts["flaky"].retried == 1
            and counts["crowded"].status == "PAUSED"
            and counts["crowded"].skipped
        )
        for run in (waits, later):
            assert await app.cancel(run) == "cancelled"
        await app.cancel(held, force=True)
        await app.resume("crowded")
        gate.set()
        failed = next(x.id for x in await app.executions(task="break"))
        await app.requeue(failed)
        await app.pause("crowded")
        await eventually(nothing_left)
        await agree()
        await feed.close()


async def test_what_a_row_was_read_with_is_not_counted_again(quick):
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=60)
        await feed.once()
        await app.wait(await app.trigger("greet"), timeout=10)
        feed._model.dirty["greet"] = None
        await feed._refresh()  # read now; the events of that run come with the next look
        await feed._look()
        assert feed._rows.all["greet"].metrics.succeeded == 1
        await feed.close()


async def test_a_task_that_nobody_knew_is_read_before_those_that_wait(quick, monkeypatch):
    monkeypatch.setattr(feeds, "MOST_TASKS", 1)
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=60)
        await feed.once()
        del feed._rows.all["a/b"]
        feed._model.dirty = dict.fromkeys(("greet", "break", "a/b"))
        await feed._look()
        assert "a/b" in feed._rows.all and list(feed._model.dirty) == ["greet", "break"]
        await feed.close()


async def test_what_ended_while_events_were_passed_over_runs_no_more(quick, monkeypatch):
    monkeypatch.setattr(feeds, "MOST_EVENTS", 2)
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=60)
        await feed.once()
        feed._model.apply([runs("greet~gone", 1.0)])
        feed._place = "0-0"
        await feed._look()
        assert feed._view["missed"] and "greet~gone" not in feed._model.running
        await feed.close()


def test_what_is_handed_back_unstarted_runs_no_more():
    model = Model()
    model.apply([runs("t@1", 10.0), event("READY", 11.0, execution="t@1", task="t")])
    assert model.running == {} and not model.recent
    assert [(a.end, a.outcome) for a in model.attempts] == [(11.0, "RETURNED")]


async def lamps_after(judge, *steps):
    for events, now, more in steps:
        await judge.take(events, now, **{"missed": False, **more})
    return {lamp.guarantee: lamp for lamp in judge.lamps}


async def a_run(app, after):
    await app.wait(await app.trigger("greet"), timeout=10)
    return await app.newest(500, after)


async def test_what_was_seen_before_events_were_missed_is_judged_all_the_same():
    app = scheduler()
    async with app.instance("i1"):
        judge, now = Judge(app), (await app.now()) / 1000
        await judge.take([], now, missed=False)
        seen = await a_run(app, (await app.newest(1))[-1].id)
        found = await lamps_after(judge, (seen, now + 1, {}), ([], now + 2, {"missed": True}))
        assert found["legal-transitions"].tested > 0


async def test_a_snapshot_that_fails_leaves_no_gap_in_what_is_judged(monkeypatch):
    app = scheduler()
    async with app.instance("i1"):
        judge, now = Judge(app), (await app.now()) / 1000
        await judge.take([], now, missed=False)
        first_seen = await a_run(app, (await app.newest(1))[-1].id)
        await judge.take(first_seen, now + 1, missed=False)

        async def away(**_):
            raise Unreachable("no")

        snapshot = app.snapshot
        monkeypatch.setattr(app, "snapshot", away)
        await judge.take([], now + 2, missed=True)
        with pytest.raises(Unreachable):
            await judge.take([], now + 40, missed=False)
        passed_over = await a_run(app, first_seen[-1].id)
        monkeypatch.setattr(app, "snapshot", snapshot)
        await judge.take([], now + 41, missed=False)
        later = await a_run(app, passed_over[-1].id)
        found = await lamps_after(judge, (later, now + 60, {}))
        assert not any(lamp.violated for lamp in found.values())


async def test_snapshots_are_rare_and_none_is_made_of_a_long_queue(monkeypatch):
    app = scheduler()
    made = 0
    async with app.instance("i1"):
        snapshot = app.snapshot

        async def counted(**options):
            nonlocal made
            made += 1
            return await snapshot(**options)

        monkeypatch.setattr(app, "snapshot", counted)
        judge, now = Judge(app), (await app.now()) / 1000
        await judge.take([], now, missed=False, waiting=judges.MOST_OPEN + 1)
        assert made == 0 and "too much" in judge.judged
        for second in range(1, 30):
            await judge.take([], now + second, missed=second % 2 == 0)
        assert made == 1
        await judge.take([], now + 32, missed=False)
        assert made == 2


async def test_tasks_that_changed_are_read_again_a_few_in_each_look_until_none_is_left(quick, monkeypatch):
    monkeypatch.setattr(feeds, "MOST_TASKS", 3)
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=60)
        await feed.once()
        feed._model.dirty = dict.fromkeys(("greet", "break", "a/b", HTML))
        await feed._look()
        assert list(feed._model.dirty) == [HTML]
        await feed._look()
        assert not feed._model.dirty
        await feed.close()


async def test_what_the_snapshot_knows_already_is_not_judged_twice_and_what_was_exercised_adds_up():
    app = scheduler()
    async with app.instance("i1"):
        judge, before = Judge(app), (await app.newest(1))[-1].id
        known = await a_run(app, before)
        now = (await app.now()) / 1000
        await judge.take([], now, missed=False)
        found = await lamps_after(judge, (known, now + 20, {}))
        assert found["legal-transitions"].tested == 0 and not judge._events
        fresh = await a_run(app, known[-1].id)
        first = (await lamps_after(judge, (fresh, now + 40, {})))["legal-transitions"].tested
        await judge.take([], now + 41, missed=True)
        await judge.take([], now + 80, missed=False)
        again = await a_run(app, fresh[-1].id)
        assert (await lamps_after(judge, (again, now + 100, {})))["legal-transitions"].tested > first > 0


async def test_a_judgement_that_was_cut_off_is_not_gone_on_with(monkeypatch):
    app = scheduler()
    async with app.instance("i1"):
        judge, now = Judge(app), (await app.now()) / 1000
        await judge.take([], now, missed=False)
        await judge.take(await a_run(app, "-"), now + 1, missed=False)

        async def cut_off(*_):
            raise asyncio.CancelledError

        monkeypatch.setattr(asyncio, "to_thread", cut_off)
        with pytest.raises(asyncio.CancelledError):
            await judge.take([], now + 2, missed=True)
        assert judge._first is None and not judge._events  # what comes next would follow a gap


async def test_what_fails_after_events_were_read_leaves_no_gap_in_what_is_judged(quick, monkeypatch):
    app = scheduler()
    async with app.instance("i1"):
        feed = Feed(app, every=60)
        await feed.once()
        await app.wait(await app.trigger("greet"), timeout=10)

        async def away(*_, **__):
            raise Unreachable("no")

        for fails in ("counted", "load"):
            with monkeypatch.context() as patch:
                patch.setattr(app.registry, fails, away)
                with pytest.raises(Unreachable):
                    await feed._look()
            await feed._look()
        told = [event.id for event in feed._judge._events]
        assert told == [event.id for event in await app.history()][-len(told) :] and len(told) >= 3
        assert feed._rows.all["greet"].metrics.succeeded == 1
        await feed.close()


async def test_what_was_passed_over_is_learned_afterwards_until_all_is_known_again(quick, monkeypatch):
    app, gate = scheduler(), asyncio.Event()

    @app.task("long", manual())
    async def long(ctx):
        await gate.wait()

    async with app.instance("i1"):
        feed = Feed(app, every=60)
        await feed.once()
        runs_now = set(await app.trigger_many("long", [{} for _ in range(3)]))

        async def all_run():
            return {x.id for x in await app.executions(state=State.RUNNING)} == runs_now

        await eventually(all_run)
        with monkeypatch.context() as patch:
            patch.setattr(feeds, "MOST_EVENTS", 1)
            await feed._look()
        assert feed._view["missed"] and len(feed._model.running) <= 2
        for _ in range(3):
            await feed._look()
        assert set(feed._model.running) == runs_now and feed._all_known
        assert feed._rows.all["long"].metrics.running == 3
        gate.set()
        for run in runs_now:
            await app.wait(run, timeout=10)
        await feed.close()
