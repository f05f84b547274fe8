"""How times, tables and typed words are read and written. Pure."""

from datetime import UTC, datetime

import pytest

from labsched import ConfigError, PayloadError, at, cron, every, manual
from labsched.cli.listing import describe
from labsched.cli.logs import Away
from labsched.cli.output import clean, plain_table, relative, span, utc, when
from labsched.cli.params import moment, pairs, payload

NOW = 1_767_225_600_000  # 2026-01-01T00:00Z


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"), (0.0004, "0.4ms"), (0.0123, "12ms"), (0.9999, "1.0s"), (2.44, "2.4s"), (9.96, "10s"),
        (59.4, "59s"), (119, "119s"), (120, "2m"), (7199, "120m"), (7200, "2h"), (172_800, "2d"), (None, ""),
    ],
)  # fmt: skip
def test_spans_have_about_two_digits(seconds, text):
    assert span(seconds) == text


def test_times_are_utc_with_their_age():
    assert utc(NOW) == "2026-01-01 00:00:00Z"
    assert utc(NOW + 7, millis=True) == "2026-01-01 00:00:00.007Z"
    assert when(NOW, NOW + 5000) == "2026-01-01 00:00:00Z (5.0s ago)"
    assert relative(NOW + 90_000, NOW) == "in 90s"
    assert utc(None) == when(None, NOW) == ""


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("now", NOW), ("+10m", NOW + 600_000), ("-2h", NOW - 7_200_000), ("1767225601000", NOW + 1000),
        ("2026-01-01", NOW), ("2026-01-01 00:00:01Z", NOW + 1000), ("2026-01-01T01:00:00+01:00", NOW),
        ("2026-01-01T00:00:00.25", NOW + 250),
    ],
)  # fmt: skip
def test_times_as_people_type_them(typed, means):
    assert moment(typed, NOW) == datetime.fromtimestamp(means / 1000, UTC)


@pytest.mark.parametrize("typed", ["", "noon", "+", "-x", "25:00", "2026-13-01", "999999999999999"])
def test_nonsense_is_no_time(typed):
    with pytest.raises(ConfigError):
        moment(typed, NOW)


def test_words_become_a_payload():
    assert pairs(("a=1", "b=true", "c=x y", "d=[1]", 'e="1"', "f=", "g=a=b")) == {
        "a": 1, "b": True, "c": "x y", "d": [1], "e": "1", "f": "", "g": "a=b",
    }  # fmt: skip
    assert payload('{"a": null}', "it") == {"a": None}
    for text in ("", "nope", "[1]", "3", '{"a": NaN}'):
        with pytest.raises(PayloadError):
            payload(text, "it")


def test_plain_tables_are_aligned_and_nothing_is_cut():
    assert plain_table(["NAME", ">N", "NOTE"], [["a", "1", ""], ["bbbbbb", "100", "x" * 300]]) == [
        "NAME      N  NOTE",
        "a         1",
        "bbbbbb  100  " + "x" * 300,
    ]


def test_control_characters_are_replaced():
    assert clean("a\x1b[31mb\nc\u202e") == "a?[31mb c?"
    assert clean("a\n\tb\x07", lines=True) == "a\n\tb?"


def test_schedules_in_a_few_words():
    assert describe(every("90s", jitter="5s")) == "every 1m30s jitter 5s"
    assert describe(cron("*/5 * * * *", tz="Europe/Berlin")) == "cron */5 * * * * Europe/Berlin"
    assert describe(at("2026-01-01T00:00:00Z")) == "at 2026-01-01 00:00:00Z"
    assert describe(manual()) == "manual"


def test_the_log_remembers_for_how_long_the_server_was_away():
    import logging

    time = [0.0]
    away = Away(lambda: time[0])
    assert away.back() is None
    for moment_ in (10.0, 12.0):
        time[0] = moment_
        assert away.filter(logging.LogRecord("x", 30, "", 0, "%s", ("server unreachable for 1 s",), None))
    time[0] = 15.0
    assert away.back() == 5.0
    assert away.back() is None
