"""Requests that nobody should send: the calls under their own OpenAPI document, and bytes that are hardly HTTP.

Seeded, so that what was found once is found again.
"""

from __future__ import annotations

import json
import random
import socket

import hypothesis
import pytest
import requests
from webkit import BEARER, HTML, Background

schemathesis = pytest.importorskip("schemathesis", reason="the extra labsched[fuzz] is not installed")

MALFORMED = 10_000
CALLS = ["tasks", "executions", "why", "execution", "instances", "locks", "events", "keys", "key", "preview", "metrics",
         "trigger", "pause", "resume", "cancel", "requeue"]  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with Background() as running:
        yield running


@pytest.fixture(scope="module")
def schema(server):
    return schemathesis.openapi.from_url(f"{server.web.url}/api/openapi.json")


@pytest.mark.parametrize("name", CALLS)
def test_a_call_keeps_to_its_own_document_whatever_it_is_sent(schema, server, name):
    operation = schema.find_operation_by_id(name)
    checks = schemathesis.checks

    @hypothesis.settings(
        max_examples=60, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(case=operation.as_strategy())
    def fuzz(case):
        case.call_and_validate(
            headers=BEARER, checks=[
                checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
                checks.response_schema_conformance,
            ],
        )  # fmt: skip

    fuzz()


def test_every_call_of_the_document_is_under_test(schema):
    assert {found.ok().definition.raw["operationId"] for found in schema.get_all_operations()} - set(
        CALLS
    ) == {"drain"}


def malformed(luck: random.Random) -> bytes:
    """Something between a fine request and noise."""
    path = luck.choice(["/api/tasks", "/api/executions/x", "/api/tasks/greet/trigger", "/api/stream", "/", f"/{HTML}",
                        "/static/../../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "/%00", "/api/keys/%ff",
                        "*"])  # fmt: skip
    method = luck.choice(["GET", "POST", "PUT", "BREW", "", "get", "POST" * 50, "TRACE", "CONNECT"])
    length = luck.choice(["", "Content-Length: 5\r\n", "Content-Length: -1\r\n", "Content-Length: x\r\n",
                          "Transfer-Encoding: chunked\r\n", "Content-Length: 99999999999\r\n"])  # fmt: skip
    headers = (
        f"Host: {luck.choice(['127.0.0.1', 'evil.example', '', 'a' * 300])}\r\n{length}Connection: close\r\n"
    )
    request = f"{method} {path} HTTP/{luck.choice(['1.1', '1.0', '9', ''])}\r\n{headers}\r\n".encode()
    request += luck.choice([b"", b"hello", b"{", b"5\r\nhello\r\n0\r\n\r\n", b"\xff" * 40])
    match luck.randrange(4):
        case 0:
            at = luck.randrange(len(request))
            return request[:at] + luck.randbytes(luck.randrange(1, 20)) + request[at:]
        case 1:
            return request[: luck.randrange(len(request))]
        case 2:
            return luck.randbytes(luck.randrange(1, 300))
    return request


def test_ten_thousand_malformed_requests_leave_it_serving_and_the_cluster_running(server):
    luck, address = random.Random(5), (server.web.host, server.web.port)
    before = server.call(server.app.tasks())
    for _ in range(MALFORMED):
        with socket.create_connection(address, timeout=10) as link:
            link.sendall(malformed(luck))
            if luck.random() < 0.1:
                link.shutdown(socket.SHUT_WR)
                assert b"Traceback" not in link.recv(4096)
    answer = requests.get(f"{server.web.url}/api/tasks", timeout=10)
    assert answer.status_code == 200 and len(answer.json()) == len(before)
    done = requests.post(
        f"{server.web.url}/api/tasks/greet/trigger",
        data=json.dumps({"name": "x"}),
        headers=BEARER,
        timeout=10,
    )
    run = server.call(server.app.wait(done.json()["result"], timeout=10))
    assert run.state == "SUCCEEDED" and run.attempts[0].instance == "i1"


@pytest.mark.parametrize(
    "path",
    ["/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/static//etc/passwd"],
)
def test_no_file_outside_of_the_static_folder_is_served(server, path):
    with socket.create_connection((server.web.host, server.web.port), timeout=10) as link:
        link.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        assert link.recv(100).startswith(b"HTTP/1.1 404")
