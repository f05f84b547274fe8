"""The JSON calls: what they return, what they change, and what they say when they cannot."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from webkit import BEARER, HTML, client_of, scheduler, served

from labsched import Scheduler, Settings, rawkeys
from labsched.errors import OutcomeUnknown, Unreachable
from labsched.model import Event, Execution, InstanceInfo, LockInfo, Reason, TaskInfo
from labsched.web import endpoints
from labsched.web.api import Api


async def test_trigger_runs_the_task_with_the_body_as_its_payload():
    async with served() as (app, client):
        answer = await client.post("/api/tasks/greet/trigger", headers=BEARER, json={"name": "Ada"})
        done = await app.wait(answer.json()["result"], timeout=10)
        assert done.result == {"greeting": "hello Ada"}
        shown = (await client.get(f"/api/executions/{done.id}")).json()
        assert msgspec.convert(shown, Execution).log == ("greeting <b>Ada</b>",) or "Ada" in shown["log"][0]


async def test_listings_decode_to_the_structs_that_the_python_calls_return():
    async with served() as (app, client):
        await app.wait(await app.trigger("greet"), timeout=10)
        for path, kind in (
            ("/api/tasks", list[TaskInfo]),
            ("/api/executions", list[Execution]),
            ("/api/instances", list[InstanceInfo]),
            ("/api/locks", list[LockInfo]),
            ("/api/events", list[Event]),
        ):
            answer = await client.get(path)
            assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
            msgspec.json.decode(answer.content, type=kind)


async def test_executions_are_filtered_by_task_state_instance_and_age():
    async with served() as (app, client):
        good = [await app.trigger("greet") for _ in range(3)]
        bad = await app.trigger("break")
        for id in (*good, bad):
            await app.wait(id, timeout=10)

        async def ids(**asked):
            return [x["id"] for x in (await client.get("/api/executions", params=asked)).json()]

        assert set(await ids(task="greet")) == set(good)
        assert await ids(state="FAILED") == [bad]
        assert set(await ids(instance="i1")) == {*good, bad} and await ids(instance="nobody") == []
        assert len(await ids(limit=2)) == 2
        assert await ids(before=1) == []


async def test_a_failure_comes_with_its_traceback_and_with_why():
    async with served() as (app, client):
        bad = await app.trigger("break")
        await app.wait(bad, timeout=10)
        shown = (await client.get(f"/api/executions/{bad}")).json()
        assert shown["error"]["type"] == "ValueError" and "Traceback" in shown["error"]["traceback"]
        why = msgspec.convert((await client.get(f"/api/executions/{bad}/why")).json(), list[Reason])
        assert any("ValueError" in reason.text for reason in why)


async def test_pause_and_resume_change_the_task_for_everybody():
    async with served() as (app, client):
        for verb, status in (("pause", "PAUSED"), ("resume", "ACTIVE")):
            assert (await client.post(f"/api/tasks/greet/{verb}", headers=BEARER)).json() == {"result": True}
            assert (await app.registry.task("greet")).status == status, verb


async def test_cancel_and_requeue():
    async with served() as (app, client):
        bad = await app.trigger("break")
        await app.wait(bad, timeout=10)
        said = (await client.post(f"/api/executions/{bad}/cancel", headers=BEARER)).json()
        assert said == {"result": "already"}
        assert (await client.post(f"/api/executions/{bad}/requeue", headers=BEARER)).json() == {
            "result": True
        }
        assert (await app.wait(bad, timeout=10)).state == "FAILED"
        good = await app.trigger("greet")
        await app.wait(good, timeout=10)
        refused = await client.post(f"/api/executions/{good}/requeue", headers=BEARER)
        assert refused.status_code == 400 and good in refused.json()["error"]


async def test_drain_makes_an_instance_leave():
    app = scheduler()
    async with app.instance("i1") as member, client_of(app) as client:
        assert (await client.post("/api/instances/i1/drain", headers=BEARER)).json() == {"result": True}
        await member.drained.wait()
        assert await app.instances() == []


@pytest.mark.parametrize("name", ["a/b", HTML])
async def test_any_name_that_a_task_may_have_fits_into_a_path(name):
    from urllib.parse import quote

    async with served() as (app, client):
        answer = await client.post(f"/api/tasks/{quote(name, safe='')}/trigger", headers=BEARER)
        assert (await app.wait(answer.json()["result"], timeout=10)).task == name
        shown = await client.get(f"/api/executions/{quote(answer.json()['result'], safe='')}")
        assert shown.json()["task"] == name
        assert (await client.get(f"/api/tasks/{quote(name, safe='')}/preview")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/api/executions/nope", None, 404, "no execution 'nope'"),
        ("GET", "/api/executions/nope/why", None, 404, "no execution 'nope'"),
        ("GET", "/api/executions?task=nope", None, 404, "no task 'nope'"),
        ("GET", "/api/executions?state=nope", None, 400, "state is 'nope'"),
        ("GET", "/api/executions?limit=0", None, 400, "limit"),
        ("GET", "/api/executions?limit=1001", None, 400, "limit is '1001'"),
        ("GET", "/api/executions?limit=-1", None, 400, "limit is '-1'"),
        ("GET", "/api/executions?limit=٣", None, 400, "limit"),
        ("GET", "/api/executions?before=x", None, 400, "before is 'x'"),
        ("GET", "/api/executions?before=999999999999999", None, 400, "before"),
        ("GET", "/api/events?after=x", None, 400, "after is 'x'"),
        ("GET", "/api/keys?cursor=x", None, 400, "cursor is 'x'"),
        ("GET", "/api/keys/nope", None, 400, "no key 'nope'"),
        ("GET", "/api/tasks/nope/preview", None, 404, "no task 'nope'"),
        ("GET", "/api/nope", None, 404, "Not Found"),
        ("DELETE", "/api/tasks", None, 405, "Method Not Allowed"),
        ("POST", "/api/tasks/nope/trigger", b"{}", 404, "no task 'nope'"),
        ("POST", "/api/tasks/nope/pause", None, 404, "no task 'nope'"),
        ("POST", "/api/executions/nope/cancel", None, 404, "no execution 'nope'"),
        ("POST", "/api/executions/nope/requeue", None, 404, "no execution 'nope'"),
        ("POST", "/api/instances/nope/drain", None, 404, "no instance 'nope'"),
        ("POST", "/api/tasks/greet/trigger", b"{", 400, "not JSON"),
        ("POST", "/api/tasks/greet/trigger", b"[1]", 400, "allowed is an object"),
        ("POST", "/api/tasks/greet/trigger", b"[" * 5000, 400, "not JSON"),
        ("POST", "/api/tasks/greet/trigger", b'{"a": "\\ud800"}', 400, ""),
        ("POST", "/api/tasks/greet/trigger", b'{"a": "' + b"x" * (1 << 20) + b'"}', 400, "1 MiB"),
    ],
)
async def test_what_is_asked_wrongly_gets_one_line_and_changes_nothing(method, path, body, status, said):
    async with served() as (app, client):
        answer = await client.request(method, path, headers=BEARER, content=body)
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert said in error and "\n" not in error and len(error) < 300
        assert await app.executions() == [] and all(info.status == "ACTIVE" for info in await app.tasks())


async def test_a_server_that_does_not_answer_is_503_for_reads_and_504_for_what_may_have_happened(monkeypatch):
    import asyncio

    monkeypatch.setattr(endpoints, "LIMIT", 0.01)
    async with served() as (app, client):

        async def silent(*_):
            await asyncio.Event().wait()

        monkeypatch.setattr(app, "tasks", silent)
        monkeypatch.setattr(app, "pause", silent)
        read, write = (
            await client.get("/api/tasks"),
            await client.post("/api/tasks/greet/pause", headers=BEARER),
        )
        assert (read.status_code, read.json()["may_have_happened"]) == (503, False)
        assert (write.status_code, write.json()["may_have_happened"]) == (504, True)


@pytest.mark.parametrize(
    ("error", "status", "maybe"),
    [(Unreachable("away"), 503, False), (OutcomeUnknown("no reply"), 504, True)],
)
async def test_an_answer_says_whether_it_may_have_happened(monkeypatch, error, status, maybe):
    async with served() as (app, client):

        async def fails(*_):
            raise error

        monkeypatch.setattr(app, "pause", fails)
        answer = await client.post("/api/tasks/greet/pause", headers=BEARER)
        assert (answer.status_code, answer.json()["may_have_happened"]) == (status, maybe)


async def test_raw_keys_are_those_of_the_namespace_and_cut():
    async with served() as (app, client):
        redis = app._client.redis
        prefix = app._client.prefix
        await redis.execute_command("SET", "elsewhere", "secret")
        await redis.execute_command("SET", f"{prefix}long", "x" * 5000)
        await redis.execute_command("RPUSH", f"{prefix}many", *range(500))
        await redis.execute_command("SADD", f"{prefix}members", "a")
        await redis.execute_command("ZADD", f"{prefix}scores", 1.5, "a")
        await redis.execute_command("HSET", f"{prefix}fields", "a", "1")
        await redis.execute_command("XADD", f"{prefix}stream", "1-1", "a", "1")
        listed = (
            await client.get("/api/keys")
        ).json()  # the server is shared by all tests: looked through to the end
        while listed["cursor"] != "0":
            more = (await client.get("/api/keys", params={"cursor": listed["cursor"]})).json()
            listed = {**more, "keys": listed["keys"] + more["keys"]}
        assert listed["prefix"] == prefix and {"name": "long", "type": "string"} in listed["keys"]
        assert "elsewhere" not in str(listed)
        assert (await client.get("/api/keys", params={"part": "mbers"})).json()["keys"] == [
            {"name": "members", "type": "set"}
        ]
        assert (await client.get("/api/keys", params={"part": "*"})).json()["keys"] == []
        names = [key["name"] for key in listed["keys"]]
        shown = {name: (await client.get(f"/api/keys/{name}")).json() for name in names}
        assert shown["long"]["size"] == 5000 and len(shown["long"]["rows"][0][0]) <= 2001
        assert shown["many"]["size"] == 500 and len(shown["many"]["rows"]) == 100
        assert shown["members"]["rows"] == [["a"]] and shown["fields"]["rows"] == [["a", "1"]]
        assert shown["scores"]["rows"] == [["a", "1.5"]] and shown["stream"]["rows"] == [["1-1", "a=1"]]


async def test_the_openapi_document_names_every_call_with_its_schema():
    async with served() as (app, client):
        document = (await client.get("/api/openapi.json")).json()
        for endpoint in Api(app).endpoints():
            operation = document["paths"][endpoint.path.replace(":path", "")][endpoint.method.lower()]
            assert operation["operationId"] == endpoint.name and "200" in operation["responses"]
            assert bool(operation.get("security")) == (endpoint.method == "POST")
        text = str(document)
        import re

        for reference in re.findall(r"#/components/schemas/(\w+)", text):
            assert reference in document["components"]["schemas"]


async def test_the_calls_of_the_interface_are_there():
    """The paths that are promised to users."""
    async with served() as (_, client):
        for path in (
            "/scheduler/dashboard",
            "/scheduler/console",
            "/actuator/metrics",
            "/metrics",
            "/api/tasks",
        ):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/", follow_redirects=False)).headers["location"] == "/scheduler/dashboard"


async def test_a_listing_leaves_out_what_may_be_megabytes_and_one_run_has_it():
    async with served() as (app, client):
        run = await app.trigger("greet", name="x" * 10_000)
        await app.wait(run, timeout=10)
        listed = await client.get("/api/executions")
        (shown,) = listed.json()
        assert (shown["id"], shown["state"], shown["payload"], shown["result"]) == (
            run,
            "SUCCEEDED",
            {},
            None,
        )
        assert len(listed.content) < 2000
        assert len((await client.get(f"/api/executions/{run}")).json()["payload"]["name"]) == 10_000


async def test_runs_are_found_by_time_and_those_of_one_millisecond_by_pages():
    async with served() as (app, client):
        ids = set(await app.trigger_many("greet", [{} for _ in range(5)]))
        for id in ids:
            await app.wait(id, timeout=10)

        async def listed(**asked):
            return (await client.get("/api/executions", params=asked)).json()

        (at,) = {x["created"] for x in await listed()}
        assert len(await listed(since=at)) == 5 and await listed(since=at + 1) == []
        assert len(await listed(before=at + 1)) == 5 and await listed(before=at) == []
        pages = [await listed(before=at + 1, limit=2, **skip) for skip in ({}, {"skip": 2}, {"skip": 4})]
        assert [len(page) for page in pages] == [2, 2, 1]
        assert {x["id"] for page in pages for x in page} == ids
        ended = max(x["finished"] for x in await listed())
        assert await listed(state="SUCCEEDED", since=ended + 1) == []
        assert len(await listed(state="SUCCEEDED", since=at + 1)) >= 1  # by the end, not by creation


async def test_reads_take_turns_and_steering_goes_ahead_of_them(monkeypatch):
    import asyncio

    async with served() as (app, client):
        inside, most, release = 0, 0, asyncio.Event()

        async def slow():
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await release.wait()
            inside -= 1
            return []

        monkeypatch.setattr(app, "instances", slow)
        reading = [asyncio.create_task(client.get("/api/instances")) for _ in range(10)]
        while inside < endpoints.AT_ONCE:  # noqa: ASYNC110
            await asyncio.sleep(0)
        paused = await asyncio.wait_for(client.post("/api/tasks/greet/pause", headers=BEARER), 5)
        assert paused.status_code == 200 and most == endpoints.AT_ONCE
        release.set()
        assert {answer.status_code for answer in await asyncio.gather(*reading)} == {200}
        assert most == endpoints.AT_ONCE


async def test_a_page_of_keys_looks_on_until_it_has_some(monkeypatch):
    monkeypatch.setattr(rawkeys, "STEP", 1)
    async with served() as (app, client):
        for n in range(300):
            await app._client.redis.set(f"elsewhere:{app.namespace}:{n}", "x")
        found, cursor = [], "0"
        for _ in range(10_000):
            page = (await client.get("/api/keys", params={"cursor": cursor})).json()
            found += [key["name"] for key in page["keys"]]
            if (cursor := page["cursor"]) == "0":
                break
        assert {"events", "tasks", "names"} <= set(found)


@pytest.mark.parametrize("namespace", ["a?[b]c", "[a-z]", "a\\b"])
async def test_a_namespace_of_wildcards_shows_its_own_keys_alone(namespace):
    other = scheduler()
    app = Scheduler("fake", namespace=namespace, settings=Settings(web_port=0))
    twins = [Scheduler("fake", namespace=name) for name in ("axbc", "q", "ab")]
    async with other, contextlib.AsyncExitStack() as stack:
        for twin in twins:
            await stack.enter_async_context(twin)
            await twin._client.redis.set(f"{twin._client.prefix}secret", "s")
        await stack.enter_async_context(app)
        client = await stack.enter_async_context(client_of(app))
        await app._client.redis.set(f"{app._client.prefix}mine", "m")
        await app._client.redis.set(app._client.prefix.encode() + b"\xff", "no text")
        names, cursor = [], None
        while cursor != "0":
            page = (await client.get("/api/keys", params={"cursor": cursor or "0"})).json()
            names, cursor = names + [key["name"] for key in page["keys"]], page["cursor"]
        assert "mine" in names and "secret" not in names
