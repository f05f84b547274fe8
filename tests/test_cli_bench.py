"""`labsched bench`: measures where it is told to, and leaves nothing behind."""

import json

import redis
from clikit import process
from outside import embedded, private_runtime  # noqa: F401 - fixtures


def test_bench_measures_on_the_server_that_is_named_and_removes_what_it_made(embedded):  # noqa: F811
    with redis.Redis.from_url(embedded.url) as client:
        client.set("of-somebody-else", "1")
        done = process("--url", embedded.url, "bench", "-n", "200", "--json")
        assert done.code == 0, done.err
        assert client.keys() == [b"of-somebody-else"]
        # What a server has once been asked stays in its statistics: it was this one.
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] > 500
    found = json.loads(done.out)
    assert set(found) == {
        *(f"{what}_{p}" for what in ("round_trip", "start_latency") for p in ("p50", "p99")),
        *(f"{what}_per_second" for what in ("enqueued", "drained", "lock_pairs")),
    }
    assert all(value > 0 for value in found.values())
    assert found["start_latency_p50"] > found["round_trip_p50"], "a run takes more than one round trip"


def test_without_a_url_it_brings_its_own_server_and_says_it_in_words(tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    done = process("bench", "-n", "100", cwd=here)
    assert done.code == 0, done.err
    assert "enqueued per second" in done.out and "round trip p50" in done.out and done.out.count("\n") == 7
    assert list(here.iterdir()) == []
