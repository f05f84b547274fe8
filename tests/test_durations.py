"""Durations, rates and sizes: what is understood, and how what is not is refused."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labsched.durations import LONGEST, rate, seconds, show, size
from labsched.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (5, 5.0),
        (0.25, 0.25),
        (0, 0.0),
        (timedelta(minutes=2), 120.0),
        ("5", 5.0),
        ("2.5", 2.5),
        ("5s", 5.0),
        ("2.5s", 2.5),
        ("250ms", 0.25),
        ("1ms", 0.001),
        ("30m", 1800.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("2w", 1209600.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("1m500ms", 60.5),
        (" 5s ", 5.0),
        ("PT30M", 1800.0),
        ("PT0.5S", 0.5),
        ("PT0,5S", 0.5),
        ("P7D", 604800.0),
        ("P2W", 1209600.0),
        ("P1DT12H", 129600.0),
        ("pt1h30m5s", 5405.0),
    ],
)
def test_a_duration_may_be_written_in_many_ways(written: object, expected: float) -> None:
    assert seconds(written) == expected


def test_milliseconds_are_the_nearest_float() -> None:
    assert all(seconds(f"{n}ms") == n / 1000 for n in range(1, 1000))


@pytest.mark.parametrize(
    "nonsense",
    [
        *(
            "",
            " ",
            "s",
            "5x",
            "5 5",
            "1m1h",
            "1s1s",
            "5M",
            "five",
            "nan",
            "inf",
            "1e3",
            "0x10",
            "5s!",
            ".5",
            "\u0665s",
        ),
        *("P", "PT", "P1DT", "PT1D", "P1H", "P-1D", "PT1M1H", "-5s", "-PT5S"),
        *(None, True, False, [], {}, b"5s", object),
    ],
)
def test_nonsense_is_refused_in_one_line_that_names_what_the_value_and_what_is_allowed(
    nonsense: object,
) -> None:
    with pytest.raises(ConfigError) as caught:
        seconds(nonsense, "lease")
    message = str(caught.value)
    assert message.startswith(f"lease {nonsense!r} is refused: ")
    assert "allowed are seconds, a timedelta" in message
    assert "\n" not in message


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, LONGEST + 1, "P999999999W"])
def test_what_is_not_finite_or_absurdly_long_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="finite number of seconds, at most 1000 years"):
        seconds(value)


@pytest.mark.parametrize("value", [-1, -0.001, timedelta(seconds=-1)])
def test_a_negative_duration_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="must be at least 0s"):
        seconds(value)


def test_the_minimum_is_inclusive_and_named() -> None:
    assert seconds("1s", "lease", minimum=1.0) == 1.0
    with pytest.raises(ConfigError) as caught:
        seconds("999ms", "lease", minimum=1.0)
    assert str(caught.value) == "lease '999ms' is refused: it must be at least 1s"


@pytest.mark.parametrize("text", ["P1Y", "P1M", "P1Y2M", "P1M2D", "P2W1M", "p1y", "P1YT1H"])
def test_years_and_months_are_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ConfigError, match="years and months have no fixed length"):
        seconds(text)


def test_a_long_wrong_value_does_not_flood_the_message() -> None:
    with pytest.raises(ConfigError) as caught:
        seconds("x" * 10_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("100/s", (100, 1.0)),
        ("5/m", (5, 60.0)),
        ("10/30s", (10, 30.0)),
        ("1/h", (1, 3600.0)),
        ("2/1h30m", (2, 5400.0)),
        (" 3 / 100ms ", (3, 0.1)),
        ("7/PT1M", (7, 60.0)),
    ],
)
def test_a_rate_is_a_count_and_a_period(written: str, expected: tuple[int, float]) -> None:
    assert rate(written) == expected


@pytest.mark.parametrize(
    "nonsense", ["", "100", "0/s", "-1/s", "1.5/s", "100/", "/s", "5/5", "1/s/s", 5, None]
)
def test_a_rate_that_makes_no_sense_is_refused(nonsense: object) -> None:
    with pytest.raises(ConfigError, match=r'rate .* is refused: allowed are .*"100/s", "5/m" or "10/30s"'):
        rate(nonsense)


@pytest.mark.parametrize("period", ["x", "0s", "P1M"])
def test_a_rate_with_a_wrong_period_names_the_period(period: str) -> None:
    with pytest.raises(ConfigError, match=f"period of rate_limit '5/{period}' '{period}' is refused"):
        rate(f"5/{period}", "rate_limit")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        *((1, 1), ("1024", 1024), ("1024B", 1024), ("64MiB", 64 * 2**20), ("512MB", 512 * 10**6)),
        *(("1GiB", 2**30), ("1.5GiB", 3 * 2**29), ("4 KiB", 4096), ("4kb", 4000), (2**40, 2**40)),
    ],
)
def test_a_size_is_bytes_binary_or_decimal(written: object, expected: int) -> None:
    assert size(written) == expected


@pytest.mark.parametrize("nonsense", ["", "64M", "0", 0, -1, 1.5, True, "1.5", "64XB", "IB", "9" * 400, None])
def test_a_size_that_makes_no_sense_is_refused(nonsense: object) -> None:
    with pytest.raises(ConfigError, match=r"memory_limit .* is refused: allowed are whole bytes"):
        size(nonsense, "memory_limit")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0, "0s"), (1.5, "1.5s"), (1800, "30m"), (0.25, "250ms"), (5400, "1h30m"), (60.5, "1m0.5s")),
        *((90061, "1d1h1m1s"), (604800, "7d"), (0.0004, "0.4ms"), (0.9999999, "1s"), (-5, "-5s")),
        *((59.9999999, "1m"), (100, "1m40s"), (10, "10s"), (0.1, "100ms"), (math.inf, "inf")),
    ],
)
def test_durations_are_shown_short(value: float, text: str) -> None:
    assert show(value) == text


@given(st.integers(0, 10**12))
def test_what_is_shown_can_be_read_back_to_the_millisecond(millis: int) -> None:
    assert round(seconds(show(millis / 1000)) * 1000) == millis


@given(
    st.one_of(
        st.text(), st.from_regex(r"P?T?[0-9.]{1,4}[wdhms]{0,2}", fullmatch=True), st.integers(), st.floats()
    )
)
def test_whatever_comes_in_is_a_sane_number_or_a_config_error(value: object) -> None:
    try:
        found = seconds(value)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert 0 <= found <= LONGEST
