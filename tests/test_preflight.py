"""A server is looked at before it is used."""

import pytest
from outside import private_runtime  # noqa: F401  (a fixture)
from redis import exceptions as rex

from labsched.connect import open_url
from labsched.errors import ServerUnsuitable
from labsched.preflight import preflight
from labsched.worlds.fake import open_fake
from labsched.worlds.server import Server


async def test_a_good_server_is_described(opened):
    found = await preflight(opened.redis)
    assert (found.checked, found.server, found.role) == (True, "valkey", "master")
    assert found.version.startswith("9.")
    assert (found.maxmemory_policy, found.maxmemory, found.min_replicas_to_write) == ("noeviction", 0, 0)
    assert (found.appendonly, found.appendfsync, found.snapshots) == (False, "", False)
    assert found.used_memory > 0
    assert any("nothing is left" in note for note in found.notes)


async def test_an_append_only_file_is_described():
    async with Server(appendonly="always") as server:
        made = open_url(server.url)
        found = await preflight(made.redis)
        assert (found.appendonly, found.appendfsync, found.notes) == (True, "always", ())
        await made.redis.config_set("appendfsync", "everysec")
        assert "everysec" in (await preflight(made.redis)).notes[0]
        await made.close()


async def test_a_server_that_evicts_is_refused_with_what_to_do(opened):
    await opened.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ServerUnsuitable, match=r"allkeys-lru.*CONFIG SET maxmemory-policy noeviction"):
            await preflight(opened.redis)
    finally:
        await opened.redis.config_set("maxmemory-policy", "noeviction")


async def test_a_replica_is_refused_and_its_primary_named():
    async with Server(config={"replicaof": "127.0.0.1 1"}) as server:
        made = open_url(server.url)
        with pytest.raises(ServerUnsuitable, match=r"use its primary, 127\.0\.0\.1:1"):
            await preflight(made.redis)
        await made.close()


async def test_a_user_without_config_or_info_gets_a_note_not_an_error(opened, embedded):
    where = f"127.0.0.1:{embedded.port}"
    await opened.redis.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "~*", "+@all", "-config")
    narrow = open_url(f"redis://narrow:pw@{where}/0")
    found = await preflight(narrow.redis)
    assert found.checked and found.appendfsync == "" and found.min_replicas_to_write is None
    assert any("CONFIG GET is refused" in note for note in found.notes)
    await opened.redis.execute_command("ACL", "SETUSER", "narrow", "-info")
    found = await preflight(narrow.redis)
    assert not found.checked and "answers no INFO" in found.notes[0]
    await narrow.close()


async def test_a_server_without_info_is_unchecked():
    made = open_fake("fake:preflight", request_timeout=1, blocking_timeout=1)
    found = await preflight(made.redis)
    assert not found.checked and found.notes
    await made.close()


class Says:
    """A client whose server answers INFO like this, and refuses CONFIG GET."""

    def __init__(self, info):
        self.info = info

    async def execute_command(self, name, *args):
        if name == "INFO":
            return self.info
        raise rex.ResponseError("unknown command 'CONFIG'")


@pytest.mark.parametrize("reply", [{"redis_version": "6.2.14"}, b"# Server\r\nredis_version:6.2.14\r\n"])
async def test_an_old_redis_is_refused_however_the_client_hands_info_on(reply):
    with pytest.raises(ServerUnsuitable, match=r"redis 6\.2\.14 is too old: Redis 7\.0 or newer"):
        await preflight(Says(reply))


async def test_redis_seven_and_every_valkey_are_new_enough():
    assert (await preflight(Says({"redis_version": 7.0}))).version == "7.0"
    found = await preflight(Says({"redis_version": "7.2.4", "valkey_version": "8.1.0"}))
    assert (found.server, found.version) == ("valkey", "8.1.0")


async def test_what_weakens_a_guarantee_is_noted():
    info = {"redis_version": "7.4.1", "role": "master", "connected_slaves": 1, "aof_enabled": 1}
    info |= {"aof_last_write_status": "err", "maxmemory": 1000, "used_memory": 950}
    notes = " ".join((await preflight(Says(info))).notes)
    assert "last write to its disk failed" in notes and "950 of 1000" in notes
    assert "without min-replicas-to-write" in notes


async def test_link_errors_pass_through_for_whoever_retries():
    made = open_url("redis://127.0.0.1:1/0")
    with pytest.raises(rex.ConnectionError):
        await preflight(made.redis)
    await made.close()
