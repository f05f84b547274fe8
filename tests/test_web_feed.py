"""One reader for all dashboards: what it knows, what it costs, and that it holds nothing up."""

from __future__ import annotations

import asyncio
import json

import pytest
from webkit import HTML, client_of, scheduler, served

from labsched.errors import Unreachable
from labsched.model import Event, Kind
from labsched.web import feed as feeds
from labsched.web.feed import Feed
from labsched.web.judge import Judge
from labsched.web.model import Model
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


# The feed.


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(feeds, "LINGER", 0.02)


async def watching(feed):
    with feed.joined() as queue:
        async for message in feed.messages(queue):
            yield message


async def first(watch):
    return json.loads(await anext(watch))


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

    async def counted():
        nonlocal looks
        looks += 1
        return await overview()

    async with app.instance("i1"):
        overview = app.overview
        monkeypatch.setattr(app, "overview", counted)
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

        async def away():
            raise Unreachable("the server does not answer")

        with monkeypatch.context() as patch:
            patch.setattr(app, "overview", away)
            while "trouble" not in (part := await first(watch)):
                pass
            assert part["trouble"] == "the server does not answer"
        while "trouble" in await first(watch):
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
        assert lamps["legal-transitions"].violated and "greet~x" in lamps["legal-transitions"].sentence
        await judge.take([], later + 1, missed=True)
        await judge.take([], later + 20, missed=False)
        assert {lamp.guarantee: lamp for lamp in judge.lamps}["legal-transitions"].violated
