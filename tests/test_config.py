"""Settings: from code, from YAML, from the environment; and what wrong ones are told."""

import os
import re
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labsched.config import Settings, mask
from labsched.errors import ConfigError
from labsched.sources import PATHS, variable

INTERFACE_EXAMPLE = """
scheduler:
  enabled: true
  pool-size: 10                 # attempts that one instance runs at once
  leader-election: {enabled: true, lease: PT5S, renew-deadline: PT3S, retry: PT1S}
  distributed-lock: {enabled: true, default-lock-time: PT30M}
  instance: {heartbeat: PT1S, lease: PT4S, lease-margin: PT1S, cancel-grace: PT0.5S, sweep-every: PT1S, drain-timeout: PT30S}
  history: {max-events: 1000000, keep-executions: P7D}
redis: {url: embedded}
web: {enabled: true, host: 127.0.0.1, port: 8080}
tasks: data/tasks.yml
"""  # noqa: E501


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "labsched.yml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def refusal(call, *args, **kwargs) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


# --- in code


def test_the_defaults_keep_every_relation():
    settings = Settings()
    assert settings.leader_retry < settings.leader_renew_deadline < settings.leader_lease
    assert settings.heartbeat_every * 2 < settings.instance_lease
    assert settings.cancel_grace < settings.lease_margin < settings.instance_lease / 2


@pytest.mark.parametrize("form", [7, 7.0, "7s", "7000ms", "PT7S", "7", timedelta(seconds=7)])
def test_every_form_of_a_duration_becomes_seconds(form):
    lease = Settings(leader_lease=form).leader_lease
    assert lease == 7.0
    assert isinstance(lease, float)


def test_settings_are_frozen_values():
    settings = Settings(pool_size=3)
    assert settings == Settings(pool_size=3)
    assert hash(settings) == hash(Settings(pool_size=3))
    with pytest.raises(AttributeError):
        settings.pool_size = 4


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"leader_lease": "2s"}, "leader_renew_deadline (3s) must be less than leader_lease (2s)"),
        ({"leader_lease": "3s"}, "leader_renew_deadline (3s) must be less than leader_lease (3s)"),
        ({"leader_retry": "3s"}, "leader_retry (3s) must be less than leader_renew_deadline (3s)"),
        ({"heartbeat_every": 2}, "heartbeat_every (2s) twice must be less than instance_lease (4s)"),
        ({"lease_margin": 2}, "lease_margin (2s) must be less than half of instance_lease (4s)"),
        ({"cancel_grace": "1s"}, "cancel_grace (1s) must be less than lease_margin (1s)"),
    ],
)
def test_a_broken_relation_names_both_keys_and_both_values(wrong, says):
    assert refusal(Settings, **wrong) == says


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"pool_size": 0}, ["pool_size 0", "from 1 to"]),
        ({"pool_size": True}, ["pool_size True", "whole numbers"]),
        ({"pool_size": 2.5}, ["pool_size 2.5"]),
        ({"pool_size": "ten"}, ["pool_size 'ten'"]),
        ({"web_port": 65536}, ["web_port 65536"]),
        ({"max_events": 0}, ["max_events 0"]),
        ({"leader_election": "yes"}, ["leader_election 'yes'", "true and false"]),
        ({"enabled": 1}, ["enabled 1"]),
        ({"sweep_every": 0}, ["sweep_every 0", "at least 1ms"]),
        ({"instance_lease": "soon"}, ["instance_lease 'soon'"]),
        ({"instance_lease": float("nan")}, ["instance_lease nan"]),
        ({"drain_timeout": -1}, ["drain_timeout -1"]),
        ({"log_level": "loud"}, ["log_level 'loud'", "DEBUG"]),
        ({"namespace": "a}b"}, ["namespace 'a}b'"]),
        ({"namespace": ""}, ["namespace ''"]),
        ({"web_host": ""}, ["web_host ''"]),
        ({"web_host": "http://x"}, ["web_host"]),
        ({"tasks": None}, ["tasks None", "text, not nothing"]),
        ({"redis_url": "http://localhost"}, ["redis_url", "rediss://"]),
        ({"redis_url": "localhost:6379"}, ["redis_url", "embedded"]),
        ({"redis_url": "redis://h:port"}, ["redis_url", "cannot be understood"]),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_is_allowed(wrong, words):
    message = refusal(Settings, **wrong)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    "url",
    ["embedded", "fake", "redis://h", "rediss://u:p@h:1/2", "unix:///run/r.sock?db=1", "redis://[::1]:6379"],
)
def test_every_kind_of_redis_url_is_accepted(url):
    assert Settings(redis_url=url).redis_url == url


def test_what_may_be_zero_may_be_zero():
    settings = Settings(cancel_grace=0, drain_timeout=0, keep_executions=0, web_port=0)
    assert (settings.cancel_grace, settings.drain_timeout, settings.web_port) == (0.0, 0.0, 0)


def test_replace_changes_and_checks_again():
    settings = Settings().replace(leader_lease="10s", pool_size=2)
    assert (settings.leader_lease, settings.pool_size) == (10.0, 2)
    assert "leader_renew_deadline (10s)" in refusal(settings.replace, leader_renew_deadline=10)


def test_replace_names_an_unknown_setting():
    assert refusal(Settings().replace, pool_sise=3) == "unknown setting pool_sise=3; did you mean pool_size?"


# --- YAML


def test_the_example_of_the_interface_is_the_defaults(write):
    assert Settings.load(write(INTERFACE_EXAMPLE), env={}) == Settings(tasks="data/tasks.yml")


def test_an_empty_file_and_an_empty_section_are_the_defaults(write):
    assert Settings.load(write(""), env={}) == Settings()
    assert Settings.load(write("redis:\n#  url: fake\nscheduler:\n"), env={}) == Settings()


def test_without_a_file_or_variables_load_gives_the_defaults():
    assert Settings.load(env={"PATH": "/bin", "HOME": "/root"}) == Settings()


def test_the_path_table_and_the_fields_are_the_same_set():
    assert sorted(PATHS.values()) == sorted(field.name for field in msgspec.structs.fields(Settings))
    assert len({variable(path) for path in PATHS}) == len(PATHS)


def test_every_field_is_described_with_its_unit():
    for field in msgspec.structs.fields(Settings):
        assert re.search(rf"\b{field.name}\b", Settings.__doc__), field.name
        if isinstance(field.default, float):
            assert re.search(rf"^ *{field.name} .*\bseconds\b", Settings.__doc__, re.MULTILINE), field.name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scheduler: {pool_size: 3}", ["unknown setting scheduler.pool_size: 3", "scheduler.pool-size?"]),
        ("pool-size: 3", ["unknown setting pool-size: 3", "did you mean scheduler.pool-size?"]),
        ("redis: {hostt: x}", ["unknown setting redis.hostt: 'x'"]),
        ("zzz: 1", ["unknown setting zzz: 1", "allowed are log-level, redis, scheduler, tasks, web"]),
        ("1: 2", ["unknown setting 1: 2"]),
        ("scheduler: 3", ["scheduler 3 is refused", "leader-election", "pool-size"]),
        ("redis: [a]", ["redis a list is refused", "url"]),
        ("scheduler: {pool-size: ten}", ["scheduler.pool-size 'ten'", "whole numbers"]),
        ("scheduler: {pool-size: }", ["scheduler.pool-size None"]),
        ("scheduler: {enabled: 'true'}", ["scheduler.enabled 'true'", "true and false"]),
        ("scheduler: {leader-election: {lease: PT1M1Y}}", ["scheduler.leader-election.lease 'PT1M1Y'"]),
        ("log-level: off", ["log-level False", "it must be text"]),
        ("scheduler: {pool-size: 1, pool-size: 2}", ["line 1", "the key 'pool-size' is there twice"]),
        ("- a\n- b", ["must hold a mapping", "a list"]),
        ("hello", ["must hold a mapping", "text"]),
        ("a: [1,", ["line 1"]),
        ("a: 1\nb: *c", ["line 2", "undefined alias"]),
        ("a: 1\n---\nb: 2", ["line 2"]),
        ("a: !!python/object/apply:os.getcwd []", ["could not determine a constructor"]),
        ("a: 2026-13-45", ["is not YAML", "month"]),
        ("[" * 5000, ["is not YAML"]),
        ("? [a]\n: 1", ["unhashable"]),
        (b"\xff\xfe\xfa", ["is not YAML"]),
        (b"a: \x00", ["is not YAML"]),
    ],
)
def test_a_wrong_file_gets_one_clear_line(write, text, words):
    path = write(text)
    message = refusal(Settings.load, path, env={})
    assert str(path) in message
    assert all(word in message for word in words), message


def test_a_broken_relation_in_a_file_names_the_paths_of_the_file(write):
    message = refusal(Settings.load, write("scheduler: {leader-election: {lease: PT2S}}"), env={})
    assert "scheduler.leader-election.renew-deadline (3s)" in message
    assert "scheduler.leader-election.lease (2s)" in message


def test_a_missing_file_or_a_folder_is_named(tmp_path):
    assert str(tmp_path / "no.yml") in refusal(Settings.load, tmp_path / "no.yml", env={})
    assert str(tmp_path) in refusal(Settings.load, tmp_path, env={})


def test_to_yaml_reads_back_as_equal_settings(write):
    settings = Settings(
        pool_size=3,
        leader_lease="5.25s",
        keep_executions="90m",
        redis_url="redis://u:p%40@h:1/0",
        tasks="ä: b.yml",
    )
    assert Settings.load(write(settings.to_yaml()), env={}) == settings


@given(st.integers(3, 10**9), st.integers(2, 10**9), st.integers(1, 10**9))
def test_leader_timings_are_accepted_exactly_when_they_are_ordered(lease, deadline, retry):
    timings = {
        "leader_lease": lease / 1000,
        "leader_renew_deadline": deadline / 1000,
        "leader_retry": retry / 1000,
    }
    if retry < deadline < lease:
        assert Settings(**timings).leader_lease == lease / 1000
    else:
        refusal(Settings, **timings)


# --- the environment


def test_variables_override_the_file(write):
    path = write("scheduler: {pool-size: 3, leader-election: {lease: PT6S}}")
    env = {
        "LABSCHED_CONFIG": str(path),
        "LABSCHED_SCHEDULER_LEADER_ELECTION_LEASE": "7s",
        "LABSCHED_SCHEDULER_LEADER_ELECTION_ENABLED": "off",
        "LABSCHED_WEB_PORT": "9000",
        "LABSCHED_LOG_LEVEL": "debug",
    }
    settings = Settings.load(env=env)
    assert (settings.pool_size, settings.leader_lease, settings.leader_election) == (3, 7.0, False)
    assert (settings.web_port, settings.log_level) == (9000, "DEBUG")


def test_a_path_given_in_code_wins_over_labsched_config(write):
    assert Settings.load(write("tasks: a"), env={"LABSCHED_CONFIG": "/nowhere"}).tasks == "a"


def test_a_variable_mends_what_the_file_alone_would_break(write):
    path = write("scheduler: {leader-election: {lease: PT2S}}")
    env = {"LABSCHED_SCHEDULER_LEADER_ELECTION_RENEW_DEADLINE": "1.5"}
    assert Settings.load(path, env=env).leader_lease == 2.0


@pytest.mark.parametrize(
    ("text", "meant"),
    [("true", True), ("1", True), ("YES", True), ("False", False), ("no", False), ("0", False)],
)
def test_switches_are_read_in_the_usual_spellings(text, meant):
    assert Settings.load(env={"LABSCHED_WEB_ENABLED": text}).web_enabled is meant


def test_redis_url_is_only_a_fallback(write):
    env = {"REDIS_URL": "redis://fallback"}
    assert Settings.load(env=env).redis_url == "redis://fallback"
    assert Settings.load(write("redis: {url: fake}"), env=env).redis_url == "fake"
    assert Settings.load(env=env | {"LABSCHED_REDIS_URL": "redis://first"}).redis_url == "redis://first"


def test_an_empty_variable_counts_as_not_set():
    env = {
        "LABSCHED_CONFIG": "",
        "LABSCHED_REDIS_URL": "",
        "REDIS_URL": "",
        "LABSCHED_SCHEDULER_POOL_SIZE": "",
    }
    assert Settings.load(env=env) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LABSCHED_POOL_SIZE", "3", ["LABSCHED_POOL_SIZE='3'", "LABSCHED_SCHEDULER_POOL_SIZE"]),
        ("LABSCHED_SCHEDULER_POOL_SIZE", "3x", ["LABSCHED_SCHEDULER_POOL_SIZE '3x'", "whole numbers"]),
        ("LABSCHED_SCHEDULER_POOL_SIZE", "٣", ["whole numbers"]),
        ("LABSCHED_WEB_ENABLED", "maybe", ["LABSCHED_WEB_ENABLED 'maybe'", "true and false"]),
        ("LABSCHED_REDIS_TIMEOUT", "-1", ["LABSCHED_REDIS_TIMEOUT '-1'"]),
        ("LABSCHED_CONFIG", "/nowhere.yml", ["/nowhere.yml"]),
        ("REDIS_URL", "http://x", ["REDIS_URL", "rediss://"]),
    ],
)
def test_a_wrong_variable_is_named(name, value, words):
    message = refusal(Settings.load, env={name: value})
    assert all(word in message for word in words), message


def test_a_relation_broken_by_a_variable_names_the_variable():
    message = refusal(Settings.load, env={"LABSCHED_SCHEDULER_LEADER_ELECTION_LEASE": "2"})
    assert "LABSCHED_SCHEDULER_LEADER_ELECTION_LEASE (2s)" in message


def test_load_reads_the_process_environment_by_default(monkeypatch):
    for name in list(os.environ):
        if name.startswith("LABSCHED_") or name == "REDIS_URL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("LABSCHED_SCHEDULER_POOL_SIZE", "4")
    assert Settings.load().pool_size == 4


# --- passwords


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://u:secret@h:6379/0", "redis://u:***@h:6379/0"),
        ("redis://:sec@re/t@h", "redis://:***@h"),
        ("rediss://h:1", "rediss://h:1"),
        ("unix:///run/r.sock?db=1&password=secret&x=1", "unix:///run/r.sock?db=1&password=***&x=1"),
        ("embedded", "embedded"),
    ],
)
def test_mask_hides_the_password_and_nothing_else(url, masked):
    assert mask(url) == masked


def test_no_message_and_no_repr_shows_a_password(write):
    url = "redis://u:hunter2@h:6379/0"
    settings = Settings(redis_url=url)
    assert "hunter2" not in repr(settings) + str(settings) + settings.to_yaml(masked=True)
    assert "hunter2" in settings.to_yaml()
    for message in (
        refusal(Settings, redis_url="http://u:hunter2@h"),
        refusal(Settings, redis_url="redis://u:hunter2/x@h"),
        refusal(Settings, redis_url=["redis://u:hunter2@h"]),
        refusal(Settings.load, env={"LABSCHED_REDIS_PASSWORD": "hunter2"}),
        refusal(Settings.load, env={"LABSCHED_REDIS_URI": url}),
        refusal(Settings.load, env={"REDIS_URL": "http://u:hunter2@h"}),
        refusal(Settings.load, write("redis: {password: hunter2}"), env={}),
        refusal(Settings.load, write(f"redis-url: {url}"), env={}),
        refusal(Settings.load, write("redis: {auth: {user: hunter2}}"), env={}),
    ):
        assert "hunter2" not in message


def test_repr_shows_only_what_differs_from_the_defaults():
    assert repr(Settings(pool_size=3)) == "Settings(pool_size=3)"
