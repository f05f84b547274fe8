"""The fence store refuses writers whom a newer token has overtaken."""

from __future__ import annotations

import asyncio
import json

import pytest
import redis.asyncio as aioredis
from test_locks_contract import manager, until_server

from labsched.errors import ConfigError, PayloadError, StaleToken
from labsched.fence import FenceStore
from labsched.store import Store


async def test_what_was_written_is_read_back_with_its_token(anyserver):
    fence = FenceStore(anyserver.client(), "t")
    assert await fence.read("r") is None
    await fence.write("r", {"rows": [1, 2.5, None, "ü"]}, 7)
    assert await FenceStore(anyserver.client(decode_responses=True), "t").read("r") == (
        {"rows": [1, 2.5, None, "ü"]},
        7,
    )


async def test_an_older_token_is_refused_and_changes_nothing(anyserver):
    fence = FenceStore(anyserver.client(), "t")
    await fence.write("r", "new", 8)
    with pytest.raises(StaleToken, match="8"):
        await fence.write("r", "old", 7)
    assert await fence.read("r") == ("new", 8)


async def test_the_same_and_a_newer_token_may_write_again(anyserver):
    fence = FenceStore(anyserver.client(), "t")
    for value, token in (("a", 8), ("b", 8), ("c", 9)):
        await fence.write("r", value, token)
        assert await fence.read("r") == (value, token)


async def test_a_late_copy_of_a_write_does_not_undo_a_later_one_of_the_same_token(anyserver):
    store = Store(anyserver.client(), "t")
    for value, nonce in (("1", "n1"), ("2", "n2"), ("1", "n1")):
        await store.call("fence_put", "r", 8, value, nonce)
    assert await FenceStore(anyserver.client(), "t").read("r") == (2, 8)


async def test_resources_are_fenced_one_by_one(anyserver):
    fence = FenceStore(anyserver.client(), "t")
    await fence.write("r", 1, 8)
    await fence.write("s", 2, 7)
    assert await fence.read("s") == (2, 7)


async def test_every_write_and_every_refusal_leaves_its_event(anyserver):
    fence = FenceStore(anyserver.client(), "t")
    await fence.write('r "1"', 1, 8)
    with pytest.raises(StaleToken):
        await fence.write('r "1"', 2, 7)
    entries = await anyserver.client(decode_responses=True).xrange("{labsched:t}:events")
    assert [(e["kind"], e["token"]) for _, e in entries] == [("FENCE_WRITTEN", "8"), ("REFUSED", "7")]
    assert json.loads(entries[0][1]["data"]) == {"resource": 'r "1"'}


async def test_tokens_as_large_as_real_ones_are_compared_exactly(anyserver):
    fence, token = FenceStore(anyserver.client(), "t"), 1_795_527_417_407_436
    await fence.write("r", "new", token)
    with pytest.raises(StaleToken):
        await fence.write("r", "old", token - 1)
    assert await fence.read("r") == ("new", token)


async def test_a_holder_paused_past_its_lease_cannot_write_over_its_successor(anyserver):
    fence = FenceStore(anyserver.client(), "t")
    paused = await manager(anyserver, "a").acquire("n", at_most_for=0.05)
    await until_server(anyserver, paused._until)
    successor = await manager(anyserver, "b").acquire("n", at_most_for=30)
    await fence.write("account", 200, successor.token)
    with pytest.raises(StaleToken):
        await fence.write("account", 100, paused.token)
    assert await fence.read("account") == (200, successor.token)


async def test_of_many_writers_at_once_the_newest_stays(anyserver):
    fence = FenceStore(anyserver.client(), "t")
    results = await asyncio.gather(*(fence.write("r", i, i) for i in range(50)), return_exceptions=True)
    assert await fence.read("r") == (49, 49)
    assert all(r is None or isinstance(r, StaleToken) for r in results)


async def test_a_write_resent_after_a_lost_reply_is_one_write(anyserver):
    class Lossy(type(anyserver.client())):
        lost = 0

        async def execute_command(self, *args, **options):
            reply = await super().execute_command(*args, **options)
            if args[0] in ("EVALSHA", "EVAL") and self.lost < 1:
                self.lost += 1
                raise aioredis.ConnectionError("reply lost")
            return reply

    client = anyserver.client()
    client.__class__ = Lossy
    await FenceStore(client, "t").write("r", 1, 8)
    assert client.lost == 1
    assert await anyserver.client().xlen("{labsched:t}:events") == 1


@pytest.mark.parametrize("value", [b"bytes", object(), float("nan"), {1, 2}, "\ud800"])
async def test_a_value_that_is_not_json_is_refused(value):
    with pytest.raises(PayloadError):
        await FenceStore(aioredis.Redis(port=1), "t").write("r", value, 1)


async def test_a_value_over_one_mebibyte_is_refused_and_one_of_that_size_is_not(anyserver):
    fence = FenceStore(anyserver.client(), "t")
    with pytest.raises(PayloadError, match="1 MiB"):
        await fence.write("r", "x" * (2**20 - 1), 1)
    await fence.write("r", "x" * (2**20 - 2), 1)


@pytest.mark.parametrize("token", [-1, 1.5, "7", None, True, 2**53])
async def test_a_token_that_is_none_is_refused(token):
    with pytest.raises(ConfigError):
        await FenceStore(aioredis.Redis(port=1), "t").write("r", 1, token)


@pytest.mark.parametrize("resource", ["", " ", None, 7])
async def test_a_resource_without_a_name_is_refused(resource):
    with pytest.raises(ConfigError):
        await FenceStore(aioredis.Redis(port=1), "t").write(resource, 1, 1)
