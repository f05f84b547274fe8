"""What must not end an instance, nor leave it half alive: what a body in a thread raises, a mailbox that fails."""

from __future__ import annotations

import asyncio
import logging

import pytest
from apps import eventually, new_app, serving

from labsched import manual


@pytest.mark.parametrize("error", [KeyboardInterrupt("mine"), SystemExit(3), GeneratorExit()])
async def test_whatever_a_body_in_a_thread_raises_is_its_failure_and_not_the_instances(valkey, error):
    app = new_app(valkey)

    @app.task("a", manual())
    def body(ctx):
        raise error

    async with serving(app, "i1"):
        for _ in range(2):
            done = await app.wait(await app.trigger("a"), "10s")
            assert done.state == "FAILED" and done.error.type == type(error).__name__
            assert "in body" in done.error.traceback


async def test_a_mailbox_that_fails_for_a_reason_nobody_thought_of_is_read_again(valkey, caplog, monkeypatch):
    app, failed = new_app(valkey, heartbeat_every=1.9, wake_fallback=60), []
    app.task("a", manual())(quickly)
    async with serving(app, "i1") as (member,):
        await app.wait(await app.trigger("a"), "10s")
        hint = member.worker.hint

        def broken():
            if not failed:
                failed.append(1)
                raise KeyError("a bug")
            hint()

        with caplog.at_level(logging.INFO, "labsched"):
            monkeypatch.setattr(member.worker, "hint", broken)
            post = app._client.key("box", member.membership.incarnation)
            await app._client.redis.rpush(post, "work")
            await eventually(lambda: failed)
            await app._client.redis.rpush(post, "lead", "drain")
            await asyncio.wait_for(member.drained.wait(), 10)
        assert "mailbox: this should not happen" in caplog.text and "a bug" in caplog.text


async def quickly(ctx):
    return None
