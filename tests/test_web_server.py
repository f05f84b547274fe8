"""The server beside an instance: where it listens, and that nobody who watches holds its end up."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import httpx
import pytest
from webkit import TOKEN, Background, scheduler

from labsched.errors import ConfigError
from labsched.web import serve_web
from labsched.web import server as servers


async def test_open_streams_end_with_the_server_and_nothing_is_cut_off(caplog, monkeypatch):
    monkeypatch.setattr(servers, "LAST_ANSWERS", 30)
    app = scheduler()
    async with app.instance("i1"), contextlib.AsyncExitStack() as stack:
        async with serve_web(app, name="i1", token=TOKEN) as web:
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=web.url))
            streams = [
                await stack.enter_async_context(client.stream("GET", "/api/stream")) for _ in range(20)
            ]
            lines = [stream.aiter_lines() for stream in streams]
            for line in lines:
                assert await anext(line) == "retry: 1000"
            leaving = asyncio.get_running_loop().time()
        assert (
            asyncio.get_running_loop().time() - leaving < 15
        )  # and not the 30 seconds that answers may take
        for line in lines:
            rest = [text async for text in line]
            assert any(text.startswith("data: ") for text in rest)  # to its orderly end: no error is raised
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


async def test_the_next_free_port_is_taken_and_told():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        async with scheduler(web_port=taken) as app, serve_web(app) as web, serve_web(app) as second:
            assert taken < web.port < second.port
            async with httpx.AsyncClient() as client:
                for url in (web.url, second.url):
                    assert (await client.get(f"{url}/api/tasks")).status_code == 200


async def test_when_no_port_is_free_one_line_says_so(monkeypatch):
    monkeypatch.setattr(servers, "PORTS", 1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        async with scheduler(web_port=other.getsockname()[1]) as app:
            with pytest.raises(ConfigError, match="no port is free"):
                async with serve_web(app):
                    pass


def test_it_listens_on_ipv6_too():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with Background(host="::1") as server:
        assert server.web.url.startswith("http://[::1]:")
        assert httpx.get(f"{server.web.url}/api/tasks").status_code == 200
        assert httpx.get(f"{server.web.url}/api/tasks", headers={"host": "[::1"}).status_code == 421
