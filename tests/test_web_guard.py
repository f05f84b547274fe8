"""Who may ask what: Host, origin, token, cookie; and what every answer carries."""

from __future__ import annotations

import contextlib
import importlib.util
import socket

import httpx
import pytest
from webkit import BEARER, TOKEN, Background, client_of, scheduler, served

from labsched.cli.dashboard import NEEDED, dashboard
from labsched.cli.up import _show
from labsched.errors import ConfigError
from labsched.web import guard
from labsched.web import server as servers
from labsched.web.guard import MOST_SESSIONS, Access, check_address

COOKIE = Access("127.0.0.1", None).cookie
ACTS = [
    "/api/tasks/greet/trigger", "/api/tasks/greet/pause", "/api/tasks/greet/resume", "/api/executions/x/cancel",
    "/api/executions/x/requeue", "/api/instances/i1/drain", "/api/session",
]  # fmt: skip
READS = ["/api/tasks", "/api/executions", "/api/instances", "/api/locks", "/api/events", "/api/keys", "/api/metrics",
         "/api/state", "/metrics", "/actuator/metrics", "/api/openapi.json"]  # fmt: skip


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "example.org", "::"])
def test_an_address_that_others_reach_is_refused_without_a_token(host):
    with pytest.raises(ConfigError, match="LABSCHED_WEB_TOKEN"):
        check_address(host, None)
    check_address(host, "some-token")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_the_loopback_address_needs_no_token(host):
    check_address(host, None)


@pytest.mark.parametrize("path", ACTS)
async def test_whatever_changes_state_needs_the_token_in_a_header(path):
    async with served() as (_, client):
        wrong = [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"},
                 {"cookie": f"{COOKIE}={TOKEN}"}, {"authorization": "Bearer "},
                 {"authorization": b"Bearer \xff"}]  # fmt: skip
        for headers in wrong:
            answer = await client.post(path, headers=headers)
            assert answer.status_code == 401 and "token" in answer.json()["error"], headers
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert (await client.post(f"{path}?token={TOKEN}")).status_code == 401
        assert (await client.post(path, headers=BEARER)).status_code in (200, 204, 404)


@pytest.mark.parametrize("path", ACTS)
async def test_without_a_token_nothing_can_be_changed(path):
    async with served(token=None) as (_, client):
        for headers in ({}, {"authorization": "Bearer None"}, {"authorization": "Bearer "}):
            answer = await client.post(path, headers=headers)
            assert answer.status_code == 401 and "no token is set" in answer.json()["error"]


async def test_a_cookie_opens_nothing_that_changes_state():
    async with served() as (app, client):
        assert (await client.post("/api/session", headers=BEARER)).status_code == 204
        assert COOKIE in client.cookies
        assert (await client.post("/api/tasks/greet/pause")).status_code == 401
        assert (await app.tasks())[-1].status == "ACTIVE"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8081"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_a_page_of_another_origin_may_not_act_even_with_the_token(headers):
    async with served() as (_, client):
        answer = await client.post("/api/tasks/greet/pause", headers={**BEARER, **headers})
        assert answer.status_code == 403
        fine = {**BEARER, "origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}
        assert (await client.post("/api/tasks/greet/pause", headers=fine)).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "", "127.0.0.1.evil.example", "[", "a b"]
)
async def test_a_name_that_is_not_ours_is_refused_so_that_rebinding_fails(host):
    async with served() as (_, client):
        for path in ("/api/tasks", "/scheduler/dashboard", "/actuator/health"):
            assert (await client.get(path, headers={"host": host})).status_code == 421
        assert (
            await client.post("/api/tasks/greet/pause", headers={**BEARER, "host": host})
        ).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:9", "[::1]:8080", "192.0.2.7"])
async def test_bare_addresses_and_names_of_this_machine_are_ours(host):
    async with served() as (_, client):
        assert (await client.get("/api/tasks", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("path", READS)
async def test_reading_is_open_on_this_machine_and_needs_the_token_elsewhere(path):
    async with served() as (_, client):
        assert (await client.get(path)).status_code == 200
    async with served(host="192.0.2.7") as (_, client):
        assert (await client.get(path)).status_code == 401
        assert (await client.get(path, headers=BEARER)).status_code == 200
        await client.post("/api/session", headers=BEARER)
        assert (await client.get(path)).status_code == 200  # by the cookie
        client.cookies.set(COOKIE, "guessed", domain="127.0.0.1")
        client.cookies.clear()
        assert (await client.get(path, headers={"cookie": f"{COOKIE}=guessed"})).status_code == 401


async def test_probes_and_the_empty_pages_are_open_everywhere():
    async with served(host="192.0.2.7") as (_, client):
        for path in (
            "/actuator/health",
            "/actuator/health/liveness",
            "/scheduler/dashboard",
            "/scheduler/console",
        ):
            assert (await client.get(path)).status_code in (200, 503)  # 503: nobody leads yet


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites():
    async with served() as (_, client):
        said = (await client.post("/api/session", headers=BEARER)).headers["set-cookie"].lower()
        assert "httponly" in said and "samesite=strict" in said
        assert TOKEN not in said


def test_two_dashboards_of_one_host_keep_their_sessions_apart(monkeypatch):
    """Cookies know no ports: what one sets is sent to the other, and would replace its own if it had the same name."""
    monkeypatch.setattr(
        guard, "is_loopback", lambda _: False
    )  # as on an address where reading needs the token
    with Background() as one, Background() as other, httpx.Client() as browser:
        servers = (one.web.url, other.web.url)
        assert [browser.get(f"{url}/api/tasks").status_code for url in servers] == [401, 401]
        for url in servers:
            assert browser.post(f"{url}/api/session", headers=BEARER).status_code == 204
        assert [browser.get(f"{url}/api/tasks").status_code for url in servers] == [200, 200]


@pytest.mark.parametrize(
    "path", ["/scheduler/dashboard", "/api/tasks", "/nope", "/static/dashboard.js", "/api/tasks/x"]
)
async def test_every_answer_carries_the_headers_that_forbid(path):
    async with served() as (_, client):
        headers = (await client.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert "no-store" in headers["cache-control"]


async def test_the_pages_have_no_inline_script_or_style_and_load_nothing_from_elsewhere():
    async with served() as (_, client):
        for path in ("/scheduler/dashboard", "/scheduler/console"):
            page = (await client.get(path)).text
            assert "://" not in page and "style=" not in page and " on" + "click" not in page
            assert page.count("<script") == page.count('<script src="/static/')
            assert "<style" not in page


async def test_bodies_have_a_limit():
    async with served() as (app, client):
        answer = await client.post("/api/tasks/greet/trigger", headers=BEARER, content=b" " * (2 << 20))
        assert answer.status_code == 413
        assert await app.executions() == []


def test_sessions_are_bounded_and_unguessable():
    access = Access("127.0.0.1", TOKEN)
    first = access.open_session()
    assert access.has_session(first) and not access.has_session(first[:-1]) and not access.has_session("")
    assert not access.has_session("ü")
    for _ in range(MOST_SESSIONS):
        access.open_session()
    assert not access.has_session(first)


async def test_an_error_of_ours_is_not_shown(monkeypatch):
    app = scheduler()
    async with app.instance("i1"), client_of(app) as client:

        async def broken():
            raise RuntimeError("a secret of the inside")

        monkeypatch.setattr(app, "tasks", broken)
        answer: httpx.Response = await client.get("/api/tasks")
        assert answer.status_code == 500 and "secret" not in answer.text


async def test_behind_a_proxy_with_tls_the_browsers_own_word_counts():
    async with served() as (_, client):
        proxied = {**BEARER, "origin": "https://jobs.example", "sec-fetch-site": "same-origin"}
        assert (await client.post("/api/tasks/greet/pause", headers=proxied)).status_code == 200
        odd = {**BEARER, "origin": "http://[", "host": "127.0.0.1"}
        assert (await client.post("/api/tasks/greet/pause", headers=odd)).status_code == 403


async def test_whom_nobody_knows_gets_no_details_of_health():
    async with served(host="192.0.2.7") as (_, client):
        for path in ("/actuator/health", "/actuator/health/liveness", "/actuator/health/readiness"):
            assert set((await client.get(path)).json()) == {"status"}, path
            assert "components" in (await client.get(path, headers=BEARER)).json()


def exchange(web, sent: bytes) -> bytes:
    with socket.create_connection((web.host, web.port), timeout=10) as link:
        link.sendall(sent)
        return link.recv(4096)


def test_two_host_headers_and_other_smuggling_are_refused():
    with Background() as server:
        for sent in (
            b"GET /api/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
            b"GET /api/tasks HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            b"GET /" + b"a" * 60_000,
        ):
            assert exchange(server.web, sent).startswith(b"HTTP/1.1 400"), sent[:60]


def test_connections_are_bounded_so_that_the_instance_keeps_files_for_itself(monkeypatch):
    monkeypatch.setattr(servers, "MOST_CONNECTIONS", 5)
    with Background() as server, contextlib.ExitStack() as stack:
        address = (server.web.host, server.web.port)
        links = [stack.enter_context(socket.create_connection(address, timeout=5)) for _ in range(12)]
        for link in links:
            link.sendall(b"GET / HT")
        ended = 0
        for link in links:
            link.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                try:
                    ended += link.recv(1) == b""
                except ConnectionError:
                    ended += 1
        assert ended == 7


@pytest.mark.parametrize("missing", [(), NEEDED[:1]])
def test_up_says_in_its_first_lines_what_brings_the_dashboard(monkeypatch, capsys, missing):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name in missing else found(name, *more)
    )
    _show(None, "a-token")  # switched off, or the extra is not there
    said = "dashboard  none: pip install 'labsched[web]' brings it\n" if missing else ""
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("missing", NEEDED)
async def test_without_the_extra_an_instance_runs_as_before_and_says_so(monkeypatch, caplog, missing):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == missing else found(name, *more)
    )
    async with dashboard(scheduler()) as web:
        assert web is None
    assert "pip install 'labsched[web]'" in caplog.text


def test_the_token_and_the_password_of_the_server_are_in_no_answer_and_no_log(caplog, monkeypatch):
    caplog.set_level("DEBUG")
    with Background() as server:
        for path in ("/api/tasks", "/api/instances", "/metrics", "/actuator/health", "/api/nope"):
            for headers in (BEARER, {"authorization": "Bearer wrong-secret"}):
                answer = httpx.get(f"{server.web.url}{path}", headers=headers)
                assert TOKEN not in answer.text and TOKEN not in str(answer.headers)
        httpx.post(f"{server.web.url}/api/tasks/greet/pause", headers=BEARER)
        httpx.post(
            f"{server.web.url}/api/tasks/greet/pause", headers={"authorization": "Bearer wrong-secret"}
        )
    assert TOKEN not in caplog.text and "wrong-secret" not in caplog.text
