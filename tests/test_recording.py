"""Recordings: one value, one file, six frames, one digest."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from histories import EMPTY, FACTS, T0, History, T, X, cluster, definition, quiet

from labsched.errors import ConfigError
from labsched.schedule import every
from labsched.worlds.messages import Message
from labsched.worlds.recording import FORMAT_VERSION, Recording, load


def full() -> Recording:
    h = quiet(30).at(12.5).fault("kill", "i1", extra=1).note("joined", "i1", 1, lease=4.0)
    h.at(30).take("a", 90, "i1", until=40, least=35).at(31).extend("a", 90, "i1", until=45).at(32)
    h.release("a", 90, "i1", until=35).elect("i2", 91).add("LEADER_RESIGNED", instance="i2", epoch=91)
    h.ready("job!1", source="trigger").run("job!1", 92, "i2").lose("job!1", 92, "i2").run(
        "job!1", 93, "i1", attempt=2
    )
    return h.rec(
        end=40, options={"instances": 2}, plan=[{"at": 12.5}], versions={"labsched": "0"}, final=EMPTY
    )


def rich() -> Recording:
    """`full`, with something in every part of the file."""
    rec = full()
    snap = EMPTY | {
        "executions": {"j": {"state": "RUNNING", "task": "job", "token": 4, "instance": "i1", "attempt": 2}},
        "tasks": {"job": {"status": "ACTIVE", "watermark": T(0), "definition": definition("job", every(5))}},
        "locks": {"a": {"owner": "x", "token": 3, "until": T(9)}},
        "leader": {"instance": "i1", "incarnation": 1, "epoch": 2, "until": T(3)},
        "instances": {"i0": {"incarnation": 1, "until": T(3), **FACTS}},
    }
    lines = History().note("proved", "i1", 1, sent=0.0, server=T(1), runs=[4])
    lines.at(9).note("lease-lost", "i1", 1, deadline=3.0, running=["j"], by="loop")
    lines.note("stopped", "i1", 1, execution="j", token=4, how="cancelled")
    return msgspec.structs.replace(
        rec,
        snapshot=snap,
        final=snap,
        journals=rec.journals + lines.journals,
        message_log=[Message(0.1, None, "i1", "server", "request", "ping", 9, "cut")],
    )


# --- files


@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
def test_a_recording_survives_its_file(tmp_path, name):
    rec = full()
    rec.save(tmp_path / name)
    again = load(tmp_path / name)
    assert again == rec and again.digest == rec.digest
    assert str(again.check()) == str(rec.check())
    assert os.listdir(tmp_path) == [name]


def test_the_file_is_json_that_others_can_read(tmp_path):
    full().save(tmp_path / "run.json")
    data = json.loads((tmp_path / "run.json").read_text())
    assert data["format"] == "labsched-recording" and data["version"] == FORMAT_VERSION
    assert data["recording"]["events"][0]["kind"] == "TASK_DEFINED"
    assert data["recording"]["faults"][0]["kind"] == "kill"


def test_gz_is_packed_always_the_same_and_known_by_its_bytes(tmp_path):
    for name in ("a.json.gz", "b.json.gz"):
        full().save(tmp_path / name)
    body = (tmp_path / "a.json.gz").read_bytes()
    assert gzip.decompress(body) and body == (tmp_path / "b.json.gz").read_bytes()
    os.rename(tmp_path / "a.json.gz", tmp_path / "renamed.json")
    assert load(str(tmp_path / "renamed.json")) == full()


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "run.json"
    target.write_text("old")

    def broken(*args):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="no space left"):
        full().save(target)
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["run.json"]


def test_a_saved_recording_can_be_read_by_others(tmp_path):
    full().save(tmp_path / "run.json")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "run.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def damaged(**changes: object) -> bytes:
    rec = json.loads(msgspec.json.encode(full()))
    return json.dumps(
        {"format": "labsched-recording", "version": FORMAT_VERSION, "recording": rec | changes}
    ).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is not a labsched recording"),
        (b"\x1f\x8bnonsense", "is not a labsched recording"),
        (gzip.compress(b"{}", mtime=0), "is not a labsched recording"),
        (gzip.compress(b"{}", mtime=0)[:-9], "is not a labsched recording"),
        (b"\xff\xfe", "is not a labsched recording"),
        (b"[1, 2]", "is not a labsched recording"),
        (b'{"format": "tape", "version": 1, "recording": {}}', "is not a labsched recording"),
        (b'{"format": "labsched-recording", "version": 2, "recording": {"new": 1}}', "has format version 2"),
        (b'{"format": "labsched-recording", "version": 1, "recording": {}}', "is damaged"),
        (damaged(world="dreamt"), "is damaged"),
        (damaged(events=[{"id": "1-0", "at": 1, "kind": "DANCED"}]), "is damaged"),
        (damaged(events=[{"id": "x-y", "at": 1, "kind": "READY"}]), "is damaged"),
        (damaged(snapshot={"executions": []}), "is damaged"),
        (damaged(final={"locks": {"a": {"owner": "x"}}}), "is damaged"),
        (damaged(faults=[{"kind": "kill"}]), "is damaged"),
        (damaged(journals=[{"kind": "proved"}]), "is damaged"),
    ],
)
def test_nonsense_is_refused_in_one_line(tmp_path, body, words):
    path = tmp_path / "run.json"
    path.write_bytes(body)
    with pytest.raises(ConfigError, match=words) as caught:
        load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in pairs:
        yield (*at, key)
        yield from paths(below, (*at, key))


WRONG = [None, "x", "", -1, [], {}, 1e300, True, [1], {"a": 1}, 10**30]


def test_a_file_with_any_wrong_value_in_it_is_refused_in_one_line_or_can_be_judged_and_framed(tmp_path):
    rec = json.loads(msgspec.json.encode(rich()))
    luck, path, refused = random.Random(3), tmp_path / "run.json", 0
    places = sorted(paths(rec), key=str)
    for place in luck.sample(places, 400):
        holder = rec
        for key in place[:-1]:
            holder = holder[key]
        old, holder[place[-1]] = holder[place[-1]], luck.choice(WRONG)
        path.write_bytes(damaged(**rec))
        holder[place[-1]] = old
        try:
            read = load(path)
        except ConfigError as error:
            refused += 1
            assert "\n" not in str(error)
            continue
        assert str(read.check()) and read.digest
        for name in (*FRAMES, "messages"):
            assert getattr(read, name) is not None
    assert 150 < refused < 400


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (
            "snapshot/locks/a/until",
            "soon",
            r"snapshot: Expected `int`, got `str` - at `\$.locks\[...\].until`",
        ),
        ("events/0/data/definition", "{", r"events\[0\]\.data, definition: Input data was truncated"),
        ("events/3/at", 1e300, r"events: .* at `\$\[3\]\.at`"),
        (
            "events/1/data/lease",
            "x",
            r"data of event [0-9]+-1 \(INSTANCE_JOINED\): Expected `float.* at `\$.lease`",
        ),
        ("journals/0/mono", None, r"journals: .* at `\$\[0\]\.mono`"),
        ("faults/0/at", -1, r"faults: .* at `\$\[0\]\.at`"),
    ],
)
def test_what_is_damaged_names_the_place(tmp_path, place, value, words):
    rec = json.loads(msgspec.json.encode(rich()))
    *way, last = [int(key) if key.isdigit() else key for key in place.split("/")]
    holder = rec
    for key in way:
        holder = holder[key]
    holder[last] = value
    (tmp_path / "run.json").write_bytes(damaged(**rec))
    with pytest.raises(ConfigError, match=words):
        load(tmp_path / "run.json")


def test_a_missing_file_is_said_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read recording .*none\.json: No such file"):
        load(tmp_path / "none.json")


# --- the digest


def test_the_digest_is_stable():
    assert full().digest == full().digest and len(full().digest) == 64


def test_the_digest_does_not_see_the_machine_or_the_numbers_of_tokens():
    rec, other = full(), full()
    other.history[:] = [
        msgspec.structs.replace(
            e,
            token=None if e.token is None else e.token * 1000,
            epoch=None if e.epoch is None else e.epoch * 1000,
            data={**e.data, "pid": 7, "hostname": "elsewhere", "payload": "secret"} if e.data else e.data,
        )
        for e in other.history
    ]
    assert other.digest == rec.digest


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "READY"},
        {"execution": "x"},
        {"attempt": 7},
        {"instance": "i9"},
        {"token": 11},
        {"at": T0 / 1000},
        {"data": {}},
    ],
)
def test_the_digest_sees_what_happened(change):
    rec, other = full(), full()
    n = next(n for n, e in enumerate(rec.history) if e.kind == "RUNNING")
    other.history[n] = msgspec.structs.replace(other.history[n], **change)
    assert other.digest != rec.digest


def test_the_digest_sees_order():
    rec, other = full(), full()
    other.history[0], other.history[1] = other.history[1], other.history[0]
    assert other.digest != rec.digest


def test_the_digest_does_not_depend_on_hash_seeds():
    code = "from test_recording import full; print(full().digest)"
    found = set()
    for seed in ("0", "1"):
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        found.add(run.stdout)
    assert len(found) == 1


# --- frames

FRAMES = ("events", "executions", "attempts", "locks", "leaders", "faults")


@pytest.mark.parametrize("name", FRAMES)
def test_columns_and_types_are_the_same_for_an_empty_recording(name):
    some, none = getattr(full(), name), getattr(History().rec(), name)
    assert len(some) and not len(none)
    assert list(some.dtypes.items()) == list(none.dtypes.items())
    assert list(some.columns) == list(none.columns)


def test_events_are_rows_in_order():
    rec = full()
    assert list(rec.events.id) == [e.id for e in rec.history]
    row = rec.events.iloc[4]
    assert (row.t, row.kind, row.task, row.execution) == (5.01, "READY", "tick", X(5))
    assert row["at"].isoformat() == "2026-01-01T00:00:05.010000+00:00"
    assert row.data["slot"] == T(5)
    assert rec.events is rec.events


def test_executions_tell_each_run():
    rows = full().executions.set_index("execution")
    tick, job = rows.loc[X(5)], rows.loc["job!1"]
    assert (tick.state, tick.source, tick.slot) == ("SUCCEEDED", "schedule", T(5))
    assert (tick.created, tick.started, tick.ended, tick.attempts) == (5.01, 5.01, 5.11, 1)
    assert (job.state, job.attempts, job.losses) == ("RUNNING", 2, 1)
    assert job.ended != job.ended  # it runs: no end


def test_attempts_tell_each_try():
    rows = full().attempts
    assert len(rows) == 6 + 2
    lost, running = rows[rows.execution == "job!1"].itertuples()
    assert (lost.outcome, lost.instance, lost.incarnation, lost.ended) == ("LOST", "i2", 2, 32.0)
    assert (running.outcome, running.attempt, running.instance) == ("", 2, "i1")
    assert rows.iloc[0].duration == pytest.approx(0.1)


def test_an_attempt_that_failed_says_how():
    h = (
        cluster()
        .ready("j", source="trigger")
        .run("j", 9, "i1")
        .done("j", 9, "i1", kind="RETRYING", outcome="TIMED_OUT")
    )
    assert list(h.rec().attempts.outcome) == ["TIMED_OUT"]


def test_locks_tell_each_grant():
    (row,) = full().locks.itertuples()
    assert (row.lock, row.owner, row.token, row.granted) == ("a", "i1", 90, 30.0)
    assert (row.released, row.free) == (32.0, 35.0)


def test_leaders_tell_each_epoch():
    first, second = full().leaders.itertuples()
    assert (first.instance, first.epoch, first.how, first.ended) == ("i1", 3, "succeeded", 32.0)
    assert (second.instance, second.epoch, second.how, second.until) == ("i2", 91, "resigned", 37.0)


def test_ranks_are_small_numbers_in_the_order_of_tokens():
    rec = full()
    tokens = rec.events[["token", "rank"]].dropna().drop_duplicates().sort_values("token")
    assert list(tokens["rank"]) == sorted(tokens["rank"]) and tokens["rank"].max() < 20


def test_faults_keep_what_else_was_known():
    (row,) = full().faults.itertuples()
    assert (row.t, row.kind, row.target, row.by, row.fault["extra"]) == (12.5, "kill", "i1", "plan", 1)


def test_what_ran_before_the_recording_is_in_the_frames():
    snap = EMPTY | {
        "executions": {"j": {"state": "RUNNING", "task": "job", "token": 4, "instance": "i1", "attempt": 2}},
        "locks": {"a": {"owner": "x", "token": 3, "until": T(9)}},
        "leader": {"instance": "i1", "incarnation": 1, "epoch": 2, "until": T(3)},
        "instances": {"i1": {"incarnation": 1, "until": T(3)}},
    }
    rec = History().at(3).done("j", 4, "i1").rec(snapshot=snap)
    assert tuple(rec.attempts.iloc[0][["execution", "task", "attempt"]]) == ("j", "job", 2)
    assert len(rec.locks) == len(rec.leaders) == len(rec.executions) == 1


def test_reading_and_checking_a_recording_does_not_load_pandas(tmp_path):
    full().save(tmp_path / "run.json")
    code = (
        "import sys; from labsched.worlds import load; rec = load(sys.argv[1]); str(rec.check()); rec.digest; "
        "print('pandas' in sys.modules); rec.events; print('pandas' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "run.json"], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["False", "True"]


def test_a_recording_shows_itself_in_one_line():
    assert repr(full()) == "<Recording of 40 s in a simulated world: 32 events>"


@pytest.mark.parametrize("wrong", [None, 3])
def test_what_is_no_path_is_told(wrong):
    with pytest.raises(ConfigError, match=f"^load takes a path and got {wrong}$"):
        load(wrong)
