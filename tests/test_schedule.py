"""Schedules: how they are written, what is refused, and the arithmetic of their slots."""

from __future__ import annotations

import typing
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

import msgspec
import pytest
from cronsim import CronSim, CronSimError
from hypothesis import example, given
from hypothesis import strategies as st

from labsched.crontab import RAREST, Calendar
from labsched.errors import ScheduleError
from labsched.schedule import (
    HORIZON,
    At,
    Cron,
    Every,
    Manual,
    Misfire,
    Schedule,
    after,
    at,
    between,
    checked,
    count,
    cron,
    due_of,
    every,
    jitter_ms,
    latest,
    manual,
)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

# how it is written


def test_the_constructors_give_plain_values() -> None:
    assert every("5s", jitter="1s") == Every(5.0, jitter=1.0)
    assert every(timedelta(minutes=1), start=NOON) == Every(60.0, start=ms("2026-11-23T12:00Z"))
    assert every(1, end="2026-11-23T13:00:00+01:00") == Every(1.0, end=ms("2026-11-23T12:00Z"))
    expected = Cron("0 2 * * *", "Europe/Berlin", 60.0, "shift", "both")
    assert cron("0 2 * * *", tz="Europe/Berlin", jitter="1m", gap="shift", fold="both") == expected
    assert at(NOON) == At(ms("2026-11-23T12:00Z"))
    assert at(NOON.astimezone(timezone(timedelta(hours=5)))) == at(NOON)
    assert at("2026-11-23T12:00:00.1239Z") == At(ms("2026-11-23T12:00Z") + 123)
    assert manual() == Manual()


@pytest.mark.parametrize(
    ("schedule", "tag"),
    [(every("5s"), "every"), (cron("* * * * *"), "cron"), (at(NOON), "at"), (manual(), "manual")],
)
def test_every_kind_survives_json_with_its_type(schedule: Schedule, tag: str) -> None:
    text = msgspec.json.encode(schedule)
    assert msgspec.json.decode(text)["type"] == tag
    kind = typing.cast("type[Schedule]", Schedule)
    assert msgspec.json.decode(text, type=kind) == schedule


def test_the_default_misfire_policy_fires_once_after_a_minute() -> None:
    assert Misfire() == Misfire("FIRE_ONCE", 60.0)


# what is refused


def refused(build: typing.Callable[[], object]) -> str:
    with pytest.raises(ScheduleError) as caught:
        build()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        ("61 * * * *", "cron '61 * * * *' cannot be understood: bad minute"),
        ("* 24 * * *", "cron '* 24 * * *' cannot be understood: bad hour"),
        ("* * 0 * *", "cron '* * 0 * *' cannot be understood: bad day-of-month"),
        ("* * * 13 *", "cron '* * * 13 *' cannot be understood: bad month"),
        ("* * * * 8", "cron '* * * * 8' cannot be understood: bad day-of-week"),
        ("60 * * * * *", "cron '60 * * * * *' cannot be understood: bad second"),
        ("*/0 * * * *", "cron '*/0 * * * *' cannot be understood: bad minute"),
        ("5-1 * * * *", "cron '5-1 * * * *' cannot be understood: bad minute"),
        (
            "0 0 31 2 *",
            "cron '0 0 31 2 *' never fires: no date matches its day-of-month, month and day-of-week",
        ),
        (
            "0 0 31 4,6 *",
            "cron '0 0 31 4,6 *' never fires: no date matches its day-of-month, month and day-of-week",
        ),
        (
            "0 0 */20 * 1#2",
            "cron '0 0 */20 * 1#2' never fires: no date matches its day-of-month, month and day-of-week",
        ),
        (
            "nonsense",
            "cron 'nonsense' has 1 fields, 5 or 6 are needed: minute hour day-of-month month day-of-week,"
            " with seconds in front if there are 6",
        ),
    ],
)
def test_a_cron_expression_that_is_nonsense_or_never_fires_is_refused(expr: str, message: str) -> None:
    assert refused(lambda: cron(expr)) == message


def test_an_expression_that_is_no_text_is_refused() -> None:
    assert refused(lambda: cron(5)) == "cron 5 is no text"  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe", "/etc/passwd", "x\0y"])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    said = refused(lambda: cron("* * * * *", tz=name))
    assert said == f'time zone {name!r} is unknown: an IANA name like "Europe/Berlin" or "UTC" is needed'


def test_an_unknown_dst_policy_is_refused() -> None:
    assert refused(lambda: cron("* * * * *", gap="x")) == "gap 'x' is unknown, allowed are skip, shift"  # type: ignore[arg-type]
    said = refused(lambda: cron("* * * * *", fold="x"))  # type: ignore[arg-type]
    assert said == "fold 'x' is unknown, allowed are first, second, both"


@pytest.mark.parametrize(
    ("period", "shown"), [(0, "0"), ("0.5ms", "0.5"), ("1.5ms", "1.5"), (1 / 3, "333.333333333333")]
)
def test_a_period_is_whole_milliseconds(period: float | str, shown: str) -> None:
    said = refused(lambda: every(period))
    assert said == f"period {shown}ms is refused: it must be whole milliseconds from 1"


@pytest.mark.parametrize("period", [0.57, 1.005, 4.35, "0.007s", "1ms"])
def test_the_noise_of_floats_does_not_make_a_period_uneven(period: float | str) -> None:
    schedule = every(period)
    assert after(schedule, 0) == round(schedule.period * 1000)


def test_a_period_or_jitter_that_is_no_duration_is_refused() -> None:
    assert refused(lambda: every("soon")).startswith("period 'soon' is refused: allowed are seconds")
    assert refused(lambda: every("5s", jitter=-1)) == "jitter -1 is refused: it must be at least 0s"
    assert refused(lambda: checked(Every(5.0, jitter=-1.0))).startswith("jitter -1.0 is refused")
    assert refused(lambda: checked(Every(float("nan")))).startswith("period nan is refused")


def test_the_jitter_of_every_is_less_than_its_period() -> None:
    assert every("5s", jitter="4999ms").jitter == 4.999
    assert refused(lambda: every("5s", jitter="5s")) == "jitter 5s must be less than the period, 5s"


@pytest.mark.parametrize(
    ("expr", "room"),
    [
        ("* * * * *", "1m"),
        ("*/5 * * * *", "5m"),
        ("0 2 * * *", "1d"),
        ("0 2,3 * * *", "1h"),
        ("58 23 * * *", "1d"),
        ("5,58 0,23 * * *", "7m"),  # 23:58 to 00:05, over midnight
        ("*/7 * * * *", "4m"),  # 56 to 60
        ("*/10 * * * * *", "10s"),
    ],
)
def test_the_jitter_of_cron_is_less_than_its_closest_times_of_day(expr: str, room: str) -> None:
    assert cron(expr, jitter="3.9s")
    said = refused(lambda: cron(expr, jitter=room))
    assert said == f"jitter {room} must be less than the closest two of its times of day, {room}"


def test_the_end_must_be_later_than_the_start() -> None:
    said = refused(lambda: every("5s", start=NOON, end=NOON))
    assert said == "end 2026-11-23T12:00:00+00:00 must be later than start 2026-11-23T12:00:00+00:00"


def test_a_range_without_a_slot_is_refused() -> None:
    start, end = "2026-11-23T12:00:01Z", "2026-11-23T12:59:59Z"
    said = "never fires: no slot between start 2026-11-23T12:00:01+00:00 and end 2026-11-23T12:59:59+00:00"
    assert refused(lambda: every("1h", start=start, end=end)) == f"the schedule {said}"
    assert refused(lambda: cron("0 * * * *", start=start, end=end)) == f"the schedule {said}"


def test_a_time_without_a_zone_is_refused() -> None:
    assert refused(lambda: at(datetime(2026, 1, 1))) == (
        "when 2026-01-01T00:00:00 has no time zone: say UTC or an offset"
    )
    assert refused(lambda: every(1, start="2026-01-01T00:00:00")).startswith(
        "start 2026-01-01T00:00:00 has no"
    )
    assert refused(lambda: at("tomorrow")) == "when 'tomorrow' is no time like \"2026-11-23T12:00:00Z\""
    assert refused(lambda: at(5)).startswith("when 5 must be an aware datetime")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "when", ["1969-12-31T23:59:59Z", "3000-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00"]
)
def test_a_time_outside_the_centuries_we_count_in_is_refused(when: str) -> None:
    assert refused(lambda: at(when)).endswith("lies outside 1970 to 2999")


def test_a_decoded_schedule_can_be_checked_too() -> None:
    assert "lies outside" in refused(lambda: checked(At(-1)))
    assert "lies outside" in refused(lambda: checked(At(HORIZON)))
    assert checked(Manual()) == Manual()


@given(st.text(alphabet="0123456789*/-,#LWMONFRI ²", max_size=20))
def test_whatever_text_comes_in_is_a_schedule_or_a_schedule_error(expr: str) -> None:
    for text in (expr, f"0 0 * * {expr.replace(' ', '')}", f"0 0 {expr.replace(' ', '')} * *"):
        try:
            schedule = cron(text)
        except ScheduleError as error:
            assert "\n" not in str(error)
        else:
            assert after(schedule, 0) is not None


# slots


def test_every_is_aligned_to_the_epoch() -> None:
    assert after(every("1h"), ms("2026-11-23T12:20Z")) == ms("2026-11-23T13:00Z")
    assert after(every("1h"), ms("2026-11-23T13:00Z")) == ms("2026-11-23T14:00Z")
    assert after(every("1h"), ms("2026-11-23T13:00Z") - 1) == ms("2026-11-23T13:00Z")
    assert after(every("1h"), -10) == 0


def test_start_is_inclusive_and_end_is_exclusive() -> None:
    for build in (
        every("1h", start=NOON, end="2026-11-23T14:00Z"),
        cron("0 * * * *", start=NOON, end="2026-11-23T14:00Z"),
    ):
        assert list(between(build, 0, HORIZON)) == [ms("2026-11-23T12:00Z"), ms("2026-11-23T13:00Z")]
        assert after(build, 0) == ms("2026-11-23T12:00Z")
        assert after(build, ms("2026-11-23T13:00Z")) is None
        assert latest(build, HORIZON) == ms("2026-11-23T13:00Z")
        assert latest(build, ms("2026-11-23T12:00Z")) == ms("2026-11-23T12:00Z")
        assert latest(build, ms("2026-11-23T12:00Z") - 1) is None
        assert count(build, -1, HORIZON) == 2


def test_before_the_first_slot_of_a_range_there_is_no_latest() -> None:
    assert latest(every("1h", start="2026-11-23T12:30Z"), ms("2026-11-23T12:45Z")) is None
    assert latest(cron("0 * * * *", start="2026-11-23T12:30Z"), ms("2026-11-23T12:45Z")) is None


def test_days_are_counted_right_whatever_day_of_the_month_the_count_ends() -> None:
    january = ms("2026-01-01T00:00Z")
    counted = [count(cron("0 12 * * *"), january, january + n * 86_400_000) for n in range(400)]
    assert counted == list(range(400))


def test_a_range_that_starts_within_a_second_drops_the_slot_of_that_second() -> None:
    half = datetime(2026, 11, 23, 12, 0, 0, 500_000, tzinfo=UTC)
    assert after(cron("0 * * * *", start=half), 0) == ms("2026-11-23T13:00Z")
    assert latest(cron("0 * * * *", end=half), HORIZON) == ms("2026-11-23T12:00Z")


def test_at_has_one_slot_and_manual_none() -> None:
    once, when = at(NOON), ms("2026-11-23T12:00Z")
    assert (after(once, when - 1), after(once, when)) == (when, None)
    assert (latest(once, when), latest(once, when - 1)) == (when, None)
    assert (count(once, when - 1, when), count(once, when, HORIZON)) == (1, 0)
    assert (after(manual(), 0), latest(manual(), HORIZON), count(manual(), -1, HORIZON)) == (None, None, 0)


def test_slots_end_with_the_year_2999() -> None:
    assert after(every("1d"), HORIZON - 1) is None
    assert after(cron("* * * * *"), HORIZON) is None
    assert latest(every("1d"), HORIZON * 10) == HORIZON - 86_400_000


def test_a_cron_with_seconds_fires_on_them() -> None:
    assert after(cron("*/20 * * * * *"), ms("2026-11-23T12:00Z")) == ms("2026-11-23T12:00:20Z")


def test_a_leap_day_is_found_even_over_the_year_2100() -> None:
    assert after(cron("0 0 29 2 *"), ms("2096-03-01T00:00Z")) == ms("2104-02-29T00:00Z")
    assert latest(cron("0 0 29 2 *"), ms("2104-02-28T00:00Z")) == ms("2096-02-29T00:00Z")
    assert after(cron("0 0 * 2 MON#5"), ms("2072-03-01T00:00Z")) == ms("2112-02-29T00:00Z")


def test_day_of_month_and_day_of_week_are_joined_as_in_debian() -> None:
    start = ms("2026-11-01T12:00Z")
    friday_or_13th = cron("0 0 13 * FRI")
    assert after(friday_or_13th, start) == ms("2026-11-06T00:00Z")
    monday_of_odd_days = cron("0 0 */2 * MON")
    assert after(monday_of_odd_days, start) == ms("2026-11-09T00:00Z")


FIELD = st.sampled_from
EXPR = st.builds(
    " ".join,
    st.tuples(
        FIELD(["*", "0", "*/5", "59", "7,8,30", "10-20/3"]),
        FIELD(["*", "0", "23", "*/6", "1,2,3", "9-17"]),
        FIELD(["*", "1", "31", "L", "LW", "*/10", "13,29"]),
        FIELD(["*", "1", "2", "*/3", "FEB,DEC", "6-8"]),
        FIELD(["*", "0", "7", "MON-FRI", "MON#2", "FRI#5", "5L", "*/2"]),
    ),
)
WALL = st.integers(0, 2**31)


@given(EXPR, WALL)
@example("0 0 * 2 FRI#5", 0)  # a fifth Friday of February comes every 28 years
def test_the_table_finds_what_cronsim_finds(expr: str, start: int) -> None:
    try:
        table = Calendar(expr)
        forwards = CronSim(expr, datetime(1970, 1, 1) + timedelta(seconds=start))
        backwards = CronSim(expr, datetime(1970, 1, 1) + timedelta(seconds=start), reverse=True)
    except (ScheduleError, CronSimError):
        return
    found = list(islice(table.between(start + 1, start + RAREST), 4))
    slots = (int((t - datetime(1970, 1, 1)).total_seconds()) for t in islice(forwards, 4))
    assert found == [slot for slot in slots if slot < start + RAREST]
    previous = next(backwards, None)
    if previous is not None and previous >= datetime(1970, 1, 1):
        assert table.last(0, start) == int((previous - datetime(1970, 1, 1)).total_seconds())


@given(EXPR, WALL, st.integers(-10, 40_000_000))
def test_the_table_counts_what_it_lists(expr: str, start: int, length: int) -> None:
    try:
        table = Calendar(expr)
    except ScheduleError:
        return
    listed = list(table.between(start, start + length))
    assert table.count(start, start + length) == len(listed)
    assert table.last(start, start + length) == (listed[-1] if listed else None)


PERIODS = st.integers(1, 10**8).map(lambda n: Every(n / 1000))
EDGE = st.integers(0, 2**41)


@given(PERIODS, EDGE, st.integers(0, 50), st.one_of(st.none(), EDGE), st.one_of(st.none(), EDGE))
def test_every_counts_and_looks_back_at_what_it_lists(
    schedule: Every, t: int, slots: int, start: int | None, end: int | None
) -> None:
    schedule = msgspec.structs.replace(schedule, start=start, end=end)
    to = t + round(schedule.period * 1000) * slots
    listed = list(between(schedule, t, to))
    assert count(schedule, t, to) == len(listed)
    assert all(t < slot <= to and slot % round(schedule.period * 1000) == 0 for slot in listed)
    if listed:
        assert latest(schedule, to) == listed[-1]
        assert after(schedule, t) == listed[0]
    if start is None and end is None:
        assert len(listed) in (slots, slots + 1)


# jitter

JITTERS = [2999, 3039, 4081]  # written down once: they may never change, or two releases would disagree


@given(st.text(), st.integers(0, 2**42), st.floats(0, 10_000))
def test_jitter_is_never_negative_and_below_its_bound(name: str, slot: int, jitter: float) -> None:
    assert 0 <= jitter_ms(name, slot, jitter) <= max(0, round(jitter * 1000) - 1)


def test_jitter_is_the_same_on_every_machine_and_in_every_release() -> None:
    assert [jitter_ms("daily-report", slot, 5.0) for slot in (0, 5000, 10_000)] == JITTERS
    assert jitter_ms("other", 0, 5.0) != JITTERS[0]


def test_jitter_spreads_over_its_whole_width() -> None:
    seen = [jitter_ms("t", slot, 1.0) for slot in range(2000)]
    assert min(seen) < 20 and max(seen) > 980 and 450 < sum(seen) / 2000 < 550


def test_a_slot_is_due_when_its_jitter_has_passed() -> None:
    schedule = every("5s", jitter="2s")
    assert due_of("t", schedule, 5000) == 5000 + jitter_ms("t", 5000, 2.0)
    assert due_of("t", at(NOON), 7) == 7
    assert due_of("t", cron("* * * * *", jitter=3), 60_000) == 60_000 + jitter_ms("t", 60_000, 3.0)


@given(st.integers(1, 10**6), st.floats(0, 0.9999), st.integers(0, 10**6))
def test_with_a_jitter_below_the_period_dues_keep_the_order_of_slots(
    period: int, share: float, first: int
) -> None:
    schedule = Every(period / 1000, jitter=period / 1000 * share)
    dues = [due_of("t", schedule, slot * period) for slot in range(first, first + 20)]
    assert dues == sorted(dues)
